"""Secrets in columns: sealed for their row, masked in every text, told by fingerprint."""
