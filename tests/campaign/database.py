"""The databases of a campaign: made, given tenants, and read whole when a scenario is over.

A campaign works on several databases, of both kinds. Django's connections are used in one thread, which is pointed
at the one that is meant.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import dj_database_url
import psycopg
from django.db import connections

from chats.models import Chat, Message, Reply
from tenants.models import Account, CreditEntry
from tests.support.actors import Actor, new_actor
from tests.support.servers import ROOT

T = TypeVar("T")

_thread = ThreadPoolExecutor(1, thread_name_prefix="orm")
_pointed = ""


class Database:
    """One database, by its address."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def on_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    async def run(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What `work`, which uses the ORM, answers on this database."""
        return await asyncio.get_running_loop().run_in_executor(_thread, lambda: self._run(work, *args, **kwargs))

    def _run(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        global _pointed
        if _pointed != self.url:
            connections["default"].close()
            del connections["default"]
            given: dict[str, Any] = {**dj_database_url.parse(self.url), "CONN_MAX_AGE": 0}
            if self.on_sqlite:
                given["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
            connections.settings["default"] = connections.configure_settings({"default": given})["default"]
            _pointed = self.url
        try:
            return work(*args, **kwargs)
        finally:
            connections["default"].close()

    async def new_actor(self, name: str, *, base: str, **policy: Any) -> Actor:
        return await self.run(new_actor, name, base=base, **{"model": "openai:test", **policy})

    async def dump(self, actors: list[Actor]) -> list[dict[str, Any]]:
        """All that is stored of these tenants, as plain values."""
        return await self.run(lambda: [_dump(actor) for actor in actors])

    async def open_replies(self, actors: list[Actor]) -> int:
        """How many replies are still owed."""
        ids = [actor.tenant_id for actor in actors]
        return await self.run(lambda: Reply.objects.filter(tenant_id__in=ids, state__in=Reply.OPEN).count())


def _dump(actor: Actor) -> dict[str, Any]:
    tenant_id = actor.tenant_id
    account = Account.objects.get(tenant_id=tenant_id)
    entries = CreditEntry.objects.for_tenant(tenant_id)
    messages = Message.objects.for_tenant(tenant_id).order_by("chat", "sequence")
    fields = ("id", "chat_id", "sequence", "role", "content", "client_message_id", "reply_to_id", "metadata")
    return {
        "id": str(tenant_id),
        "balance": account.balance,
        "reserved": account.reserved,
        "ledger": [[reason, amount, str(reply)] for reason, amount, reply in entries.values_list(*_ENTRY)],
        "chats": {
            str(chat): {"last_sequence": last, "status": status}
            for chat, last, status in Chat.objects.for_tenant(tenant_id).values_list("id", "last_sequence", "status")
        },
        "messages": [
            {
                **row,
                "id": str(row["id"]),
                "chat_id": str(row["chat_id"]),
                "reply_to_id": row["reply_to_id"] and str(row["reply_to_id"]),
                "user": user,
            }
            for *values, user in messages.values_list(*fields, "user__external_id")
            for row in [dict(zip(fields, values, strict=True))]
        ],
        "replies": [
            {"id": str(key), "question": str(question), "state": state, "tries": tries, "epoch": epoch}
            for key, question, state, tries, epoch in Reply.objects.for_tenant(tenant_id).values_list(*_REPLY)
        ],
    }


_ENTRY = ("reason", "amount", "reply_id")
_REPLY = ("id", "question_id", "state", "tries", "epoch")


class Databases:
    """Makes databases with the service's tables, empty, and removes them in the end."""

    def __init__(self, folder: Path, postgresql: str | None) -> None:
        self._folder = folder
        #: The address of a server's own database, or None where there is no PostgreSQL.
        self._server = postgresql
        self._name = f"campaign_{os.getpid()}"
        self._made: list[str] = []

    def make(self) -> None:
        """Lay out what the others are copied from."""
        if self._server:
            self._administer(f"CREATE DATABASE {self._name}")
            self._made.append(self._name)
        for process in [self._migrate(template.url) for template in self.templates]:
            assert process.wait() == 0

    @property
    def templates(self) -> list[Database]:
        """What the others are copied from: SQLite's, and PostgreSQL's where there is one."""
        urls = [f"sqlite:///{self._folder / 'template.sqlite3'}", *([self._at(self._name)] if self._server else [])]
        return [Database(url) for url in urls]

    def new(self, *, on_sqlite: bool) -> Database:
        name = f"{self._name}_{uuid.uuid4().hex[:8]}"
        if on_sqlite:
            path = self._folder / f"{name}.sqlite3"
            shutil.copy(self._folder / "template.sqlite3", path)
            return Database(f"sqlite:///{path}")
        self._administer(f"CREATE DATABASE {name} TEMPLATE {self._name}")
        self._made.append(name)
        return Database(self._at(name))

    def close(self) -> None:
        for name in reversed(self._made):
            self._administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _at(self, name: str) -> str:
        assert self._server is not None
        return urlunsplit(urlsplit(self._server)._replace(path="/" + name))

    def _administer(self, statement: str) -> None:
        assert self._server is not None
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement)

    def _migrate(self, url: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, "DATABASE_URL": url, "REDIS_URL": "", "LOG_LEVEL": "WARNING"}
        return subprocess.Popen([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=env)
