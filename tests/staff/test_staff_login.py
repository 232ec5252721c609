"""The admin's login can be tried only so often, and whoever is locked out gets in again."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.observability import metrics
from staff.login import PER_NAME, PER_NAME_AND_NETWORK, PER_NETWORK, do_begin
from tenants.models import LoginAttempt

PASSWORD = "the-right-one-of-sam"
LOCKED = "Too many logins failed"
WRONG = "Please enter the correct username and password"


@pytest.fixture
def sam(db: None) -> User:
    return User.objects.create_user("sam", password=PASSWORD, is_staff=True)


def log_in(name: str, password: str = "a guess", address: str = "203.0.113.5", **headers: str) -> str:
    """What the login answers: "in", or its page."""
    form = {"username": name, "password": password, "next": "/admin/"}
    answer = Client(REMOTE_ADDR=address, headers=headers).post("/admin/login/", form)
    return "in" if answer.status_code == 302 else answer.content.decode()


def lock(name: str) -> None:
    for _ in range(PER_NAME_AND_NETWORK):
        assert WRONG in log_in(name)


def fail(times: int, address: str = "203.0.113.5") -> None:
    """So many failures of one address, each with another name. (A page for each would take seconds.)"""
    for number in range(times):
        do_begin(name=f"guess-{number}", address=address)


def test_a_name_is_locked_after_five_failures_for_the_network_they_came_from(sam: User) -> None:
    lock("sam")
    assert LOCKED in log_in("sam", PASSWORD)
    assert log_in("sam", PASSWORD, address="203.0.113.6") == "in"


def test_a_login_elsewhere_forgives_nothing_here(sam: User) -> None:
    lock("sam")
    assert log_in("sam", PASSWORD, address="203.0.113.6") == "in"
    assert LOCKED in log_in("sam", PASSWORD)


def test_a_name_is_locked_after_fifty_failures_from_many_networks(sam: User) -> None:
    for number in range(PER_NAME - 1):
        do_begin(name="sam", address=f"198.51.100.{number}")
    assert WRONG in log_in("sam", address="198.51.100.200")
    assert LOCKED in log_in("sam", PASSWORD)
    assert WRONG in log_in("olga", address="198.51.100.200")


def test_the_page_says_how_long_to_wait_and_how_it_is_unlocked(sam: User) -> None:
    lock("sam")
    assert "Try again in 15 minutes" in log_in("sam", PASSWORD)
    LoginAttempt.objects.update(at=timezone.now() - timedelta(minutes=14, seconds=10))
    page = log_in("sam", PASSWORD)
    assert "Try again in 1 minute," in page
    assert "manage.py unlock_login" in page


def test_what_a_process_of_before_counted_counts(sam: User) -> None:
    """During a rolling upgrade it writes rows without the column that was added."""
    lock("sam")
    with connection.cursor() as cursor:
        cursor.execute("SELECT who, address FROM tenants_loginattempt")
        who, address = cursor.fetchone()
        LoginAttempt.objects.all().delete()
        for _ in range(PER_NAME_AND_NETWORK):
            cursor.execute(
                "INSERT INTO tenants_loginattempt (who, address, at) VALUES (%s, %s, %s)",
                [who, address, timezone.now()],
            )
    assert LOCKED in log_in("sam", PASSWORD)


def test_refusals_are_counted(sam: User) -> None:
    lock("sam")
    before = metrics.REFUSALS.labels("logins")._value.get()
    log_in("sam", PASSWORD)
    assert metrics.REFUSALS.labels("logins")._value.get() == before + 1


def test_what_is_refused_is_stored_nowhere(sam: User) -> None:
    lock("sam")
    with CaptureQueriesContext(connection) as statements:
        log_in("sam", PASSWORD)
    assert [query for query in statements if not query["sql"].startswith("SELECT")] == []
    assert LoginAttempt.objects.count() == PER_NAME_AND_NETWORK


def test_a_name_nobody_has_is_locked_just_so(sam: User) -> None:
    lock("nobody")
    assert LOCKED in log_in("nobody")


def test_the_answers_are_the_same_whether_or_not_there_is_such_a_user(sam: User) -> None:
    for expected in [WRONG] * PER_NAME_AND_NETWORK + [LOCKED] * 2:
        pages = [log_in(name).replace(name, "NAME") for name in ("sam", "nob")]
        assert expected in pages[0]
        without_token = [page.partition("csrfmiddlewaretoken")[2].partition(">")[2] for page in pages]
        assert without_token[0] == without_token[1]


def test_both_take_one_hash_and_as_many_statements(sam: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth.hashers import MD5PasswordHasher

    hashed: list[str] = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher,
        "encode",
        lambda self, password, salt: hashed.append(password) or encode(self, password, salt),
    )
    for _ in range(PER_NAME_AND_NETWORK + 1):
        seen = []
        for name in ("sam", "nobody"):
            hashed.clear()
            with CaptureQueriesContext(connection) as statements:
                log_in(name)
            seen.append((len(hashed), len(statements)))
        assert seen[0] == seen[1]


def test_another_name_from_the_same_address_may_go_on(sam: User) -> None:
    for _ in range(PER_NAME_AND_NETWORK):
        log_in("nobody")
    assert log_in("sam", PASSWORD) == "in"


def test_an_address_is_locked_after_twenty_failures_whatever_the_names(sam: User) -> None:
    fail(PER_NETWORK - 1)
    assert WRONG in log_in("the twentieth")
    assert LOCKED in log_in("sam", PASSWORD)
    assert log_in("sam", PASSWORD, address="203.0.113.6") == "in"


def test_one_ipv6_customer_is_one_address(sam: User) -> None:
    fail(PER_NETWORK - 1, address="2001:db8:1:1::1")
    assert WRONG in log_in("the twentieth", address="2001:db8:1:1::2")
    assert LOCKED in log_in("sam", PASSWORD, address="2001:db8:1:1:ffff::1")
    assert log_in("sam", PASSWORD, address="2001:db8:1:2::1") == "in"


def test_a_forwarded_address_that_nobody_vouches_for_is_not_believed(sam: User) -> None:
    fail(PER_NETWORK - 1)
    log_in("the twentieth", **{"X-Forwarded-For": "198.51.100.98"})
    assert LOCKED in log_in("sam", PASSWORD, **{"X-Forwarded-For": "198.51.100.99"})


def test_who_logs_in_starts_from_zero(sam: User) -> None:
    for _ in range(3):
        for _ in range(PER_NAME_AND_NETWORK - 1):
            log_in("sam")
        assert log_in("sam", PASSWORD) == "in"


def test_the_right_password_of_somebody_who_is_no_staff_is_a_failure(sam: User) -> None:
    User.objects.create_user("guest", password=PASSWORD)
    for _ in range(PER_NAME_AND_NETWORK):
        assert WRONG in log_in("guest", PASSWORD)
    assert LOCKED in log_in("guest", PASSWORD)


def test_it_is_over_after_fifteen_minutes_however_often_it_was_tried_meanwhile(sam: User) -> None:
    lock("sam")
    LoginAttempt.objects.update(at=timezone.now() - timedelta(minutes=14, seconds=50))
    assert LOCKED in log_in("sam", PASSWORD)
    LoginAttempt.objects.update(at=timezone.now() - timedelta(minutes=15, seconds=1))
    assert log_in("sam", PASSWORD) == "in"
    assert not LoginAttempt.objects.exists()


def test_staff_unlock_a_colleague(sam: User, olga: Client) -> None:
    lock("sam")
    olga.post("/admin/auth/user/", {"action": "unlock", "_selected_action": [sam.id]})
    assert log_in("sam", PASSWORD) == "in"
    assert LogEntry.objects.get().change_message == "Forgot 5 failed logins."


def test_who_may_not_change_staff_unlocks_nobody(sam: User, vera: Client) -> None:
    lock("sam")
    assert vera.post("/admin/auth/user/", {"action": "unlock", "_selected_action": [sam.id]}).status_code == 403
    assert LOCKED in log_in("sam", PASSWORD)


@pytest.mark.parametrize("arguments", [["sam"], []])
def test_the_operator_unlocks_on_the_machine_itself(
    sam: User, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lock("sam")
    call_command("unlock_login", *arguments)
    assert capsys.readouterr().out == "5 failed logins forgotten.\n"
    assert log_in("sam", PASSWORD) == "in"


def test_unlocking_one_unlocks_no_other(sam: User, capsys: pytest.CaptureFixture[str]) -> None:
    lock("sam")
    call_command("unlock_login", "olga")
    assert LOCKED in log_in("sam", PASSWORD)


def test_what_was_typed_is_kept_nowhere(sam: User, caplog: pytest.LogCaptureFixture) -> None:
    typed = "my-password-in-the-wrong-field"
    for _ in range(PER_NAME_AND_NETWORK + 1):
        log_in(typed, "my-other-password")
    rows = str(list(LoginAttempt.objects.values()))
    logged = str([vars(record) for record in caplog.records])
    assert "a staff login failed" in logged
    for secret in (typed, "my-other-password"):
        assert secret not in logged + rows


def test_of_attempts_at_once_as_many_are_looked_at_as_of_those_one_after_the_other(transactional_db: None) -> None:
    User.objects.create_user("sam", password=PASSWORD, is_staff=True)
    answers: list[str] = []
    together = threading.Barrier(20)

    def attempt() -> None:
        together.wait()
        try:
            answers.append(log_in("sam"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(WRONG in answer for answer in answers) == PER_NAME_AND_NETWORK
    assert sum(LOCKED in answer for answer in answers) == 20 - PER_NAME_AND_NETWORK
    assert LoginAttempt.objects.count() == PER_NAME_AND_NETWORK
