"""The settings of the tests: on SQLite, or on the PostgreSQL that TEST_DATABASE_URL names."""

import atexit
import os
import shutil
import tempfile

if "EVENTSINKS_VAR" not in os.environ:
    os.environ["EVENTSINKS_VAR"] = tempfile.mkdtemp(prefix="eventsinks-tests-")
    atexit.register(shutil.rmtree, os.environ["EVENTSINKS_VAR"], ignore_errors=True)
VAR = os.environ["EVENTSINKS_VAR"]
for name in ("DATABASE_URL", "SECRET_KEY", "EVENTSINKS_ENCRYPTION_KEYS"):
    os.environ.pop(name, None)
if "TEST_DATABASE_URL" in os.environ:
    from eventsinks.lib.secrets.crypto import make_key

    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
    os.environ["SECRET_KEY"] = "only for tests, and long enough for Django's check of fifty characters"
    os.environ["EVENTSINKS_ENCRYPTION_KEYS"] = make_key()

from project.settings import *  # noqa: E402, F403
from project.settings import DATABASES, EMBEDDED, STATIC_ROOT  # noqa: E402

if EMBEDDED:
    # A file, so that threads and other processes see the same tables.
    DATABASES["default"]["TEST"] = {"NAME": f"{VAR}/test.sqlite3"}
    # No test takes the power away, and to wait for the disk at each commit takes longer than the rest of it.
    options = DATABASES["default"]["OPTIONS"]
    options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")
# Without it (in a fresh clone) whitenoise warns with every handler that is made, and warnings are errors here.
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# Otherwise whitenoise looks at every static file for each client that a test makes.
WHITENOISE_AUTOREFRESH = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Nothing listens there: a test that wants a Slack says where its own is.
SLACK_BASE_URL = "http://127.0.0.1:9/api/"
# Receivers of the tests are on this machine.
EVENTSINKS_ALLOWED_NETWORKS = ["127.0.0.0/8"]
