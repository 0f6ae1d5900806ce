"""Sweeping: the periodic work. Only the tasks of Celery's beat call it."""
