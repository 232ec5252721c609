"""What a text can make slow is called only where it is measured, or with a reason.

The code is read for calls of modules that search, normalise or parse (`SLOW`), compiled patterns among them. Each
stands in a function that the list of tests/hostile/readers.py runs, or in one that has a reason here.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.hostile.readers import FILES, READERS
from tests.hostile.shapes import SHAPES

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
ROOMS = ("core", "tenants", "knowledge", "agents", "webhooks", "chats", "streaming", "staff", "web", "lexicon")
#: Modules whose functions take longer than their input is long, or may.
SLOW = {"re", "unicodedata", "difflib", "csv", "zipfile", "yaml", "markdownify", "bs4", "html.parser"}
#: Folders and modules that read nothing but what is ours: migrations, settings, and the documents of the API.
OURS = ("migrations/", "lexicon/settings.py", "lexicon/documents/")

#: A function, as `module:function`.
Name = str

#: What else may call them, and why.
REASONS: dict[Name, str] = {
    "agents.builtin.intents:_any_phrase": "reads our own phrases, at import",
    "agents.builtin.intents:_pattern": "reads our own phrases, at import",
    "agents.builtin.intents:_somewhere": "reads our own phrases, at import",
    "knowledge.management.commands.export_articles:_name": "one class of characters, in a title of 200 at most",
    "agents.builtin.dialogue_state:_template": "reads our own phrases, at import",
    "lexicon.http.access_log:_readable": "reads the patterns of our own routes",
    "lexicon.server.http_protocol:HttpProtocol.parse": "one class of characters, at the beginning of a piece of 4 KiB",
    "core.observability.logs:choose_request_id": "one class of characters, 128 at most",
    "tenants.middleware:_open": "one class of characters between two texts, of a path that the wire bounds",
    "tenants.middleware:_is_known": "one class of characters, 32 at most",
    "knowledge.page_text:_read_html": "runs in a process of its own, which has its time and memory",
    "web.widget:frame": "reads origins that staff wrote, each a line of a form",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """The modules of all rooms with their names."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            relative = path.relative_to(ROOT).as_posix()
            if not any(ours in relative for ours in OURS):
                name = relative.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    """What the module calls the slow modules and what it takes from them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(each.asname or each.name).split(".")[0] for each in node.names if each.name in SLOW}
        elif isinstance(node, ast.ImportFrom) and (node.module in SLOW or f"{node.module}.parser" in SLOW):
            names |= {each.asname or each.name for each in node.names}
    return names


def root(node: ast.expr) -> str:
    """The name that an expression of dots begins with: `re` of `re.compile`."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else ""


def called(node: ast.AST) -> set[str]:
    """The names that calls in the node begin with."""
    return {root(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}


def patterns(tree: ast.Module, slow: set[str]) -> set[str]:
    """Names of the module that stand for what a slow module made: compiled patterns, and what holds them."""
    makers = set(slow)
    made: set[str] = set()
    for _ in range(3):  # A pattern may be made by a function that another one calls.
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and called(node) & makers:
                makers.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value and called(node.value) & makers:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                made |= {target.id for target in targets if isinstance(target, ast.Name)}
    return made


def functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The functions of the module by their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield within + node.name, node
            yield from functions(node, f"{within}{node.name}.<locals>.")
        else:
            yield from functions(node, f"{within}{node.name}." if isinstance(node, ast.ClassDef) else within)


def own(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in the function, and not in one within it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from own(node)


def foreign_calls() -> dict[Name, list[str]]:
    """The functions that call what is slow, each with what it calls."""
    found: dict[Name, list[str]] = defaultdict(list)
    for module, tree in modules():
        slow = imported(tree)
        made = patterns(tree, slow)
        for name, function in functions(tree):
            for node in own(function):
                is_call = isinstance(node, ast.Call) and root(node.func) in slow
                is_pattern = isinstance(node, ast.Name) and node.id in made
                if is_call or is_pattern:
                    found[f"{module}:{name}"].append(ast.unparse(node))
    return found


def functions_read() -> set[Name]:
    """The functions that the list runs."""
    seen: set[Name] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            seen.add(f"{frame.f_globals.get('__name__')}:{frame.f_code.co_qualname}")

    texts = [shape(80) for shape in SHAPES.values()]
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for reader in (*READERS, *FILES):
            for text in texts:
                reader.read(text[: reader.most])
    finally:
        sys.setprofile(before)
    return seen


def test_what_a_text_can_make_slow_is_measured_or_has_a_reason() -> None:
    calls, seen = foreign_calls(), functions_read()
    without = {name: calls[name] for name in calls if name not in seen and name not in REASONS}
    assert without == {}
    needless = {name for name in REASONS if name not in calls or name in seen}
    assert needless == set()


def test_calls_and_patterns_are_seen_wherever_they_stand() -> None:
    tree = ast.parse(
        "import re, csv as tables\n"
        "from bs4 import BeautifulSoup\n"
        "_A = re.compile('a')\n"
        "def _make(): return re.compile('b')\n"
        "_B: dict = {1: _make()}\n"
        "class C:\n"
        "    def read(self, text):\n"
        "        def within(): return _A.sub('', text)\n"
        "        return [tables.reader(text) for _ in _B]\n"
    )
    slow = imported(tree)
    assert slow == {"re", "tables", "BeautifulSoup"}
    assert patterns(tree, slow) == {"_A", "_B"}
    assert [name for name, _ in functions(tree)] == ["_make", "C.read", "C.read.<locals>.within"]
