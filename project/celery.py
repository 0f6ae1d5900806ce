"""The Celery application: its messages are nudges, which carry ids, and may be lost or doubled without harm."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("eventsinks")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
