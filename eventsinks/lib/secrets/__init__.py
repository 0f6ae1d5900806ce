"""Secrets: sealing, signing, and masking by value."""
