"""What does the environment say? Every variable is listed, with its meaning, in `.env.example`."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()


def given(read: Callable[[str], T], name: str, default: T) -> T:
    """What the environment gives; a variable that is empty counts as not set."""
    return read(name) if os.environ.get(name) else default


# --- What this installation is -------------------------------------------------------------------

SECRET_KEY = given(env.str, "SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. Give it a long random value, for example the output of: "
        "python -c 'import secrets; print(secrets.token_urlsafe(50))'. "
        "To try things out, use `make run`, which makes one."
    )
DEBUG = given(env.bool, "DEBUG", False)
HOST = given(env.str, "HOST", "127.0.0.1")
PORT = given(env.int, "PORT", 8000)
PUBLIC_URL = given(env.str, "PUBLIC_URL", f"http://{HOST}:{PORT}").rstrip("/")
_public = urlsplit(PUBLIC_URL)
if _public.scheme not in ("http", "https") or not _public.hostname:
    raise ImproperlyConfigured(f"PUBLIC_URL must look like https://chat.example.com, not {PUBLIC_URL!r}.")
HTTPS = _public.scheme == "https"
ALLOWED_HOSTS = given(env.list, "ALLOWED_HOSTS", [_public.hostname, "localhost", "127.0.0.1", "[::1]"])
TRUSTED_PROXIES: list[str] = given(env.list, "TRUSTED_PROXIES", [])

# --- Parts ---------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "tenants",
    "agents",
    "chats",
    "streaming",
    "lexicon.documents",
]
# The browser's middleware steps aside for the API (lexicon/middleware.py says why).
MIDDLEWARE = [
    "lexicon.middleware.RequestIdMiddleware",
    "lexicon.middleware.SecurityHeadersMiddleware",
    "tenants.middleware.CallerMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "lexicon.middleware.PageSessionMiddleware",
    "lexicon.middleware.PageCommonMiddleware",
    "lexicon.middleware.PageCsrfMiddleware",
    "lexicon.middleware.PageAuthenticationMiddleware",
    "lexicon.middleware.PageMessageMiddleware",
    "lexicon.middleware.PageFrameMiddleware",
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
    "DEFAULT_RENDERER_CLASSES": ["lexicon.rest.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["lexicon.rest.JSONGateParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "lexicon.rest.AlwaysJSON",
    "EXCEPTION_HANDLER": "lexicon.rest.answer_exception",
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": None,
}

# --- Data ----------------------------------------------------------------------------------------

DATABASES = {
    "default": dj_database_url.parse(given(env.str, "DATABASE_URL", "") or f"sqlite:///{BASE_DIR / 'db.sqlite3'}"),
}
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["CONN_MAX_AGE"] = None
    _database["OPTIONS"] = {
        # A plain BEGIN that upgrades later fails at once under contention (measured: 497 of 600 writes);
        # IMMEDIATE waits its turn. FULL keeps the last commit at a power cut.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    _database["CONN_MAX_AGE"] = 0
    _database["CONN_HEALTH_CHECKS"] = True
    _database["OPTIONS"] = {
        "pool": {"min_size": 2, "max_size": 20, "timeout": 5},
        "connect_timeout": 5,
        "options": "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10000,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = given(env.str, "REDIS_URL", "")
#: Django reads a body only up to this; the JSON gate (lexicon/payload.py) has the same bound.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- Replies -------------------------------------------------------------------------------------

#: How long a silent process keeps its replies and connections. Beat, sweep and margin follow from it.
LEASE_SECONDS = given(env.float, "LEASE_SECONDS", 6.0)
BEAT_SECONDS = LEASE_SECONDS / 3
SWEEP_SECONDS = LEASE_SECONDS / 6
LEASE_MARGIN_SECONDS = LEASE_SECONDS / 6
#: How long replies and SSE responses may go on after SIGTERM before they are handed over.
DRAIN_SECONDS = given(env.float, "DRAIN_SECONDS", 20.0)
#: After this many seconds of silence an SSE response says that it is still there.
PING_SECONDS = given(env.float, "PING_SECONDS", 15.0)

AGENT_MODEL = given(env.str, "AGENT_MODEL", "builtin")
OPENAI_BASE_URL = given(env.str, "OPENAI_BASE_URL", "https://api.openai.com/v1")
OPENAI_API_KEY = given(env.str, "OPENAI_API_KEY", "")
ANTHROPIC_API_KEY = given(env.str, "ANTHROPIC_API_KEY", "")
BUILTIN_WORDS_PER_SECOND = given(env.float, "BUILTIN_WORDS_PER_SECOND", 40.0)
#: How long a model may take, in seconds: to connect, to its first token, between two tokens, in all.
MODEL_CONNECT_SECONDS = given(env.float, "MODEL_CONNECT_SECONDS", 10.0)
MODEL_FIRST_TOKEN_SECONDS = given(env.float, "MODEL_FIRST_TOKEN_SECONDS", 60.0)
MODEL_GAP_SECONDS = given(env.float, "MODEL_GAP_SECONDS", 30.0)
MODEL_TOTAL_SECONDS = given(env.float, "MODEL_TOTAL_SECONDS", 600.0)

# --- Staff and browsers --------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
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
# Where nothing was collected (`make run`), the files are served from where they lie.
SERVESTATIC_USE_FINDERS = not STATIC_ROOT.is_dir()
SERVESTATIC_USE_STATIC_ROOT = SERVESTATIC_USE_MANIFEST = False
if not SERVESTATIC_USE_FINDERS:
    SERVESTATIC_USE_STATIC_ROOT = True

USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# --- Logs ----------------------------------------------------------------------------------------

LOG_LEVEL = given(env.str, "LOG_LEVEL", "INFO").upper()
LOG_FORMAT = given(env.str, "LOG_FORMAT", "text")
if LOG_FORMAT not in ("text", "json"):
    raise ImproperlyConfigured(f"LOG_FORMAT must be text or json, not {LOG_FORMAT!r}.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "lexicon.logs.TextFormatter"},
        "json": {"()": "lexicon.logs.JSONFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Django logs every 4xx as a warning; a refused request is no news to the operator.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "django.db.backends": {"level": "WARNING"},
    },
}
