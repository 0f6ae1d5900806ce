"""Secrets: seal them anew, rotate and reset them, and check the keys at the start."""
