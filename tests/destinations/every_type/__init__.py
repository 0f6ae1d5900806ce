"""What holds for every destination type."""
