"""The streams of integrations."""
