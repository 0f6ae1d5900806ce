"""The ASGI entry for web servers: the front, and Django in threads behind it."""

import atexit
import os
import resource
import sys
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

from django.conf import settings
from prometheus_client import generate_latest

from eventsinks.front.application import Front
from eventsinks.front.behind import DoorBehind
from eventsinks.front.limits import FrontLimits
from eventsinks.lib.garbage import look_for_garbage_less
from eventsinks.lib.net.proxies import Proxies
from project import wsgi
from project.serve import METRICS_FOLDER

# isort: split
# These need the models that wsgi loads.
from eventsinks.actions.secrets.start import refuse_wrong_keys
from eventsinks.door.door import EventsDoor
from eventsinks.telemetry.family import join_family
from eventsinks.telemetry.requests import RequestLines

FILES = 256  # descriptors for everything except clients: the database, the broker, other services, our own files
MOST = 10_000  # connections, even with more descriptors


def connections() -> int:
    """Return for how many clients this process has descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(max(soft - FILES, soft // 2), MOST) if soft > 0 else MOST


limits = FrontLimits(
    head_seconds=settings.EVENTSINKS_HEAD_TIMEOUT,
    body_seconds=settings.EVENTSINKS_BODY_TIMEOUT,
    answer_seconds=settings.EVENTSINKS_ANSWER_TIMEOUT,
    body_bytes=settings.EVENTSINKS_MAX_BODY_BYTES,
    bodies=settings.EVENTSINKS_BODIES,
    bodies_each=settings.EVENTSINKS_BODIES_EACH,
    held_bytes=settings.EVENTSINKS_HELD_BYTES,
    waiting=settings.EVENTSINKS_WEB_WAITING,
    connections=connections(),
)
# In a thread: the event loop imports this module, and there Django allows no database query.
with ThreadPoolExecutor(1) as aside:
    aside.submit(refuse_wrong_keys).result()
django = DoorBehind(
    wsgi.application,
    threads=settings.EVENTSINKS_WEB_THREADS,
    worldly=settings.EVENTSINKS_TRIAL_THREADS,
    waiting=limits.waiting,
)
door = EventsDoor(django, limits.waiting)
lines = RequestLines()
atexit.register(lines.write)
note = lines.add if settings.LOG_REQUESTS else None
application = Front(limits, Proxies(settings.EVENTSINKS_TRUSTED_PROXIES), door, note)
# The committer and the event loop take turns at Python's lock. A waiting thread gets it after so many seconds:
# with Python's 5 ms, each answer of the database could wait that long.
sys.setswitchinterval(0.001)
look_for_garbage_less()
if folder := os.environ.get(METRICS_FOLDER):
    join_family(folder, generate_latest)
