"""The settings, all from the environment. `.env.example` lists them.

A secret setting can also be a file: NAME_FILE holds its path (Docker and Kubernetes secrets).
"""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from environs import Env

from eventsinks.lib.net.ports import DENIED_PORTS
from eventsinks.lib.secrets import crypto
from eventsinks.lib.version import VERSION

BASE_DIR = pathlib.Path(__file__).resolve().parent.parent
env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)


def secret(name: str, default: str = "") -> str:
    """Return a secret from NAME, or from the file in NAME_FILE."""
    path = os.environ.get(f"{name}_FILE")
    return pathlib.Path(path).read_text().strip() if path else str(env.str(name, default))


def kept(name: str, make: str) -> str:
    """Return the secret in var/<name> for the embedded default. If there is none, save `make` there."""
    path = VAR_DIR / name
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(make)
    except FileExistsError:
        pass  # it existed before, or another process has just made it
    return path.read_text().strip()


def timeouts() -> str:
    """Return the options that limit the waits of a PostgreSQL session. Commands in a shell have no limit."""
    if pathlib.Path(sys.argv[0]).name == "manage.py":  # a migration, renumbering, a command: it may take any time
        return ""
    seconds = {
        "lock_timeout": EVENTSINKS_DB_LOCK_TIMEOUT,
        "statement_timeout": EVENTSINKS_DB_STATEMENT_TIMEOUT,
        "idle_in_transaction_session_timeout": EVENTSINKS_DB_IDLE_TIMEOUT,
    }
    return " ".join(f"-c {name}={int(limit * 1000)}" for name, limit in seconds.items())


DEBUG = env.bool("DEBUG", False)  # shows pages with tracebacks: never in production
# The directory of the embedded default's database, broker and keys.
VAR_DIR = pathlib.Path(env.str("EVENTSINKS_VAR", str(BASE_DIR / "var")))
VAR_DIR.mkdir(parents=True, exist_ok=True)
# The address of this server for browsers and Slack, without a trailing slash.
PUBLIC_URL = env.str("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
# Host names of this server.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

# --- Where things are kept ------------------------------------------------------------------------

# sqlite:///path or postgres://user:password@host/name
DATABASE_URL = secret("DATABASE_URL", f"sqlite:///{VAR_DIR / 'eventsinks.sqlite3'}")
EMBEDDED = DATABASE_URL.startswith("sqlite:")
# For PostgreSQL only, and not for `manage.py`. 0: no limit. Seconds that web and worker wait for another's lock
# (the sender and the sweep always wait a tenth of a second);
EVENTSINKS_DB_LOCK_TIMEOUT = env.float("EVENTSINKS_DB_LOCK_TIMEOUT", 2.0)
# seconds that one statement of theirs may take;
EVENTSINKS_DB_STATEMENT_TIMEOUT = env.float("EVENTSINKS_DB_STATEMENT_TIMEOUT", 30.0)
# seconds that a transaction of theirs may be idle, because an idle one prevents the cleaning of dead rows.
EVENTSINKS_DB_IDLE_TIMEOUT = env.float("EVENTSINKS_DB_IDLE_TIMEOUT", 60.0)
DATABASES = {"default": env.dj_db_url("DATABASE_URL", DATABASE_URL)}
if "DATABASE_URL_FILE" in os.environ:
    from dj_database_url import parse

    DATABASES = {"default": parse(DATABASE_URL)}
if EMBEDDED:
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",  # a writer waits for its turn at the start, not in the middle
        "timeout": 20,  # seconds to wait for that turn
        # With WAL, others can read while one process writes. FULL makes a 2xx durable.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;",
    }
    DATABASES["default"]["CONN_MAX_AGE"] = None
else:
    # The threads of a process share connections. A dead one is found before its use.
    pool = {"min_size": 1, "max_size": env.int("EVENTSINKS_DB_POOL", 20), "timeout": 10}
    options = DATABASES["default"].setdefault("OPTIONS", {})
    options["pool"] = pool
    # Each statement of the engine is short and uses an index. Compiling one, or reading a whole table, would be a
    # mistake of the planner. `?options=` in the URL replaces this (a pooler in between may want it empty).
    options.setdefault("options", f"-c jit=off -c random_page_cost=1.1 {timeouts()}")
    # The statements of the engine are planned once for each connection. A pooler that shares connections between
    # transactions may not know prepared statements.
    if env.bool("EVENTSINKS_DB_PREPARE", True):
        options.setdefault("prepare_threshold", 5)
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The broker of nudges. It holds only data that may be lost. Without this, `make run` starts an embedded Valkey.
REDIS_URL = secret("REDIS_URL", "redis://127.0.0.1:6379/0")

# --- Secrets --------------------------------------------------------------------------------------

_secret_key = secret("SECRET_KEY")
_encryption_keys = [key for key in secret("EVENTSINKS_ENCRYPTION_KEYS").split(",") if key]
if EMBEDDED:
    _secret_key = _secret_key or kept("secret_key", crypto.make_key())
    _encryption_keys = _encryption_keys or [kept("encryption_key", crypto.make_key())]
if not _secret_key or not _encryption_keys:
    raise ImproperlyConfigured("SECRET_KEY and EVENTSINKS_ENCRYPTION_KEYS must be set beside DATABASE_URL")
SECRET_KEY = _secret_key  # signs sessions and forms
EVENTSINKS_ENCRYPTION_KEYS = _encryption_keys  # seal secrets at rest, newest first

# --- Delivering -----------------------------------------------------------------------------------

# Seconds between two tries of a delivery. After the last try, it has failed. Ten tries take 75 hours.
EVENTSINKS_RETRY_SCHEDULE = env.list(
    "EVENTSINKS_RETRY_SCHEDULE", [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400], subcast=float
)
# Seconds that one exchange with another service may take, from the DNS query to the last byte.
EVENTSINKS_TIMEOUT = env.float("EVENTSINKS_TIMEOUT", 20.0)
# Seconds for which a worker leases what it claims. This must be well above the timeout (checked at start).
EVENTSINKS_LEASE = env.float("EVENTSINKS_LEASE", 60.0)
# Internal places that may be dialled: CIDRs, addresses or host:port pairs. Each entry is a hole, so be exact.
EVENTSINKS_ALLOWED_NETWORKS: list[str] = env.list("EVENTSINKS_ALLOWED_NETWORKS", [])
# Ports that may be dialled only if an allowed host:port names them; ranges as 6665-6669. Empty: none.
EVENTSINKS_DENIED_PORTS: list[str] = env.list("EVENTSINKS_DENIED_PORTS", list(DENIED_PORTS))
# Whether an http:// URL is refused, when it is saved and when it is dialled.
EVENTSINKS_HTTPS_ONLY = env.bool("EVENTSINKS_HTTPS_ONLY", False)
# Addresses of the vendors' services. Other values are for tests and for sovereign clouds.
SLACK_BASE_URL = env.str("SLACK_BASE_URL", "https://slack.com/api/")
# The Slack app that tenants install. Without these, nobody can install it.
SLACK_CLIENT_ID = env.str("SLACK_CLIENT_ID", "")
SLACK_CLIENT_SECRET = secret("SLACK_CLIENT_SECRET", "")
PAGERDUTY_URL = env.str("PAGERDUTY_URL", "https://events.pagerduty.com/v2/enqueue")
AWS_ENDPOINT_URL = env.str("AWS_ENDPOINT_URL", "") or None
# The server for sending mail: smtp://, smtp+starttls:// or smtps://user:password@host:port. It may be internal:
# EVENTSINKS_ALLOWED_NETWORKS does not apply to it, and only mail goes to it. Empty: no mail is sent.
SMTP_URL = secret("SMTP_URL")
SMTP_FROM = env.str("SMTP_FROM", "eventsinks@localhost")  # the sender's address, without a name

# --- Taking in ------------------------------------------------------------------------------------

EVENTSINKS_MAX_EVENT_BYTES = env.int("EVENTSINKS_MAX_EVENT_BYTES", 1024 * 1024)  # one event
EVENTSINKS_MAX_BODY_BYTES = env.int("EVENTSINKS_MAX_BODY_BYTES", 32 * 1024 * 1024)  # one request
# Limits of one tenant that differ from eventsinks/models/limits.py: name=number, with commas.
EVENTSINKS_LIMITS: dict[str, int] = env.dict("EVENTSINKS_LIMITS", {}, subcast_values=int)
# The name of this cell, which stands in its new API keys: a front finds the cell of a request by it.
EVENTSINKS_CELL = env.str("EVENTSINKS_CELL", "")
# Days for which rows are kept that differ from eventsinks/models/retention.py: name=days, with commas.
EVENTSINKS_KEEP_DAYS: dict[str, int] = env.dict("EVENTSINKS_KEEP_DAYS", {}, subcast_values=int)
# Wrong API keys a minute from one address, and as many at once. More are answered 429.
EVENTSINKS_WRONG_KEYS_PER_MIN = env.int("EVENTSINKS_WRONG_KEYS_PER_MIN", 60)
DATA_UPLOAD_MAX_MEMORY_SIZE = EVENTSINKS_MAX_BODY_BYTES  # Django's own name for the same limit

# Processes of the web server, one a core. If one dies, a new one starts. The following settings are for each.
EVENTSINKS_WEB_PROCESSES = env.int("EVENTSINKS_WEB_PROCESSES", 2)
# Threads that answer requests. One caller gets at most three quarters of them.
EVENTSINKS_WEB_THREADS = env.int("EVENTSINKS_WEB_THREADS", 16)
# More threads, for requests that ask other services: tests of a sink, trials of a connection, Slack.
EVENTSINKS_TRIAL_THREADS = env.int("EVENTSINKS_TRIAL_THREADS", 4)
# Requests that wait for a thread; half of them may be of one caller. More are answered 503.
EVENTSINKS_WEB_WAITING = env.int("EVENTSINKS_WEB_WAITING", 1000)
# Seconds that a client may take to send a request's head, and a new connection to send anything.
EVENTSINKS_HEAD_TIMEOUT = env.float("EVENTSINKS_HEAD_TIMEOUT", 10.0)
# Seconds that a client may take to send a request's body.
EVENTSINKS_BODY_TIMEOUT = env.float("EVENTSINKS_BODY_TIMEOUT", 10.0)
# Seconds that a client may take to read its answer.
EVENTSINKS_ANSWER_TIMEOUT = env.float("EVENTSINKS_ANSWER_TIMEOUT", 30.0)
# Bodies that are read at once. If there are more, the slowest has to stop for the newest.
EVENTSINKS_BODIES = env.int("EVENTSINKS_BODIES", 1024)
# The same for one caller.
EVENTSINKS_BODIES_EACH = env.int("EVENTSINKS_BODIES_EACH", 64)
# Bytes of requests that are read or answered, half of them of one caller; and as many of unread answers.
EVENTSINKS_HELD_BYTES = env.int("EVENTSINKS_HELD_BYTES", 256 * 1024 * 1024)
# The proxies in front, CIDRs or addresses. Only their X-Forwarded-For is trusted to name the client.
EVENTSINKS_TRUSTED_PROXIES: list[str] = env.list("EVENTSINKS_TRUSTED_PROXIES", [])

# --- Celery: carries nudges, nothing else ---------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # a nudge may be lost: the sweep finds its work
CELERY_TASK_PUBLISH_RETRY = False  # accepting an event never waits for the broker
CELERY_WORKER_POOL = "threads"  # one thread sends many at once; the others stream and sweep
CELERY_WORKER_CONCURRENCY = env.int("EVENTSINKS_WORKER_THREADS", 8)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False  # the lines of tries are written as they are, and masked already
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 5}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {  # nothing expires: that would compare the clocks of two hosts (tasks.has_piled_up)
    # Finds everything that is due, even if its nudge was lost.
    "sweep": {"task": "eventsinks.tasks.sweep", "schedule": 1.0},
    # Refreshes the tokens of Slack workspaces, hours before they expire.
    "refresh_slack_tokens": {"task": "eventsinks.tasks.refresh_slack_tokens", "schedule": 60.0},
    # Binds secrets to their rows that an upgrade left unbound, a day after the upgrade.
    "bind_secrets": {"task": "eventsinks.tasks.bind_secrets", "schedule": 3600.0},
    # Checks that everything accepted is accounted for, and counts what waits.
    "account": {"task": "eventsinks.tasks.account", "schedule": 60.0},
}

# --- Django ---------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "eventsinks",
]
MIDDLEWARE = [
    # Text from outside is shown as text: a page runs only scripts from this server's files.
    "eventsinks.content_security.ContentSecurity",
    "eventsinks.api.request_id.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "eventsinks.admin.people.second_factor.SecondFactor",
    "axes.middleware.AxesMiddleware",  # the last one: it turns the others' answers into the lock's page
]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "eventsinks.admin.people.login.add_chrome",
            ],
        },
    },
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # refuses after too many failures
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
APPEND_SLASH = False  # no path of the APIs ends in a slash, and their clients follow no redirects
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
WHITENOISE_USE_FINDERS = True

# Behind TLS (PUBLIC_URL says https), cookies and links stay on TLS.
SECURE = urlsplit(PUBLIC_URL).scheme == "https"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
SECURE_SSL_REDIRECT = SECURE
SECURE_REDIRECT_EXEMPT = [r"^readyz$", r"^metrics$"]  # machines beside this one ask for them
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE
SECURE_HSTS_PRELOAD = SECURE
SESSION_COOKIE_SECURE = SECURE
CSRF_COOKIE_SECURE = SECURE

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["eventsinks.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["eventsinks.api.authentication.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["eventsinks.api.limits.RequestRate"],
    "DEFAULT_PARSER_CLASSES": ["eventsinks.api.json.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["eventsinks.api.json.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "eventsinks.api.schema.operations.Operation",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,  # `?format=` is a field of a query like any other
}
SPECTACULAR_SETTINGS = {
    "TITLE": "eventsinks",
    "DESCRIPTION": "Takes in alerts, audit events and network traffic, and gets each to where you chose.\n\n"
    "Every request but those of health has a key: `Authorization: Bearer es_…`; `Token` is taken for `Bearer`, "
    "too. A tenant's key comes from `POST /v1/api_key` or the command `issue_key`; its scopes say what it opens.",
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "SERVERS": [{"url": "/", "description": "This server"}],
    "POSTPROCESSING_HOOKS": ["eventsinks.api.schema.document.complete_document"],
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # No other service is asked whether the schema is valid.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
}

# The id of the operator's own tenant: its event sinks that hear notices hear of trouble at every tenant's
# destinations.
EVENTSINKS_OPERATOR_TENANT = env.str("EVENTSINKS_OPERATOR_TENANT", "")
# The port of a worker's metrics for Prometheus; 0: none. Two workers on one host need two ports.
EVENTSINKS_WORKER_METRICS_PORT = env.int("EVENTSINKS_WORKER_METRICS_PORT", 0)
LOG_FORMAT = env.str("LOG_FORMAT", "console")  # console, or json: one object a line
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOG_REQUESTS = env.bool("LOG_REQUESTS", True)  # a line for each answered request

# --- Logging in to the admin ----------------------------------------------------------------------

# The number of failures that locks one account for one address, and the number that locks a whole address.
AXES_FAILURE_LIMIT = env.int("EVENTSINKS_LOGIN_FAILURES", 5)
EVENTSINKS_LOGIN_FAILURES_OF_ADDRESS = env.int("EVENTSINKS_LOGIN_FAILURES_OF_ADDRESS", 30)
EVENTSINKS_LOGIN_LOCK_S = env.int("EVENTSINKS_LOGIN_LOCK_S", 900)  # seconds that a lock lasts
# If set, no page of the admin opens without an authenticator app or a passkey.
EVENTSINKS_REQUIRE_SECOND_FACTOR = env.bool("EVENTSINKS_REQUIRE_SECOND_FACTOR", False)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]  # in this order, for LogInAttempts
AXES_HANDLER = "eventsinks.admin.people.lockout.LogInAttempts"
AXES_USERNAME_CALLABLE = "eventsinks.admin.people.lockout.get_account"
AXES_CLIENT_IP_CALLABLE = "eventsinks.admin.people.lockout.get_address"
AXES_COOLOFF_TIME = "eventsinks.admin.people.lockout.get_cool_off"
AXES_LOCKOUT_CALLABLE = "eventsinks.admin.people.lockout.answer_locked"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # so that further tries do not extend the lock
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # of successful log-ins we keep only the time
AXES_ENABLE_ADMIN = False  # the page is ours
AXES_VERBOSE = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "eventsinks.admin.people.second_factor.AccountAdapter"
ACCOUNT_FORMS = {"login": "eventsinks.admin.people.login.LoginForm"}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_SESSION_REMEMBER = True  # until SESSION_COOKIE_AGE, like the admin's own page
# Wrong codes of one person, from all addresses: the sender knows the password already.
ACCOUNT_RATE_LIMITS = {"login": "", "login_failed": "10/5m/key", "reauthenticate": "10/m/user"}
MFA_ADAPTER = "eventsinks.admin.people.second_factor.SecondFactors"
MFA_FORMS = {
    "authenticate": "eventsinks.admin.people.second_factor.CodeForm",
    "reauthenticate": "eventsinks.admin.people.second_factor.CodeAgainForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True  # a passkey that asks for a finger or a PIN is both factors
MFA_TOTP_ISSUER = "eventsinks"
MFA_ALLOW_UNVERIFIED_EMAIL = True  # we do not verify addresses

# An OpenID Connect provider beside the passwords. Empty: none. Its address is dialled even if it is internal.
OIDC_ISSUER = env.str("OIDC_ISSUER", "")
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = secret("OIDC_CLIENT_SECRET")
OIDC_NAME = env.str("OIDC_NAME", "single sign-on")  # the text of the button
# Rules for people who were not connected before: every rule that is set must hold.
OIDC_ALLOWED_DOMAINS: list[str] = env.list("OIDC_ALLOWED_DOMAINS", [])  # of verified e-mail addresses
OIDC_REQUIRED_GROUP = env.str("OIDC_REQUIRED_GROUP", "")
OIDC_GROUP_CLAIM = env.str("OIDC_GROUP_CLAIM", "groups")  # the claim of the id_token that names groups
OIDC_STAFF_GROUP = env.str("OIDC_STAFF_GROUP", "")  # the group of the admin that new people join; empty: none
SOCIALACCOUNT_ADAPTER = "eventsinks.admin.people.oidc.OidcPeople"
SOCIALACCOUNT_LOGIN_ON_GET = True  # a link, so that no form-action of a policy has to allow it
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {"openid_connect": {"APPS": [], "OAUTH_PKCE_ENABLED": True}}
if OIDC_ISSUER:
    SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"].append(
        {
            "provider_id": "oidc",
            "name": OIDC_NAME,
            "client_id": OIDC_CLIENT_ID,
            "secret": OIDC_CLIENT_SECRET,
            "settings": {"server_url": OIDC_ISSUER},
        }
    )

# --- The admin ------------------------------------------------------------------------------------


def admin_page(title: str, icon: str, model: str) -> dict[str, Any]:
    """Return the sidebar's entry of one page. `model` is `app.model`. Only users who may view it see it."""
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,  # from Material Symbols, which unfold includes
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "eventsinks",
    "SITE_HEADER": "eventsinks",
    "SITE_SUBHEADER": "Where alerts go",
    "SITE_SYMBOL": "alt_route",
    "SITE_URL": None,  # there is no other site to go to
    "SHOW_BACK_BUTTON": False,
    "ACCOUNT": {"navigation": [{"title": "Second factor", "link": reverse_lazy("mfa_index")}]},
    "DASHBOARD_CALLBACK": "eventsinks.admin.home.overview.fill_home",
    "STYLES": [lambda request: static("eventsinks/admin.css")],
    "SCRIPTS": [lambda request: static("eventsinks/admin.js")],
    "COLORS": {
        "primary": {  # teal, unlike every colour of a status
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.801)",
            "200": "oklch(91% .096 180.426)",
            "300": "oklch(85.5% .138 181.071)",
            "400": "oklch(77.7% .152 181.912)",
            "500": "oklch(61% .118 183.5)",
            "600": "oklch(55% .1 184.704)",
            "700": "oklch(48% .09 186.391)",
            "800": "oklch(43.7% .078 188.216)",
            "900": "oklch(38.6% .063 188.416)",
            "950": "oklch(27.7% .046 192.524)",
        },
    },
    "SIDEBAR": {
        "navigation": [
            {
                "title": "Watch",
                "items": [
                    {"title": "Overview", "icon": "monitoring", "link": reverse_lazy("admin:index")},
                    admin_page("Deliveries", "send", "eventsinks.delivery"),
                    admin_page("Events", "notifications", "eventsinks.event"),
                    admin_page("Silences", "notifications_off", "eventsinks.silence"),
                    admin_page("Replays", "replay", "eventsinks.replay"),
                ],
            },
            {
                "title": "Configure",
                "items": [
                    admin_page("Tenants", "domain", "eventsinks.tenant"),
                    admin_page("API keys", "key", "eventsinks.apikey"),
                    admin_page("Event sinks", "output", "eventsinks.eventsink"),
                    admin_page("Integrations", "stream", "eventsinks.integration"),
                    admin_page("Slack workspaces", "tag", "eventsinks.slackworkspace"),
                ],
            },
            {
                "title": "People",
                "items": [
                    admin_page("Users", "person", "auth.user"),
                    admin_page("Groups", "group", "auth.group"),
                    admin_page("History", "history", "admin.logentry"),
                    admin_page("Failed log-ins", "lock", "axes.accessattempt"),
                ],
            },
        ],
    },
}
