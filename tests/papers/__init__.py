"""What is written down agrees with what is there."""
