"""Database: the differences of PostgreSQL and SQLite in clocks, SQL and errors."""
