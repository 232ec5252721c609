"""Every query on a tenant's rows begins by saying whose: shown by reading the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps

from tenants.models import TenantOwned
from tests.support.servers import ROOT

ROOMS = ("core", "tenants", "knowledge", "agents", "webhooks", "chats", "streaming", "staff", "web", "lexicon")
#: The models whose rows belong to a tenant, as the code names them.
OWNED = {model.__name__ for model in apps.get_models() if issubclass(model, TenantOwned)}
MANAGERS = {"objects", "_default_manager", "_base_manager"}
#: What may follow a manager: the two beginnings, and inserts, which name the tenant themselves.
BEGINNINGS = {"for_tenant", "create", "bulk_create"}

#: Who may ask about the rows of all tenants, and why.
ALL_TENANTS = {
    "tenants.authentication._BY_DIGEST": "finds out whose key it is",
    "tenants.authentication._BY_ID": "reads a key again by an id that a key opened",
    "tenants.known._find_live_keys": "finds out which of the keys somebody shows there are",
    "knowledge.vectors.claim_due": "the embedding worker gives every tenant's articles vectors",
    "chats.connections._FORGET": "the process's own row of a socket",
    "chats.connections.tidy": "the process's own rows of sockets",
    "chats.connections.dead_keys": "the keys that opened the process's own sockets",
    "chats.replies.recovery.find_orphans": "the sweeper looks at every chat",
    "chats.replies.recovery.owned": "the process's own replies",
    "chats.replies.recovery.do_checkpoint": "the process's own replies",
    "chats.following._SNAPSHOT": "a chat that was opened for a caller before",
    "chats.following.read_positions": "chats that were opened for callers before",
    "chats.deletion.exists": "a chat that was deleted for a caller before",
    "chats.idempotency.do_forget": "the engine's tidying, by age",
    "chats.rating.rated_down": "staff see every chat; joined to the chats it is given",
    "chats.queue_stats.read_backlog": "counts them, for the operator",
    "staff.chats.ChatAdmin._of_users": "staff find a user of any tenant",
    "chats.inbox.still_waiting": "staff see every chat; joined to the chats it is given",
    "chats.inbox.longest_waiting": "staff see every chat",
    "webhooks.claims.claim_due": "the sender sends for every tenant",
    "webhooks.claims.do_tidy": "the sender's tidying, by age",
    "webhooks.endpoints.do_send_again": "staff see every tenant's; joined to the deliveries it is given",
    "webhooks.endpoints.dead_letters": "staff see every tenant's; of the endpoints it is given",
    "staff.templatetags.switched_off.endpoints_switched_off": "staff see every tenant's",
    "web.management.commands.demo.stored": "finds out whose key `make run` remembered",
}
#: Which function runs such a query where it is a statement that was compiled before.
RUN_BY = {
    "tenants.authentication._BY_DIGEST": "tenants.authentication.open_key",
    "tenants.authentication._BY_ID": "tenants.authentication.open_live_key",
    "chats.following._SNAPSHOT": "chats.following.read_snapshot",
    "chats.connections._FORGET": "chats.connections.do_close_connection",
}
#: Who writes SQL by hand, and why.
BY_HAND = {
    "knowledge.pgvector.after_migrate": "makes the column that no model has",
    "knowledge.pgvector.fill": "copies the vectors of every tenant into it",
    "knowledge.pgvector.put": "writes the copies of rows that were just stored or read",
    "knowledge.pgvector.nearest": "compares vectors, within the passages it is given",
    "knowledge.pgvector._answers": "asks PostgreSQL what it has",
    "chats.places._store": "takes a free number of the row's tenant, by one statement",
    "core.db.advisory_lock.take_turn": "takes a lock of the server, where sockets or logins are counted",
    "lexicon.management.commands.migrate._alone_on_postgresql": "holds a lock of the server",
    "lexicon.data_checks.sqlite_pragmas": "asks SQLite what it was told",
    "core.db.sqlite3.base.DatabaseWrapper.create_cursor": "makes the cursor of every query",
    "core.db.statements.Select.all": "runs what a queryset was compiled to",
    "core.db.statements.Select.first": "runs what a queryset was compiled to",
    "core.db.statements._run": "runs what a queryset was compiled to",
    "core.db.statements.Insert.run": "runs what saving a row was compiled to",
    "lexicon.move_to_postgres.move": "moves every row of every tenant",
    "lexicon.move_to_postgres._take_sequence": "moves every row of every tenant",
}


def python_files() -> list[Path]:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts]
    assert len(files) > 40
    return files


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Each node of the module with the name of the functions, classes and constants around it."""

    def named(node: ast.AST) -> str:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return node.name
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        return target.id if isinstance(target, ast.Name) and target.id.isupper() else ""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            yield name, child
            yield from walk(child, f"{name}.{named(child)}".strip("."))

    return walk(tree, "")


def owned_names(tree: ast.Module) -> set[str]:
    """What the module calls the tenant-owned models."""
    names = set(OWNED)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname for alias in node.names if alias.name in OWNED and alias.asname}
    return names


def last_name(node: ast.expr) -> str:
    """`Chat` of both `Chat` and `models.Chat`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def beginnings(source: str) -> Iterator[tuple[str, str, int]]:
    """Each use of a tenant-owned model's manager: in which function, what follows it ("" for nothing), which line."""
    tree = ast.parse(source)
    owned = owned_names(tree)
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for function, node in functions(tree):
        if isinstance(node, ast.Call) and last_name(node.func) in ("get_object_or_404", "get_list_or_404"):
            yield function, last_name(node.func), node.lineno
        if not isinstance(node, ast.Attribute) or node.attr not in MANAGERS:
            continue
        if last_name(node.value) not in owned:
            continue
        follows = parents.get(node)
        if isinstance(follows, ast.Attribute) and isinstance(parents.get(follows), ast.Call):
            yield function, follows.attr, node.lineno
        else:
            yield function, "", node.lineno


def offenders(source: str) -> list[int]:
    """The lines whose query on a tenant-owned model begins otherwise than it must."""
    return [line for _, follows, line in beginnings(source) if follows not in BEGINNINGS | {"all_tenants"}]


def sql_by_hand(source: str) -> Iterator[str]:
    """The functions that pass by the ORM."""
    for function, node in functions(ast.parse(source)):
        if isinstance(node, ast.Call) and last_name(node.func) in ("cursor", "raw", "RawSQL", "extra"):
            yield function


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_every_query_on_a_tenants_rows_begins_with_the_tenant() -> None:
    found = {path.name: offenders(path.read_text()) for path in python_files()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_who_asks_about_all_tenants_is_listed_with_a_reason() -> None:
    found = {
        f"{module_of(path)}.{function}"
        for path in python_files()
        for function, follows, _ in beginnings(path.read_text())
        if follows == "all_tenants"
    }
    assert found == set(ALL_TENANTS)


def test_a_statement_about_all_tenants_is_run_by_one_function_only() -> None:
    runners: dict[str, set[str]] = {
        statement: set() for statement in ALL_TENANTS if statement.rpartition(".")[2].isupper()
    }
    for path in python_files():
        for function, node in functions(ast.parse(path.read_text())):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                runners.get(f"{module_of(path)}.{node.id}", set()).add(f"{module_of(path)}.{function}")
    assert runners == {statement: {function} for statement, function in RUN_BY.items()}


def test_who_writes_sql_by_hand_is_listed_with_a_reason() -> None:
    found = {f"{module_of(path)}.{function}" for path in python_files() for function in sql_by_hand(path.read_text())}
    assert found == set(BY_HAND)


def test_the_models_it_looks_for_are_those_with_a_tenant() -> None:
    assert {"Chat", "Message", "Reply", "Connection", "EndUser", "ApiKey", "CreditEntry", "Article"} <= OWNED


@pytest.mark.parametrize(
    "source",
    [
        "Chat.objects.filter(id=1)",
        "Chat.objects.get(id=1)",
        "Chat.objects.all()",
        "Chat.objects.update(title='')",
        "Chat._default_manager.filter(id=1)",
        "chats = Chat.objects",
        "list_all(Chat.objects)",
        "models.Chat.objects.filter(id=1)",
        "from chats.models import Chat as C\nC.objects.filter(id=1)",
        "from django.shortcuts import get_object_or_404\nget_object_or_404(Chat, id=1)",
        "def view():\n    return [c for c in Message.objects.filter(chat=1)]",
        "class View:\n    queryset = Reply.objects.all()",
        "begin = Chat.objects.for_tenant",
    ],
)
def test_it_catches(source: str) -> None:
    assert len(offenders(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "Chat.objects.for_tenant(t).filter(id=1)",
        "Chat.objects.all_tenants().filter(id=1)",
        "Message.objects.create(tenant_id=t)",
        "Process.objects.filter(id=1)",
        "from chats.models import Process as P\nP.objects.filter(id=1)",
        "self.objects.filter(id=1)",
    ],
)
def test_it_lets_pass(source: str) -> None:
    assert offenders(source) == []


def test_it_names_the_function_around_a_query() -> None:
    source = "class A:\n    def f(self):\n        def g():\n            Chat.objects.all_tenants()"
    assert [function for function, _, _ in beginnings(source)] == ["A.f.g"]
    assert [function for function, _, _ in beginnings("_ALL = Select(lambda: Chat.objects.all_tenants())")] == ["_ALL"]


def test_it_catches_sql_by_hand() -> None:
    source = "def f():\n    with connection.cursor() as c: pass\ndef g():\n    return Chat.objects.raw('SELECT 1')"
    assert set(sql_by_hand(source)) == {"f", "g"}
