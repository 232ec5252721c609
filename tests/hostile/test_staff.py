"""No permission makes more of itself, and wrong passwords lock out nobody but those who type them (H8)."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib import admin
from django.contrib.auth.hashers import PBKDF2PasswordHasher, check_password
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, reverse

from staff.known_browsers import LIFE, cookie_name
from staff.login import (
    PER_BROWSER,
    PER_NAME,
    PER_NAME_AND_NETWORK,
    PER_NETWORK,
    Locked,
    do_begin,
    do_unlock,
)
from staff.users import StaffUserAdmin
from tenants.models import LoginAttempt
from tests.conftest import served
from tests.staff.conftest import client_of, staff
from tests.support.servers import Server

PASSWORD = "the-right-one-of-sam"
NEW_PASSWORD = "a-password-of-the-attacker"
LOCKED = "Too many logins failed"
WRONG = "Please enter the correct username and password"

# --- Permissions ---

#: Who tries, by the permissions they have.
ROLES = {
    "changes users": ["change_user"],
    "adds users": ["add_user"],
    "adds and changes users": ["add_user", "change_user"],
    "deletes users, changes permissions": ["delete_user", "add_permission", "change_permission", "delete_permission"],
    "looks at users and groups": ["view_user", "view_group"],
    "changes groups": ["add_group", "change_group", "delete_group"],
    "has every permission": None,
}


class Cast:
    """The staff that hostile forms are about."""

    def __init__(self, permissions: list[str] | None) -> None:
        every = [permission.codename for permission in Permission.objects.all()]
        self.attacker = staff("mallory", *(every if permissions is None else permissions))
        self.colleague = staff("sam", "view_chat")
        self.colleague.set_password(PASSWORD)
        self.colleague.save()
        self.boss = User.objects.create_superuser("olga", password=PASSWORD)
        self.group = Group.objects.create(name="support")
        self.group.permissions.set(Permission.objects.filter(codename="view_chat"))
        self.powerful = Group.objects.create(name="operators")
        self.powerful.permissions.set(Permission.objects.all())
        self.attacker.groups.add(self.group)
        self.client = client_of(self.attacker)


Casting = Callable[[list[str] | None], Cast]


@pytest.fixture
def casting(db: None) -> Casting:
    return Cast


def power() -> dict[str, Any]:
    """All that says who may do what."""
    users = {
        user.username: (
            (user.is_superuser, user.is_staff, user.is_active, user.password),
            sorted(user.groups.values_list("name", flat=True)),
            sorted(user.user_permissions.values_list("codename", flat=True)),
        )
        for user in User.objects.all()
    }
    groups = {group.name: sorted(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()}
    return {"users": users, "groups": groups}


def hostile_form(cast: Cast, **fields: Any) -> dict[str, Any]:
    """Every field that any form of the admin about users and groups has, and some that none should have."""
    everything = list(Permission.objects.values_list("pk", flat=True))
    return {
        "username": "eve",
        "name": "owners",
        "first_name": "E",
        "last_name": "Vil",
        "email": "eve@example.com",
        "password": "md5$a$b",
        "password1": NEW_PASSWORD,
        "password2": NEW_PASSWORD,
        "usable_password": "true",
        "set-password": "1",
        "is_superuser": "on",
        "is_staff": "on",
        "is_active": "on",
        "groups": [cast.group.pk, cast.powerful.pk],
        "permissions": everything,
        "user_permissions": everything,
        "user_set": [cast.attacker.pk],
        "date_joined_0": "2020-01-01",
        "date_joined_1": "00:00:00",
        "last_login_0": "",
        "last_login_1": "",
        "post": "yes",
        "_selected_action": [cast.attacker.pk, cast.colleague.pk, cast.boss.pk, cast.group.pk, cast.powerful.pk],
        "index": "0",
        "form-TOTAL_FORMS": "1",
        "form-INITIAL_FORMS": "1",
        "form-0-id": cast.attacker.pk,
        "form-0-is_superuser": "on",
        "form-0-groups": [cast.powerful.pk],
        **fields,
    }


#: What else a form says of what it wants.
VARIANTS: list[dict[str, Any]] = [
    {"_save": "Save", "action": "delete_selected"},
    {"_saveasnew": "1", "action": "unlock"},
    {"_popup": "1", "_to_field": "id", "unset-password": "1", "usable_password": "false"},
    {"_continue": "1", "is_active": "", "is_staff": "", "is_superuser": "", "groups": [], "user_permissions": []},
]


def pages(model: type) -> Iterator[str]:
    """The address of each page of the admin about `model`, with {} where it names a row."""
    for pattern in admin.site.get_model_admin(model).get_urls():
        assert isinstance(pattern, URLPattern)
        if pattern.name is not None:
            parameters = list(pattern.pattern.regex.groupindex)
            yield reverse(f"admin:{pattern.name}", args=["9999"] * len(parameters)).replace("9999", "{}")


def attack(cast: Cast) -> list[int]:
    """Every hostile form at every page about users and groups, for every row. What was answered."""
    answers = []
    targets = {User: [cast.attacker, cast.colleague, cast.boss], Group: [cast.group, cast.powerful]}
    for model, rows in targets.items():
        for page in pages(model):
            for row in rows if "{}" in page else [None]:
                for variant in VARIANTS:
                    named = {"username": row.username} if isinstance(row, User) else {}
                    answer = cast.client.post(page.format(row and row.pk), hostile_form(cast, **{**named, **variant}))
                    answers.append(answer.status_code)
    return answers


# Who may do what is decided above the database; each form is sent in each role.
@pytest.mark.once
@pytest.mark.parametrize("role", ROLES)
def test_no_form_gives_its_sender_or_anybody_more(casting: Casting, role: str) -> None:
    cast = casting(ROLES[role])
    before = power()
    answers = attack(cast)
    after = power()
    made = {name: after["users"].pop(name) for name in set(after["users"]) - set(before["users"])}
    assert after == before
    assert 403 in answers
    assert {status for status in answers if status >= 400} <= {403, 404, 405}
    for (is_superuser, is_staff, _, password), groups, permissions in made.values():
        assert (is_superuser, is_staff, groups, permissions) == (False, False, [], [])
        assert not check_password(NEW_PASSWORD, password)
    may_add = role in ("adds and changes users", "has every permission")
    assert bool(made) == may_add


def test_the_same_forms_of_a_superuser_do_what_they_say(casting: Casting) -> None:
    """Or they would prove nothing."""
    cast = casting([])
    boss = client_of(cast.boss)
    form = hostile_form(cast, username="sam")
    assert boss.post(f"/admin/auth/user/{cast.colleague.pk}/change/", form).status_code == 302
    assert boss.post(f"/admin/auth/user/{cast.colleague.pk}/password/", form).status_code == 302
    assert boss.post("/admin/auth/user/add/", hostile_form(cast, username="new")).status_code == 302
    assert boss.post(f"/admin/auth/group/{cast.group.pk}/change/", form).status_code == 302
    assert boss.post("/admin/auth/group/add/", hostile_form(cast, name="another")).status_code == 302
    assert boss.post(f"/admin/auth/group/{cast.powerful.pk}/delete/", form).status_code == 302
    sam, new = User.objects.get(username="sam"), User.objects.get(username="new")
    assert sam.is_superuser
    assert sam.user_permissions.count() == Permission.objects.count()
    assert sam.check_password(NEW_PASSWORD)
    assert new.check_password(NEW_PASSWORD)
    assert set(Group.objects.values_list("name", flat=True)) == {"owners", "another"}


def test_who_changes_users_changes_names_and_addresses_of_those_who_are_no_superusers(casting: Casting) -> None:
    cast = casting(["change_user"])
    personal = {"first_name": "Samuel", "last_name": "Field", "email": "sam@example.com"}
    for user in (cast.colleague, cast.attacker):
        assert cast.client.post(f"/admin/auth/user/{user.pk}/change/", personal).status_code == 302
        user.refresh_from_db()
        assert (user.first_name, user.last_name, user.email) == tuple(personal.values())
    assert cast.client.post(f"/admin/auth/user/{cast.boss.pk}/change/", personal).status_code == 403
    cast.boss.refresh_from_db()
    assert cast.boss.email == ""


def fields_of(page: str) -> set[str]:
    """The names of what can be filled in, without what every form of the admin has."""
    main = page[page.index('id="content-main"') :]
    return set(re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', main)) - {"csrfmiddlewaretoken"}


def test_the_page_shows_what_it_lets_change_and_says_why_no_more(casting: Casting) -> None:
    cast = casting(["change_user"])
    page = cast.client.get(f"/admin/auth/user/{cast.colleague.pk}/change/").content.decode()
    assert {"first_name", "last_name", "email"} <= fields_of(page)
    assert not fields_of(page) & {"username", "is_superuser", "is_staff", "is_active", "groups", "user_permissions"}
    assert "only superusers change" in page
    assert "/password/" not in page
    boss = cast.client.get(f"/admin/auth/user/{cast.boss.pk}/change/").content.decode()
    assert not fields_of(boss) & {"first_name", "email"}


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_sets_another_s_password_is_told_that_superusers_do(casting: Casting, method: str) -> None:
    cast = casting(None)
    for user in (cast.colleague, cast.boss, cast.attacker):
        answer = getattr(cast.client, method)(f"/admin/auth/user/{user.pk}/password/")
        assert answer.status_code == 403
        assert "Only superusers set other people" in answer.content.decode()


def test_one_s_own_password_is_changed_by_who_knows_it(casting: Casting) -> None:
    cast = casting([])
    sam = client_of(cast.colleague)
    form = {"old_password": "a guess", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert sam.post("/admin/password_change/", form).status_code == 200
    assert sam.post("/admin/password_change/", {**form, "old_password": PASSWORD}).status_code == 302
    cast.colleague.refresh_from_db()
    assert cast.colleague.check_password(NEW_PASSWORD)


def test_a_form_that_comes_late_writes_back_nothing_it_does_not_change(
    casting: Casting, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = casting(["change_user"])
    save_form = StaffUserAdmin.save_form

    def switched_off_meanwhile(self: Any, request: Any, form: Any, change: bool) -> Any:
        User.objects.filter(pk=cast.colleague.pk).update(is_active=False, password="another")
        return save_form(self, request, form, change)

    monkeypatch.setattr(StaffUserAdmin, "save_form", switched_off_meanwhile)
    cast.client.post(f"/admin/auth/user/{cast.colleague.pk}/change/", {"first_name": "Samuel"})
    cast.colleague.refresh_from_db()
    assert (cast.colleague.first_name, cast.colleague.is_active, cast.colleague.password) == (
        "Samuel",
        False,
        "another",
    )


def test_who_changes_users_unlocks_colleagues_and_no_superuser(casting: Casting) -> None:
    """Or a superuser's password could be guessed without end."""
    cast = casting(["change_user"])
    for name in ("sam", "olga"):
        do_begin(name=name, address="203.0.113.5")
    form = {"action": "unlock", "_selected_action": [cast.colleague.pk, cast.boss.pk]}
    page = cast.client.post("/admin/auth/user/", form, follow=True).content.decode()
    assert "Sam: 1 failed logins forgotten" in page
    assert "only superusers unlock those" in page
    assert LoginAttempt.objects.count() == 1
    assert do_unlock(name="olga") == 1


# --- Logins ---


class Browser:
    """Logs in from wherever it is, and keeps its cookies."""

    def __init__(self, address: str = "203.0.113.5") -> None:
        self.client = Client()
        self.address = address

    def log_in(self, name: str = "sam", password: str = "a guess") -> str:
        """What the login answers: "in", or its page."""
        form = {"username": name, "password": password, "next": "/admin/"}
        answer = self.client.post("/admin/login/", form, REMOTE_ADDR=self.address)
        return "in" if answer.status_code == 302 else answer.content.decode()

    def leave(self) -> None:
        self.client.post("/admin/logout/")


@pytest.fixture
def sam(db: None) -> User:
    return User.objects.create_user("sam", password=PASSWORD, is_staff=True)


@pytest.fixture
def known(sam: User) -> Browser:
    """A browser that has logged in before."""
    browser = Browser()
    assert browser.log_in("sam", PASSWORD) == "in"
    browser.leave()
    return browser


def cookie(browser: Browser, user: User) -> str:
    return browser.client.cookies[cookie_name(user.pk)].value


def fail_everywhere(name: str = "sam", times: int = PER_NAME) -> None:
    for number in range(times):
        do_begin(name=name, address=f"198.51.{number // 250}.{number % 250}")


def is_known(browser: Browser, password: str = PASSWORD) -> bool:
    """Whether the browser gets in while the name is locked for all others."""
    answer = browser.log_in("sam", password)
    assert answer == "in" or LOCKED in answer
    return answer == "in"


def test_an_attack_from_one_network_locks_it_out_of_that_network_only(sam: User) -> None:
    attacker = Browser("198.51.100.7")
    for _ in range(PER_NAME_AND_NETWORK):
        assert WRONG in attacker.log_in()
    assert LOCKED in attacker.log_in("sam", PASSWORD)
    assert Browser().log_in("sam", PASSWORD) == "in"


def test_an_attack_from_many_networks_locks_a_name_for_new_browsers_only(known: Browser) -> None:
    fail_everywhere()
    assert not is_known(Browser())
    assert is_known(known)
    assert not is_known(Browser("192.0.2.77"))


def test_failures_in_one_s_own_network_lock_no_known_browser_out(known: Browser) -> None:
    attacker = Browser(known.address)
    for _ in range(PER_NAME_AND_NETWORK):
        attacker.log_in()
    for number in range(PER_NETWORK - PER_NAME_AND_NETWORK):
        do_begin(name=f"guess-{number}", address=known.address)
    assert LOCKED in attacker.log_in("sam", PASSWORD)
    assert known.log_in("sam", PASSWORD) == "in"


def test_a_known_browser_has_five_failures_of_its_own_wherever_it_is(known: Browser) -> None:
    for number in range(PER_BROWSER):
        known.address = f"192.0.2.{number}"
        assert WRONG in known.log_in()
    known.address = "192.0.2.100"
    page = known.log_in("sam", PASSWORD)
    assert LOCKED in page
    assert "use a browser" not in page
    assert Browser().log_in("sam", PASSWORD) == "in"


def test_the_failures_of_a_known_browser_count_among_everybody_s(known: Browser) -> None:
    for _ in range(PER_BROWSER):
        known.log_in()
    assert LOCKED in Browser(known.address).log_in("sam", PASSWORD)


def test_a_known_browser_that_gets_in_forgives_nobody_else(known: Browser) -> None:
    attacker = Browser(known.address)
    for _ in range(PER_NAME_AND_NETWORK):
        attacker.log_in()
    for _ in range(PER_BROWSER - 1):
        known.log_in()
    assert known.log_in("sam", PASSWORD) == "in"
    assert LoginAttempt.objects.count() == PER_NAME_AND_NETWORK
    assert LOCKED in attacker.log_in("sam", PASSWORD)


def test_the_cookie_lets_nobody_in(known: Browser, sam: User) -> None:
    thief = Browser()
    thief.client.cookies[cookie_name(sam.pk)] = cookie(known, sam)
    assert thief.client.get("/admin/").status_code == 302
    assert WRONG in thief.log_in()


def test_the_cookie_is_kept_from_scripts_and_other_pages(known: Browser, sam: User) -> None:
    morsel = known.client.cookies[cookie_name(sam.pk)]
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Lax", "/admin/")
    assert morsel["max-age"] == LIFE.total_seconds()
    assert not morsel["secure"]
    assert "sam" not in morsel.value


def test_the_cookie_is_secure_where_sessions_are(sam: User, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    browser = Browser()
    browser.log_in("sam", PASSWORD)
    assert browser.client.cookies[cookie_name(sam.pk)]["secure"]


def test_who_fails_gets_no_cookie(sam: User) -> None:
    browser = Browser()
    browser.log_in()
    assert cookie_name(sam.pk) not in browser.client.cookies
    User.objects.create_user("guest", password=PASSWORD)
    browser.log_in("guest", PASSWORD)
    assert not [name for name in browser.client.cookies if name.startswith("lexicon_browser")]


FORGERIES: dict[str, Callable[[str], str]] = {
    "none": lambda value: "",
    "another id": lambda value: "x" + value,
    "no signature": lambda value: value.rpartition(":")[0],
    "another signature": lambda value: value.rpartition(":")[0] + ":" + "A" * 43,
    "a later time": lambda value: ":".join([value.split(":")[0], "zzzzzz", value.split(":")[2]]),
    "nothing but separators": lambda value: ":::::",
    "not ASCII": lambda value: "ä:ö:ü",
    "very long": lambda value: value + "A" * 3000,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_cookie_makes_no_browser_known(known: Browser, sam: User, forgery: str) -> None:
    fail_everywhere()
    known.client.cookies[cookie_name(sam.pk)] = FORGERIES[forgery](cookie(known, sam))
    assert not is_known(known)


def test_the_cookie_of_one_user_is_worth_nothing_to_another(sam: User) -> None:
    eve = User.objects.create_user("eve", password=NEW_PASSWORD, is_staff=True)
    browser = Browser()
    assert browser.log_in("eve", NEW_PASSWORD) == "in"
    browser.client.cookies[cookie_name(sam.pk)] = cookie(browser, eve)
    fail_everywhere()
    assert not is_known(browser)


def test_colleagues_who_share_a_browser_are_both_known(known: Browser, sam: User) -> None:
    User.objects.create_user("ada", password=NEW_PASSWORD, is_staff=True)
    assert known.log_in("ada", NEW_PASSWORD) == "in"
    known.leave()
    fail_everywhere()
    assert is_known(known)


def test_a_new_password_ends_what_browsers_were_known_by(known: Browser, sam: User) -> None:
    sam.set_password(NEW_PASSWORD)
    sam.save()
    fail_everywhere()
    assert not is_known(known, NEW_PASSWORD)


def test_the_browser_in_which_a_password_is_changed_stays_known(known: Browser, sam: User) -> None:
    elsewhere = Browser()
    elsewhere.log_in("sam", PASSWORD)
    known.log_in("sam", PASSWORD)
    form = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert known.client.post("/admin/password_change/", form).status_code == 302
    known.leave()
    fail_everywhere()
    assert is_known(known, NEW_PASSWORD)
    assert not is_known(elsewhere, NEW_PASSWORD)


def test_the_cookie_is_over_after_half_a_year(known: Browser, sam: User, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_everywhere()
    now = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + LIFE.total_seconds() + 60)
    assert not is_known(known)


def test_a_new_secret_key_knows_the_browsers_of_the_old_one(known: Browser, settings: Any) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-of-the-tests-" + "y" * 40
    fail_everywhere()
    assert is_known(known)


@pytest.mark.parametrize("sends_cookie", [False, True])
def test_a_name_nobody_has_costs_and_answers_the_same(known: Browser, sam: User, sends_cookie: bool) -> None:
    for failures in (0, PER_NAME):
        LoginAttempt.objects.all().delete()
        seen = []
        for name in ("sam", "nob"):
            fail_everywhere(name, failures)
            browser = Browser("192.0.2.9")
            if sends_cookie:
                for pk in (sam.pk, 0):
                    browser.client.cookies[cookie_name(pk)] = "x" + cookie(known, sam)
            with CaptureQueriesContext(connection) as statements:
                page = browser.log_in(name).replace(name, "NAME")
            kinds = [query["sql"].split(" ")[0] for query in statements]
            seen.append((kinds, page.partition("csrfmiddlewaretoken")[2].partition(">")[2]))
        assert seen[0] == seen[1]


def test_one_customer_s_ipv6_network_is_one_network(sam: User) -> None:
    for number in range(PER_NAME_AND_NETWORK):
        assert WRONG in Browser(f"2001:db8:1:1::{number:x}").log_in()
    assert LOCKED in Browser("2001:db8:1:1:abcd::1").log_in("sam", PASSWORD)
    assert Browser("2001:db8:1:2::1").log_in("sam", PASSWORD) == "in"


def test_an_ipv4_address_in_ipv6_is_itself(sam: User) -> None:
    for _ in range(PER_NAME_AND_NETWORK):
        Browser("::ffff:198.51.100.7").log_in()
    assert LOCKED in Browser("198.51.100.7").log_in("sam", PASSWORD)
    assert Browser("::ffff:198.51.100.8").log_in("sam", PASSWORD) == "in"


def test_a_flood_is_stored_no_further_than_it_is_looked_at(db: None) -> None:
    names = [{"name": f"guess-{number}", "address": "203.0.113.5"} for number in range(300)]
    networks = [{"name": "sam", "address": f"2001:db8:{number:x}::1"} for number in range(300)]
    for flood, bound in ((names, PER_NETWORK), (networks, PER_NAME)):
        LoginAttempt.objects.all().delete()
        for attempt in flood:
            with contextlib.suppress(Locked):
                do_begin(**attempt)
        assert LoginAttempt.objects.count() == bound


# --- A server behind a proxy ---


@pytest.fixture(scope="module")
def behind_a_proxy(pristine: str, model_server: str, folder: Path) -> Iterator[Server]:
    yield from served(folder / "behind_a_proxy.log", model_server, TRUSTED_PROXIES="127.0.0.1")


@pytest.fixture
def served_sam(behind_a_proxy: Server, django_db_blocker: Any) -> Iterator[User]:
    """Sam, for a server: the tests' own hasher is not one of its own."""
    with django_db_blocker.unblock():
        LoginAttempt.objects.all().delete()
        user = User.objects.create_user("served-sam", is_staff=True)
        user.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt")
        user.save()
        yield user
        user.delete()
        LoginAttempt.objects.all().delete()


def log_in_over_http(client: httpx.Client, address: str, password: str = "a guess") -> str:
    headers = {"X-Forwarded-For": address}
    page = client.get("/admin/login/", headers=headers).text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    form = {"csrfmiddlewaretoken": token[1], "username": "served-sam", "password": password, "next": "/admin/"}
    answer = client.post("/admin/login/", data=form, headers=headers)
    return "in" if answer.status_code == 302 else answer.text


def test_addresses_that_a_trusted_proxy_tells_are_counted_apart(behind_a_proxy: Server, served_sam: User) -> None:
    options: dict[str, Any] = {"base_url": behind_a_proxy.http, "verify": False, "timeout": 60}
    with httpx.Client(**options) as known, httpx.Client(**options) as attacker:
        assert log_in_over_http(known, "203.0.113.5", PASSWORD) == "in"
        assert known.cookies.get(cookie_name(served_sam.pk))
        known.cookies.delete("lexicon_session")
        for number in range(PER_NAME - 3):
            do_begin(name="served-sam", address=f"198.51.100.{number}")
        for number in range(3):
            assert WRONG in log_in_over_http(attacker, f"192.0.2.{number}")
        assert LOCKED in log_in_over_http(attacker, "192.0.2.100", PASSWORD)
        assert log_in_over_http(known, "203.0.113.5", PASSWORD) == "in"
        assert LoginAttempt.objects.filter(address="192.0.2.2").exists()
