"""What does the environment say? Every variable is listed, with its meaning, in `.env.example`."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

from core.observability.logs import own_lines_only, unforeseen_only

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()


def given(read: Callable[[str], T], name: str, default: T) -> T:
    """What the environment gives; a variable that is empty counts as not set.

    Raises ImproperlyConfigured where it is of the wrong kind.
    """
    try:
        return read(name) if os.environ.get(name) else default
    except EnvError as error:
        raise ImproperlyConfigured(str(error)) from None


# --- What this installation is -------------------------------------------------------------------

SECRET_KEY = given(env.str, "SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. Give it a long random value, for example the output of: "
        "python -c 'import secrets; print(secrets.token_urlsafe(50))'. "
        "To try things out, use `make run`, which makes one."
    )
#: Keys of before: what they signed and encrypted is still read.
SECRET_KEY_FALLBACKS: list[str] = given(env.list, "SECRET_KEY_FALLBACKS", [])
DEBUG = given(env.bool, "DEBUG", False)
HOST = given(env.str, "HOST", "127.0.0.1")
PORT = given(env.int, "PORT", 8000)
PUBLIC_URL = given(env.str, "PUBLIC_URL", f"http://{HOST}:{PORT}").rstrip("/")
try:
    _public = urlsplit(PUBLIC_URL)
except ValueError:  # Brackets that hold no address.
    _public = urlsplit("")
if _public.scheme not in ("http", "https") or not _public.hostname:
    raise ImproperlyConfigured(f"PUBLIC_URL must look like https://chat.example.com, not {PUBLIC_URL!r}.")
HTTPS = _public.scheme == "https"
ALLOWED_HOSTS = given(env.list, "ALLOWED_HOSTS", [_public.hostname, "localhost", "127.0.0.1", "[::1]"])
TRUSTED_PROXIES: list[str] = given(env.list, "TRUSTED_PROXIES", [])

#: What one address may have, an IPv6 network (/64) as one; 0 for no bound. Of strangers, who show no valid key:
#: requests and handshakes. Of visitors of the chat page: new ones, their messages, and their sockets at once.
STRANGERS_PER_MINUTE = given(env.int, "STRANGERS_PER_MINUTE", 600)
VISITORS_PER_HOUR = given(env.int, "VISITORS_PER_HOUR", 60)
VISITOR_MESSAGES_PER_MINUTE = given(env.int, "VISITOR_MESSAGES_PER_MINUTE", 60)
VISITOR_CONNECTIONS = given(env.int, "VISITOR_CONNECTIONS", 20)
for _name in ("STRANGERS_PER_MINUTE", "VISITORS_PER_HOUR", "VISITOR_MESSAGES_PER_MINUTE", "VISITOR_CONNECTIONS"):
    if globals()[_name] < 0:
        raise ImproperlyConfigured(f"{_name} must be 1 or more, or 0 for no bound, not {globals()[_name]}.")

# --- Parts ---------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # It is `runserver`, and brings twisted with it: a quarter of the processor time that any other start would take.
    *(["daphne"] if "runserver" in sys.argv else []),
    "staff.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "tenants",
    "knowledge",
    "agents",
    "webhooks",
    "chats",
    "streaming",
    "staff",
    "web",
    "lexicon",
    "lexicon.documents",
]
# The browser's middleware steps aside for the API (lexicon/http/middleware.py says why).
MIDDLEWARE = [
    "lexicon.http.middleware.RequestIdMiddleware",
    "lexicon.http.access_log.AccessMiddleware",
    "lexicon.http.middleware.SecurityHeadersMiddleware",
    "tenants.middleware.CallerMiddleware",
    "lexicon.http.middleware.BodyLengthMiddleware",
    "lexicon.http.middleware.WellFormedMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "lexicon.http.middleware.PageSessionMiddleware",
    "lexicon.http.middleware.PageCommonMiddleware",
    "lexicon.http.middleware.PageCsrfMiddleware",
    "lexicon.http.middleware.PageAuthenticationMiddleware",
    "lexicon.http.middleware.PageMessageMiddleware",
    "lexicon.http.middleware.PageFrameMiddleware",
    "lexicon.http.middleware.StaffPresenceMiddleware",
]
# They look for Django's own classes by name; ours are subclasses (tests/readme/test_environment.py sees them work).
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]
ROOT_URLCONF = "lexicon.urls"
ASGI_APPLICATION = "lexicon.asgi.application"
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
            ],
        },
    },
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["lexicon.http.rest.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["lexicon.http.rest.JSONGateParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "lexicon.http.rest.AlwaysJSON",
    "EXCEPTION_HANDLER": "lexicon.http.rest.answer_exception",
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": None,
}

# --- Data ----------------------------------------------------------------------------------------

#: How long one statement may take; a lock may be waited for 0.4 of that.
STATEMENT_SECONDS = given(env.float, "STATEMENT_SECONDS", 5.0)
#: How many units may wait for a thread of the database's until new messages are refused; 0 for no bound.
DATABASE_QUEUE = given(env.int, "DATABASE_QUEUE", 500)
if DATABASE_QUEUE < 0:
    raise ImproperlyConfigured(f"DATABASE_QUEUE must be 1 or more, or 0 for no bound, not {DATABASE_QUEUE}.")
try:
    _url = given(env.str, "DATABASE_URL", "") or f"sqlite:///{BASE_DIR / 'db.sqlite3'}"
    DATABASES = {"default": dj_database_url.parse(_url)}
except ValueError:
    # Not what was given: there may be a password in it.
    raise ImproperlyConfigured(
        "DATABASE_URL must look like sqlite:////absolute/path or postgres://user:password@host:5432/name."
    ) from None
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # Django's, with a line for those who write.
    _database["ENGINE"] = "core.db.sqlite3"
    _database["CONN_MAX_AGE"] = None
    _database["OPTIONS"] = {
        # A plain BEGIN that upgrades later fails at once under contention (measured: 497 of 600 writes);
        # IMMEDIATE waits its turn. FULL keeps the last commit at a power cut.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    from core.db.postgresql import ImpatientConnection

    _database["CONN_MAX_AGE"] = 0
    _database["CONN_HEALTH_CHECKS"] = True
    _database["OPTIONS"] = {
        # What the address says besides: sslmode, sslrootcert.
        **_database.get("OPTIONS", {}),
        "pool": {
            "min_size": 2,
            "max_size": 20,
            "timeout": STATEMENT_SECONDS,
            # The pool waits twice as long after each try to connect. Giving up soon, it begins again with the next
            # unit that asks, and so at most a second after the database is back.
            "reconnect_timeout": 2,
            # It bounds what the server's own timeouts do not: a server that never answers.
            "connection_class": ImpatientConnection,
        },
        # What is asked for the sixth time on a connection is planned no more, and values are not written into its text.
        "server_side_binding": True,
        "prepare_threshold": 5,
        "connect_timeout": 5,
        "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000:.0f} -c lock_timeout={STATEMENT_SECONDS * 400:.0f}"
        " -c idle_in_transaction_session_timeout=10000",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10000,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
#: What several processes share besides the database; "" where one process serves.
REDIS_URL = given(env.str, "REDIS_URL", "")
if REDIS_URL:
    # Not "default": Channels gives every consumer that one, and closes its socket when Redis fails.
    CHANNEL_LAYERS = {
        "wakes": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            # Without a socket timeout: an idle subscription is no failure.
            "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": "lexicon"},
        }
    }
#: Django reads a body only up to this; the JSON gate (core/payload.py) has the same bound.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- Replies -------------------------------------------------------------------------------------

#: How long a silent process keeps its replies and connections. Beat, sweep and margin follow from it.
LEASE_SECONDS = given(env.float, "LEASE_SECONDS", 6.0)
BEAT_SECONDS = LEASE_SECONDS / 3
SWEEP_SECONDS = LEASE_SECONDS / 6
LEASE_MARGIN_SECONDS = LEASE_SECONDS / 6
#: How long replies and SSE responses may go on after SIGTERM before they are handed over.
DRAIN_SECONDS = given(env.float, "DRAIN_SECONDS", 20.0)
#: A client that reads nothing of what waits for it, WebSocket or SSE, is cut after so long.
SLOW_READER_SECONDS = given(env.float, "SLOW_READER_SECONDS", 15.0)
#: How long a request's line and headers may take to come, from the connection or their first byte on.
HEAD_SECONDS = given(env.float, "HEAD_SECONDS", 10.0)
#: How long a request's body may be silent.
BODY_SECONDS = given(env.float, "BODY_SECONDS", 30.0)
#: Equal processes that serve the port.
WEB_CONCURRENCY = given(env.int, "WEB_CONCURRENCY", 1)
if WEB_CONCURRENCY < 1:
    raise ImproperlyConfigured(f"WEB_CONCURRENCY must be 1 or more, not {WEB_CONCURRENCY}.")
#: After this many seconds of silence an SSE response says that it is still there.
PING_SECONDS = given(env.float, "PING_SECONDS", 15.0)

AGENT_MODEL = given(env.str, "AGENT_MODEL", "builtin")
OPENAI_BASE_URL = given(env.str, "OPENAI_BASE_URL", "https://api.openai.com/v1")
OPENAI_API_KEY = given(env.str, "OPENAI_API_KEY", "")
ANTHROPIC_BASE_URL = given(env.str, "ANTHROPIC_BASE_URL", "https://api.anthropic.com")
ANTHROPIC_API_KEY = given(env.str, "ANTHROPIC_API_KEY", "")
#: Who answers where the installation's model fails before its first token; "" for nobody.
AGENT_FALLBACK_MODEL = given(env.str, "AGENT_FALLBACK_MODEL", "")
#: How often a model that fails before its first token is asked again.
MODEL_RETRIES = given(env.int, "MODEL_RETRIES", 2)
#: Whether models may search the articles and hand chats over by themselves.
MODEL_TOOLS = given(env.bool, "MODEL_TOOLS", True)
#: Who makes vectors of articles and questions: openai:<model>; "" for nobody, and search goes by words alone.
EMBEDDING_MODEL = given(env.str, "EMBEDDING_MODEL", "")
if EMBEDDING_MODEL and not re.fullmatch(r"openai:\S{1,190}", EMBEDDING_MODEL):
    raise ImproperlyConfigured(
        f"EMBEDDING_MODEL must look like openai:text-embedding-3-small, not {EMBEDDING_MODEL!r}."
    )
EMBEDDING_BASE_URL = given(env.str, "EMBEDDING_BASE_URL", OPENAI_BASE_URL)
EMBEDDING_API_KEY = given(env.str, "EMBEDDING_API_KEY", OPENAI_API_KEY)
BUILTIN_WORDS_PER_SECOND = given(env.float, "BUILTIN_WORDS_PER_SECOND", 40.0)
#: How long a model may take, in seconds: to connect, to its first token, between two tokens, in all.
MODEL_CONNECT_SECONDS = given(env.float, "MODEL_CONNECT_SECONDS", 10.0)
MODEL_FIRST_TOKEN_SECONDS = given(env.float, "MODEL_FIRST_TOKEN_SECONDS", 60.0)
MODEL_GAP_SECONDS = given(env.float, "MODEL_GAP_SECONDS", 30.0)
MODEL_TOTAL_SECONDS = given(env.float, "MODEL_TOTAL_SECONDS", 600.0)

# --- Connections to elsewhere ---------------------------------------------------------------------

#: Networks and hosts to which connections are made although they are not on the public internet.
OUTBOUND_ALLOW: list[str] = given(env.list, "OUTBOUND_ALLOW", [])
for _entry in OUTBOUND_ALLOW:
    try:
        _ = ipaddress.ip_network(_entry) if set("/:") & set(_entry) else None
    except ValueError as error:
        raise ImproperlyConfigured(
            f"OUTBOUND_ALLOW must list networks like 10.0.0.0/8 and names of hosts, without a port: {error}."
        ) from None

# --- Staff and browsers --------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
#: Somebody of the staff who has not used the admin for so long is away: a visitor who waits for a person is told so.
STAFF_AWAY_SECONDS = given(env.float, "STAFF_AWAY_SECONDS", 600.0)
CSRF_FAILURE_VIEW = "core.error_responses.forged"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if HTTPS else []
SESSION_COOKIE_NAME = "lexicon_session"
SESSION_COOKIE_AGE = int(timedelta(hours=8).total_seconds())
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
# The API refuses plain http instead of redirecting a key to https; the proxy in front does both.
SECURE_SSL_REDIRECT = False
SECURE_REFERRER_POLICY = "same-origin"
#: The tenant the page at `/` chats with; None for no page.
CHAT_PAGE_TENANT = given(env.uuid, "CHAT_PAGE_TENANT", None)
X_FRAME_OPTIONS = "DENY"

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
#: The browser's client, which the page uses as everybody else may: /static/lexicon/lexicon-client.js.
STATICFILES_DIRS = [("lexicon", BASE_DIR / "clients" / "js")]
# Where nothing was collected (`make run`), the files are served from where they lie.
SERVESTATIC_USE_FINDERS = not STATIC_ROOT.is_dir()
SERVESTATIC_USE_STATIC_ROOT = SERVESTATIC_USE_MANIFEST = False
if not SERVESTATIC_USE_FINDERS:
    SERVESTATIC_USE_STATIC_ROOT = True

USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# --- Watching it ---------------------------------------------------------------------------------

#: Who sends it may read /metrics; without one, who asks from this machine.
METRICS_TOKEN = given(env.str, "METRICS_TOKEN", "")
SENTRY_DSN = given(env.str, "SENTRY_DSN", "")
OTEL_EXPORTER_OTLP_ENDPOINT = given(env.str, "OTEL_EXPORTER_OTLP_ENDPOINT", "")

# --- Logs ----------------------------------------------------------------------------------------

LOG_LEVEL = given(env.str, "LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
    raise ImproperlyConfigured(f"LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not {LOG_LEVEL!r}.")
LOG_FORMAT = given(env.str, "LOG_FORMAT", "json")
if LOG_FORMAT not in ("text", "json"):
    raise ImproperlyConfigured(f"LOG_FORMAT must be text or json, not {LOG_FORMAT!r}.")
_ROOMS = ("core", "tenants", "knowledge", "agents", "webhooks", "chats", "streaming", "staff", "web", "lexicon")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "core.observability.logs.TextFormatter"},
        "json": {"()": "core.observability.logs.JSONFormatter"},
    },
    "filters": {
        "own_lines_only": {"()": lambda: own_lines_only},
        "unforeseen_only": {"()": lambda: unforeseen_only},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    # Of the libraries never what they say to who debugs them: headers and frames, as they come.
    "root": {"handlers": ["stderr"], "level": "INFO" if LOG_LEVEL == "DEBUG" else LOG_LEVEL},
    "loggers": {
        **{room: {"level": LOG_LEVEL} for room in _ROOMS},
        "uvicorn.error": {"filters": ["own_lines_only"]},
        # Django logs every 4xx as a warning; a refused request is no news to the operator.
        "django.request": {"level": "ERROR", "filters": ["unforeseen_only"]},
        "django.security": {"level": "CRITICAL"},
        "django.db.backends": {"level": "WARNING"},
        # It logs a trace a second while Redis is away; streaming/hints.py says so once.
        "channels_redis.pubsub": {"level": "CRITICAL"},
    },
}
