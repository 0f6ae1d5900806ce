"""What PostgreSQL and SQLite differ in: their clock, their words, and how they fail."""
