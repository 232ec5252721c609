"""How does an operator make a tenant from the command line?

In the agents' room, because it knows which models a tenant may name.
"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from agents.catalog import UnknownModel, check_model
from core.payload import text_problem, write_json
from tenants.models import ApiKey, Tenant
from tenants.provisioning import do_create_key, do_create_tenant

#: The limits that can be set, with what `--help` says of each.
LIMITS = {
    "rest_per_minute": "REST requests a minute",
    "ws_messages_per_second": "frames a second on one WebSocket",
    "ws_connections": "WebSockets at once",
    "message_limit": "user messages of one chat",
    "credits": "credits to start with; without it the tenant is unmetered",
}


def positive(text: str) -> int:
    """A whole number of at least 1 that every database can hold."""
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to {2**31 - 1}")
    return int(text)


class Command(BaseCommand):
    help = "Make a tenant, and print its id and two keys. The keys are shown only this once."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="what the tenant is called in the admin")
        parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
        parser.add_argument(
            "--model", default="", help="builtin, openai:<model> or anthropic:<model>; without it what AGENT_MODEL says"
        )
        for name, meaning in LIMITS.items():
            parser.add_argument("--" + name.replace("_", "-"), type=positive, metavar="N", help=meaning)

    def handle(self, *args: Any, **options: Any) -> None:
        if problem := text_problem(options["name"], longest=200):
            raise CommandError(f"The name {problem}.")
        try:
            check_model(options["model"])
        except UnknownModel as error:
            raise CommandError(str(error)) from error
        limits = {name: options[name] for name in LIMITS if options[name] is not None}
        with transaction.atomic():
            tenant = do_create_tenant(name=options["name"], model=options["model"], **limits)
            _, tenant_key = do_create_key(tenant=tenant, kind=ApiKey.Kind.TENANT)
            _, customer_key = do_create_key(tenant=tenant, kind=ApiKey.Kind.CUSTOMER)
        if options["json"]:
            made = {"tenant_id": tenant.id, "api_key": tenant_key, "customer_key": customer_key}
            self.stdout.write(write_json(made).decode())
        else:
            self.stdout.write(_told(tenant, tenant_key, customer_key))


def _told(tenant: Tenant, tenant_key: str, customer_key: str) -> str:
    return f"""\
The tenant {tenant.name} is made. Copy its keys now: they are shown only this once.

Tenant id     {tenant.id}
Tenant key    {tenant_key}   REST and WebSocket: X-API-Key: <key>
Customer key  {customer_key}   customer API: Authorization: Bearer <key>"""
