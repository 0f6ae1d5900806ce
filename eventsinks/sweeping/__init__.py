"""Sweeping: what runs by the clock. The tasks of Celery's beat call these; no door does."""
