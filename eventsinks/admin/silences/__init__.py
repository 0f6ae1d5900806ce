"""The pages of silences."""
