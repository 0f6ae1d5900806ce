"""Secrets: seals them for their row, masks them in every text, and makes fingerprints of them."""
