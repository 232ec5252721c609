"""No request is a failure of ours, however it is malformed: on any route it gets the one shape of its face.

The routes are the URLconf's own. Requests are sent as bytes: no client library would send most of them.
"""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.conftest import new_database
from tests.support.actors import Actor, new_actor
from tests.support.servers import Server

TOKEN = "a" * 32  # Cookie and header say the same: that is all that forgery protection asks for.
FORM = ("Content-Type", "application/x-www-form-urlencoded")
Header = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Site:
    """A server with a page, the keys of a tenant, and a superuser's session."""

    address: tuple[str, int]
    ids: dict[str, str]
    headers: tuple[Header, ...]

    def ask(self, method: str, target: str | bytes, *headers: Header, body: bytes = b"", token: bool = True) -> Answer:
        """A request as it stands, with both keys and the session; a header given replaces the site's own."""
        given = {name.lower() for name, _ in headers}
        own = [header for header in self.headers if header[0].lower() not in given]
        lines = [*own, *headers, *([("X-CSRFToken", TOKEN)] if token else []), ("Connection", "close")]
        if body and "content-length" not in given:
            lines.append(("Content-Length", str(len(body))))
        path = target if isinstance(target, bytes) else target.encode()
        head = [method.encode("latin-1") + b" " + path + b" HTTP/1.1"]
        head += [f"{name}: {value}".encode("latin-1") for name, value in lines]
        with socket.create_connection(self.address, timeout=30) as connection:
            connection.sendall(b"\r\n".join([*head, b"", body]))
            told = b""
            while part := connection.recv(65536):
                told += part
        first, _, content = told.partition(b"\r\n\r\n")
        status, *rest = first.decode("latin-1").split("\r\n")
        named = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        return Answer(int(status.split()[1]), named, content)


@pytest.fixture(scope="module")
def site(pristine: str, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Site]:
    """On a database of its own: other tests leave rows behind that no code of ours writes."""
    folder = tmp_path_factory.mktemp("requests")
    with new_database(pristine, folder) as url:
        with django_db_blocker.unblock(), on_database(url):
            acme = new_actor("Acme", model="builtin")
            client = Client()
            client.force_login(User.objects.create_superuser("boss"))
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        bounds = dict.fromkeys(("STRANGERS_PER_MINUTE", "VISITORS_PER_HOUR", "VISITOR_MESSAGES_PER_MINUTE"), "0")
        log = folder / "server.log"
        server = Server(database_url=url, log=log, CHAT_PAGE_TENANT=str(acme.tenant_id), **bounds)
        try:
            acme.base = server.start().http
            yield site_of(acme, session)
        finally:
            server.close()
    # What the caller did wrong is no fault of the program. (That a proxy is not believed is the operator's to hear.)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    failed = [line for line in lines if line["level"] in ("ERROR", "CRITICAL")]
    assert [line for line in failed if line["logger"] != "core.addresses"] == []


@contextmanager
def on_database(url: str) -> Iterator[None]:
    """This process's ORM works on that database."""
    parsed = dj_database_url.parse(url)
    with pytest.MonkeyPatch.context() as patch:
        connections.close_all()
        for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT"):
            patch.setitem(connections.settings["default"], name, parsed[name])
        yield
        connections.close_all()


def site_of(acme: Actor, session: str) -> Site:
    where = urlsplit(acme.base)
    ids = {
        "chat_id": acme.new_chat(),
        "conversation_id": acme.new_conversation(),
        "tenant_id": str(acme.tenant_id),
        "user_id": "alice",
        "number": "1",
        "id": "1",
        "url": "nothing",
        "app_label": "chats",
    }
    headers = (
        ("Host", where.netloc),
        ("X-API-Key", acme.tenant_key),
        ("Authorization", f"Bearer {acme.customer_key}"),
        ("Cookie", f"{settings.SESSION_COOKIE_NAME}={session}; csrftoken={TOKEN}"),
    )
    return Site((str(where.hostname), int(where.port or 0)), ids, headers)


def routes(patterns: Iterable[URLPattern | URLResolver] | None = None, before: str = "") -> Iterator[str]:
    """Every address of the URLconf, with `{name}` where something is named."""
    from lexicon.http.access_log import _readable

    for entry in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, before + str(entry.pattern))
        else:
            yield _readable((before + str(entry.pattern)).replace("/^", "/").replace("(tenants|auth", "(?P<x>x"))


ROUTES = sorted(set(routes()))
#: Logging out would end the session of all that follows.
ADMIN = [route for route in ROUTES if route.startswith("/admin/") and "logout" not in route]
OTHERS = [route for route in ROUTES if not route.startswith("/admin/")]
#: One of each kind of page, and lists of one of each kind of key: all would take minutes.
_KINDS = ("/admin/chats/chat/", "/admin/r/")
SOME_ADMIN = [route for route in ADMIN if route.count("/") == 2 or route.startswith(_KINDS)]
UNKNOWN = ["/nothing", "/api/v1/nothing", "/api/v1/customer/nothing", "/static/nothing.css"]
STATIC = "/static/lexicon/widget.js"
LISTS = [f"/admin/{name}/" for name in ("chats/chat", "auth/user", "tenants/apikey", "webhooks/delivery")]


def target_of(site: Site, route: str) -> str:
    ids = {"object_id": site.ids["chat_id"], "content_type_id": "1", **site.ids}
    for name in ("message_id", "article_id"):
        ids[name] = str(uuid.uuid4())
    return route.format_map(ids)


def everywhere(work: Callable[..., Answer], cases: Iterable[tuple[Any, ...]]) -> list[tuple[tuple[Any, ...], Answer]]:
    """What is answered to each."""
    listed = list(cases)
    with ThreadPoolExecutor(4) as threads:
        return list(zip(listed, threads.map(lambda case: work(*case), listed), strict=True))


def problem(target: str | bytes, answer: Answer, *, shaped: bool = False) -> str | None:
    """What is wrong with an answer: a failure of ours, or one without its shape where it must have it."""
    if answer.status >= 500:
        return f"{answer.status} {answer.body[:200]!r}"
    path = target if isinstance(target, bytes) else target.encode()
    if answer.status < 400 or not (shaped or path.startswith(b"/api/")):
        return None
    if answer.headers.get("content-type") != "application/json" or not answer.headers.get("x-request-id"):
        return f"{answer.status} is not JSON: {answer.headers}"
    names = ["error", "code"] if path.startswith(b"/api/v1/customer/") else ["error_code", "error_message", "details"]
    return None if list(json.loads(answer.body)) == names else f"{answer.body!r}"


def test_the_urlconf_is_read_to_its_end() -> None:
    assert {"/", "/chat", "/metrics", "/healthz", "/api/v1/chats", "/api/v1/chats/user/{user_id}"} <= set(OTHERS)
    assert "/admin/chats/chat/{object_id}/change/" in ADMIN
    assert set(LISTS) <= set(ADMIN)
    assert len(SOME_ADMIN) > 8


# --- Queries ---


@pytest.mark.parametrize(
    "query",
    [
        "&".join(f"a{number}=1" for number in range(1001)),
        "&" * 1001,
        "a=%FF",
        "user_id=%FF&q=%FF&limit=%FF",
        "%C0%80",
        "q=%ED%A0%80",
        "a=%C3&b=%A9",
    ],
    ids=lambda query: query[:12],
)
def test_a_query_that_is_none_is_refused_on_every_route(site: Site, query: str) -> None:
    targets = [f"{target_of(site, route)}?{query}" for route in [*OTHERS, *SOME_ADMIN, *UNKNOWN, STATIC]]
    for (method, target), answer in everywhere(site.ask, [(m, t) for t in targets for m in ("GET", "POST")]):
        assert (answer.status, problem(target, answer, shaped=True)) == (400, None), (method, target[:100])


def test_1000_parameters_are_no_fault(site: Site) -> None:
    query = "&".join(f"a{number}=1" for number in range(1000))
    assert site.ask("GET", f"/api/v1/chats/?{query}").status == 200


@pytest.mark.parametrize(
    "query",
    ["q=%00&user_id=%00&limit=%00&format=%00&new=%00&p=%00&stream=%00", "q=%zz&user_id=%", ";;&&=&==", "a[]=1&a[b]=2"],
)
def test_a_strange_query_is_no_failure(site: Site, query: str) -> None:
    targets = [f"{target_of(site, route)}?{query}" for route in [*OTHERS, *SOME_ADMIN, *UNKNOWN, STATIC]]
    found = everywhere(site.ask, [(method, target) for target in targets for method in ("GET", "POST")])
    assert [(case, told) for case, answer in found if (told := problem(case[1], answer))] == []


@pytest.mark.once
@pytest.mark.parametrize("path", ["/admin/?", "/admin?", "/admin/login?next=", "/admin/nowhere?"])
@pytest.mark.parametrize("size", [100, 1_000, 3_900, 30_000])
def test_no_answers_head_grows_with_the_address(site: Site, path: str, size: int) -> None:
    # A proxy takes a head that is over its buffer for a failure of the process.
    answer = site.ask("GET", path + "&" * size, ("Cookie", ""))
    assert answer.status < 500
    assert sum(len(name) + len(value) + 4 for name, value in answer.headers.items()) < 3_500


# --- Methods ---


@pytest.mark.once
@pytest.mark.parametrize(
    "method", ["TRACE", "OPTIONS", "CONNECT", "PUT", "PROPFIND", "QUERY", "FOO", "get", "GETX", "A" * 300]
)
def test_a_method_that_nothing_takes_is_405_on_every_route(site: Site, method: str) -> None:
    targets = [target_of(site, route) for route in [*OTHERS, *ADMIN]] + [STATIC]
    for (_, target), answer in everywhere(site.ask, [(method, target) for target in targets]):
        known = method.isupper() and method not in ("FOO", "GETX", "A" * 300)
        assert answer.status == 405, target
        assert answer.headers["allow"], target
        assert method not in answer.headers["allow"].split(", "), target
        # Where the method itself can not be read, nobody knows the address.
        assert problem(target if known else "/", answer, shaped=True) is None, target


def test_a_page_that_is_read_is_not_written_to(site: Site) -> None:
    for target in ("/", "/widget.js", "/healthz", "/readyz", "/metrics", "/api/docs/"):
        answer = site.ask("POST", target, body=b"x", token=False)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD"), target
    assert site.ask("GET", "/chat").headers["allow"] == "POST"


# --- Paths ---


@pytest.mark.parametrize(
    "path",
    [
        *(b"//", b"/api/v1//chats/", b"/api/v1/chats//", b"/%00", b"/\x00", b"/\xff", b"*", b"http://other/healthz"),
        *(b"/api/v1/chats/%00", b"/api/v1/chats/\xff", b"/api/v1/chats/%FF", b"/api/v1/chats/%C0%80/messages"),
        *(b"/api/v1/chats/%ED%A0%80", b"/api/v1/chats/" + b"a" * 8192, b"/" + b"a" * 8192, b"/api/v1/chats/user/%zz"),
        *(b"/api/v1/chats/user/" + b"%F0%9F%98%80" * 256, b"/api/v1/chats/user/%0d%0aX:y", b"/%0d%0aSet-Cookie:a=b"),
        *(b"/static/../settings.py", b"/static/..%2f..%2fsettings.py", b"/static/%2e%2e/x", b"/static//etc/passwd"),
        *(b"/widget/%FF", b"/widget/xyz", b"/admin//", b"/admin/%00", b"/admin/%FF/", b"//evil.example/admin"),
        *(b"/admin/chats/chat/%00/change/", b"/admin/chats/chat/" + b"a" * 8000 + b"/change/", b"/\\evil.example"),
        *(b"/admin/auth/user/99999999999999999999/change/", b"/admin/auth/user/-1/change/"),
        *(b"/admin/auth/user/%D9%A1/change/", b"/admin/auth/user/_00/change/", b"/admin/auth/user/%00/password/"),
        *(b"/admin/auth/user/99999999999999999999/password/", b"/admin/auth/user/x/password/"),
        *(b"/admin/r/99999999999999999999/1/", b"/admin/r/%00/%00/", b"/admin/r/7/xyz/", b"/admin/r/-1/-1/"),
        b"/admin/agents/article/3f2504e0-4f89-41d3-9a0c-0305e82c3301/versions/99999999999999999999999/",
    ],
    ids=lambda path: repr(path[:48]),
)
def test_a_strange_path_is_no_failure(site: Site, path: bytes) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = site.ask(method, path)
        assert problem(path, answer) is None, method
        assert "set-cookie" not in answer.headers or b"a=b" not in answer.headers["set-cookie"].encode()
        assert "SECRET_KEY" not in answer.body.decode("latin-1")


# --- Headers ---


def posted(site: Site) -> list[str]:
    """What takes a body: of each face, a page and a form."""
    messages = f"/api/v1/customer/conversations/{site.ids['conversation_id']}/messages"
    return ["/api/v1/chats/", messages, "/chat", "/admin/login/", "/admin/chats/chat/"]


HEADERS: list[Header] = [
    *[("Cookie", value) for value in (";;;=;==", "lexicon_session=" + "a" * 10_000, "csrftoken=short", "\xff=\xfe")],
    ("Cookie", f"messages={'x' * 3000}; csrftoken={TOKEN}; lexicon_visitor=a:b:c; lexicon_session=\xff"),
    ("Cookie", f"csrftoken={TOKEN}; lexicon_visitor=WyJhIl0:1tXXXX:zzz"),
    ("Cookie", f"csrftoken={TOKEN}; lexicon_visitor={'9' * 20_000}:{'z' * 12}:x"),
    *[("Host", value) for value in ("a b", "", "\xff", "127.0.0.1:99999999", "[::1")],
    *[("Accept-Language", value) for value in ("\xff" * 500, "de;q=" + "1" * 400, ",".join(["x"] * 3000))],
    *[("If-Modified-Since", value) for value in ("garbage", "Mon, 99 Foo 99999 99:99:99 GMT")],
    *[("If-None-Match", value) for value in ('"\xff', "W/" * 500)],
    *[("Range", value) for value in ("bytes=-", "bytes=" + "9" * 5000 + "-", "bytes=5-1", "bytes=\xb2-", "\xff")],
    *[("Accept", value) for value in ("\xff;q=\xff", "text/html;" * 500)],
    *[(name, "\xff") for name in ("Accept-Encoding", "X-Request-ID", "X-Forwarded-For", "X-Forwarded-Proto")],
    *[(name, "http://[::1") for name in ("Origin", "Referer")],
    *[("Content-Length", value) for value in ("-1", "abc", "9" * 30, "0x10", "1, 1")],
    ("Content-Encoding", "gzip"),
    ("Transfer-Encoding", "gzip, nothing"),
    ("Expect", "nonsense"),
    ("Upgrade", "h2c"),
    ("Authorization", "Bearer \xff\xfe"),
    ("X-API-Key", "\xff" * 300),
    ("Idempotency-Key", "\xff"),
    ("Last-Event-ID", "\xb2"),
    ("traceparent", "\xff"),
    ("X-HTTP-Method-Override", "DELETE"),
]


@pytest.mark.once
@pytest.mark.parametrize("header", HEADERS, ids=lambda header: f"{header[0]}: {header[1][:20]!r}")
def test_a_strange_header_is_no_failure(site: Site, header: Header) -> None:
    read = [*(target_of(site, route) for route in OTHERS), "/admin/chats/chat/", STATIC]
    written = posted(site)
    cases = [("GET", target, header) for target in read] + [("POST", target, header) for target in written]
    found = everywhere(site.ask, cases)
    assert [(case[:2], told) for case, answer in found if (told := problem(case[1], answer))] == []


# --- Bodies ---

CONTENT_TYPES = [
    *(f"application/json; charset={name}" for name in ("nope", "\xff", "utf-16")),
    *(f"application/x-www-form-urlencoded; charset={name}" for name in ("utf-7", "latin-1", "idna", "base64")),
    *(f"multipart/form-data{rest}" for rest in ("", "; boundary=", "; boundary=\xff\xfe", "; boundary=" + "a" * 300)),
    *("text/plain", "; ;", "a" * 5000, "application/json;" + ";" * 3000, "application/json; charset*=utf-8''%FF"),
]


def part(name: str, content: str = "1", *, more: str = "", headers: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n{content}\r\n'.encode()


BODIES = {
    "one byte": b"x",
    "no UTF-8": b"\xff\xfe\x00",
    "bad escapes": b"a=%FF&b=%zz&c=%00",
    "1,001 fields": b"&".join(b"a%d=1" % number for number in range(1001)),
    "1,001 parts": b"".join(part(f"a{number}") for number in range(1001)) + b"--x--\r\n",
    "101 files": b"".join(part(f"f{number}", more='; filename="a"') for number in range(101)) + b"--x--\r\n",
    "no base64": part("a", "!!!!!", headers="Content-Transfer-Encoding: base64\r\n") + b"--x--\r\n",
    "a climbing name": part("f", more='; filename="../../x"') + b"--x--\r\n",
    "a broken part": b"--x\r\nbroken",
}


KINDS = [FORM[1], "multipart/form-data; boundary=x", "application/json"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("content_type", "name"),
    [*((kind, name) for kind in KINDS for name in BODIES), *((kind, "bad escapes") for kind in CONTENT_TYPES)],
)
def test_a_strange_body_is_no_failure(site: Site, content_type: str, name: str) -> None:
    for target in posted(site):
        answer = site.ask("POST", target, ("Content-Type", content_type), body=BODIES[name])
        assert problem(target, answer) is None, target


@pytest.mark.parametrize("name", ["1,001 fields", "1,001 parts", "101 files"])
def test_too_much_in_a_form_is_refused(site: Site, name: str) -> None:
    kind = FORM if name == "1,001 fields" else ("Content-Type", "multipart/form-data; boundary=x")
    for target in ("/admin/login/", "/admin/tenants/tenant/add/"):
        # Without the token in a header, the form is read to look for it.
        answer = site.ask("POST", target, kind, body=BODIES[name], token=False)
        assert (answer.status, problem(target, answer, shaped=True)) == (400, None), target


def test_a_body_that_ends_early_stops_nobody(site: Site) -> None:
    with socket.create_connection(site.address, timeout=30) as connection:
        head = ["POST /admin/login/ HTTP/1.1", f"Host: {site.address[0]}", ": ".join(FORM), "Content-Length: 100"]
        connection.sendall("\r\n".join([*head, "", "a=1"]).encode())
    assert site.ask("GET", "/healthz").status == 200


# --- The admin: what it looks up ---

VALUES = ["%00", "xyz", "99999999999999999999", "-1", "10000"]
LOOKUPS = [
    *("q", "o", "p", "e", "all", "_facets", "_to_field", "_popup", "_changelist_filters", "id", "pk", "id__in"),
    *("tenant", "tenant__id__exact", "user", "content__icontains", "created_at__year", "created_at__gte", "status"),
]


@pytest.mark.parametrize("value", VALUES)
def test_what_a_list_is_asked_for_is_no_failure(site: Site, value: str) -> None:
    found = everywhere(site.ask, [("GET", f"{page}?{lookup}={value}") for page in LISTS for lookup in LOOKUPS])
    assert [(case, told) for case, answer in found if (told := problem(case[1], answer))] == []


@pytest.mark.parametrize("value", VALUES)
def test_what_a_list_is_told_to_do_is_no_failure(site: Site, value: str) -> None:
    bodies = [f"action={action}&_selected_action={value}" for action in ("delete_selected", "nothing", "send_again")]
    bodies += [f"action={value}&index={value}", f"_save=1&form-TOTAL_FORMS={value}", "_save=1"]
    found = everywhere(
        lambda page, body: site.ask("POST", page, FORM, body=body.encode()),
        [(page, body) for page in LISTS for body in bodies],
    )
    assert [(case, told) for case, answer in found if (told := problem(case[0], answer))] == []


@pytest.mark.parametrize("value", VALUES)
def test_what_a_form_is_given_is_no_failure(site: Site, value: str) -> None:
    names = ("tenant", "user", "kind", "username", "password1", "name", "title", "url", "amount", "do", "text", "seen")
    names += ("rest_per_minute", "expires_at_0", "expires_at_1", "keys-TOTAL_FORMS", "_popup", "_to_field", "_save")
    body = "&".join(f"{name}={value}" for name in names).encode()
    targets = [page + tail for page in LISTS for tail in ("add/", f"{site.ids['chat_id']}/change/", "1/change/")]
    found = everywhere(lambda target: site.ask("POST", target, FORM, body=body), [(target,) for target in targets])
    found += everywhere(lambda target: site.ask("GET", f"{target}?{body.decode()}"), [(target,) for target in targets])
    assert [(case, told) for case, answer in found if (told := problem(case[0], answer))] == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "app_label=x&model_name=y&field_name=z",
        "app_label=chats&model_name=chat&field_name=%00&term=%00&page=x",
        "app_label=tenants&model_name=apikey&field_name=tenant&term=%00&page=-1",
        "app_label=tenants&model_name=apikey&field_name=tenant&term=a&page=99999999999999999999",
    ],
)
def test_what_is_completed_is_no_failure(site: Site, query: str) -> None:
    assert problem("", site.ask("GET", f"/admin/autocomplete/?{query}")) is None


# --- Forgery ---


def test_the_page_without_its_token_is_told_what_to_do_in_the_one_shape(site: Site) -> None:
    answer = site.ask("POST", "/chat", ("Cookie", ""), token=False)
    assert (answer.status, problem("/chat", answer, shaped=True)) == (403, None)
    assert "Reload the page" in json.loads(answer.body)["details"]["fix"]


@pytest.mark.parametrize("target", ["/admin/login/", "/admin/chats/chat/", "/admin/tenants/tenant/add/"])
def test_a_form_of_the_admin_without_its_token_is_told_on_a_page_of_the_admin(site: Site, target: str) -> None:
    asked = (("Accept", "text/html,application/xhtml+xml"), FORM)
    page = site.ask("POST", target, *asked, body=b"a=1", token=False)
    assert page.status == 403
    assert page.headers["content-type"].startswith("text/html")
    assert b"Reload the page" in page.body
    assert b"lexicon/admin.css" in page.body
    other = site.ask("POST", target, FORM, body=b"a=1", token=False)
    assert (other.status, problem(target, other, shaped=True)) == (403, None)


def test_who_may_not_is_told_on_a_page_of_the_admin(site: Site) -> None:
    page = site.ask("GET", "/admin/chats/chat/add/", ("Accept", "text/html"))
    assert page.status == 403
    assert b"Your account may not do this" in page.body
