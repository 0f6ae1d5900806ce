"""The schema: what it says of each operation, and whether its examples come true."""
