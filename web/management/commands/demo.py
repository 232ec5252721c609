"""How does a stranger try everything out? `make run` is this: set up, say what to try, serve."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections, transaction

from agents.catalog import UnknownModel, check_model
from core import dev_secrets
from knowledge.demo import save_demo_articles
from tenants import keys
from tenants.models import ApiKey, Tenant
from tenants.provisioning import do_create_key, do_create_tenant

TENANT = "Demo shop"
ADMIN = "admin"
#: What the file of secrets calls each key.
KEYS = {"TENANT_KEY": ApiKey.Kind.TENANT, "CUSTOMER_KEY": ApiKey.Kind.CUSTOMER}


@dataclass
class Demo:
    """What the file of secrets says; the database is made to agree with it."""

    secrets: dict[str, str]
    #: What is not as it was the last time, to be told.
    news: list[str] = field(default_factory=list)

    def say(self, news: str) -> None:
        """Tell it, once."""
        if news not in self.news:
            self.news.append(news)


class Command(BaseCommand):
    help = "Set up the demo tenant, its keys and an admin login, say what to try, and serve."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="set up and say what to try, no more")

    def handle(self, *args: Any, **options: Any) -> None:
        check_model_setting()
        if not options["no_serve"]:
            check_port()
        try:
            call_command("migrate", verbosity=0, interactive=False)
        except OperationalError as error:
            raise CommandError(f"The database does not answer. DATABASE_URL says where it is.\n{error}") from error
        with dev_secrets.locked():
            demo = set_up()
        for news in demo.news:
            self.stdout.write(self.style.WARNING(news))
        self.stdout.write(what_to_try(demo.secrets))
        if not options["no_serve"]:
            self.stdout.write("Serving until Ctrl+C.")
            self.stdout.flush()
            os.environ.setdefault("CHAT_PAGE_TENANT", demo.secrets["TENANT_ID"])
            # Else `manage.py webhook_listen` would hear nothing.
            os.environ["OUTBOUND_ALLOW"] = os.environ.get("OUTBOUND_ALLOW") or "127.0.0.0/8,::1/128,localhost"
            # Every other start is production.
            os.environ["LOG_FORMAT"] = os.environ.get("LOG_FORMAT") or "text"
            serve()


def check_model_setting() -> None:
    """Raises CommandError where nobody could answer."""
    try:
        check_model(settings.AGENT_MODEL)
    except UnknownModel as error:
        raise CommandError(f"AGENT_MODEL is not right. {error}") from error


def check_port() -> None:
    """Raises CommandError where something listens already."""
    family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.PORT))
        except OSError as error:
            where = f"{settings.HOST} port {settings.PORT}"
            another = f"PORT={settings.PORT + 1} make run"
            raise CommandError(f"{where} can not be listened on: {error.strerror}. Another one: {another}") from error


def set_up() -> Demo:
    """The demo tenant, its keys, its articles and the admin, as the file of secrets says.

    What the file lacks is written to it first, so that nothing is made that nobody knows.
    """
    demo = Demo(dev_secrets.load())
    tenant = find_tenant(demo.secrets)
    knew_password = "ADMIN_PASSWORD" in demo.secrets
    demo.secrets.setdefault("TENANT_ID", str(tenant.id if tenant else uuid4()))
    demo.secrets.setdefault("ADMIN_PASSWORD", secrets.token_urlsafe(15))
    choose_keys(demo, is_new=tenant is None)
    dev_secrets.save(demo.secrets)
    with transaction.atomic():
        if tenant is None:
            tenant = do_create_tenant(id=UUID(demo.secrets["TENANT_ID"]), name=TENANT)
            save_demo_articles(tenant)
        for name, kind in KEYS.items():
            if not stored(demo.secrets[name]):
                do_create_key(tenant=tenant, kind=kind, key=demo.secrets[name], name="make run")
        save_admin(demo, knew_password=knew_password)
    return demo


def find_tenant(remembered: dict[str, str]) -> Tenant | None:
    """The demo tenant: the one remembered or, where the file of secrets was thrown away, the one of that name."""
    if "TENANT_ID" in remembered:
        return Tenant.objects.filter(id=remembered["TENANT_ID"]).first()
    return Tenant.objects.filter(name=TENANT).order_by("created_at").first()


def stored(plain: str) -> ApiKey | None:
    """The row of a key."""
    return ApiKey.objects.all_tenants().filter(digest=keys.digest(plain)).first()


def choose_keys(demo: Demo, *, is_new: bool) -> None:
    """Remember a key of each kind that opens, or will."""
    for name, kind in KEYS.items():
        if name not in demo.secrets:
            if not is_new:
                demo.say(f"{dev_secrets.path()} did not know the keys: these are new ones.")
        elif (row := stored(demo.secrets[name])) is not None and row.revoked_at is not None:
            demo.say(f"The {kind} key was revoked: this is a new one.")
        else:
            continue
        demo.secrets[name] = keys.new_key(kind)


def save_admin(demo: Demo, *, knew_password: bool) -> None:
    """See that the admin can log in with the password remembered, unless somebody gave them another."""
    password = demo.secrets["ADMIN_PASSWORD"]
    admin = User.objects.filter(username=ADMIN).first()
    if admin is None:
        User.objects.create_superuser(ADMIN, password=password)
    elif not knew_password:
        demo.say(f"{dev_secrets.path()} did not know the password of {ADMIN}: it is a new one.")
        admin.set_password(password)
        admin.save(update_fields=["password"])
    elif not admin.check_password(password):
        demo.say(f"The password of {ADMIN} was changed: the one below is not theirs any more.")


def what_to_try(known: dict[str, str]) -> str:
    """The first things to try, with the real keys."""
    url = settings.PUBLIC_URL
    socket_url = "ws" + url.removeprefix("http")
    return f"""
Lexicon is at {url}: open it in a browser and talk.

Admin         {url}/admin/   {ADMIN} / {known["ADMIN_PASSWORD"]}
Tenant        {TENANT}, {known["TENANT_ID"]}
Tenant key    {known["TENANT_KEY"]}
Customer key  {known["CUSTOMER_KEY"]}

To try, in another terminal:

1. Create a chat over REST, and talk in it over a WebSocket
   curl {url}/api/v1/chats/ -H 'X-API-Key: {known["TENANT_KEY"]}' \\
     -H 'Content-Type: application/json' -d '{{"user_id": "alice"}}'
   {sys.executable} -m websockets \\
     '{socket_url}/ws/chat?api_key={known["TENANT_KEY"]}&user_id=alice&chat_id=THE_ID'
   {{"content": "What are your business hours?"}}

2. Have a conversation over the customer API
   CONVERSATION=$(curl -s -X POST {url}/api/v1/customer/conversations \\
     -H 'Authorization: Bearer {known["CUSTOMER_KEY"]}' | sed 's/.*"conversationId":"\\([^"]*\\)".*/\\1/')
   curl -N {url}/api/v1/customer/conversations/$CONVERSATION/messages \\
     -H 'Authorization: Bearer {known["CUSTOMER_KEY"]}' \\
     -H 'Content-Type: application/json' -d '{{"message": "Can I return a gift?"}}'

3. Ask for a person in one of them, and answer in the admin

README.md says the rest.
"""


def serve() -> None:
    """Become the server."""
    connections.close_all()
    # The package is found from whatever folder the command was called in.
    path = os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")]))
    os.execve(sys.executable, [sys.executable, "-m", "lexicon.serve"], {**os.environ, "PYTHONPATH": path})
