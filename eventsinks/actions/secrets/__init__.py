"""Secrets: seals them again, rotates and resets them, and checks the encryption keys at the start."""
