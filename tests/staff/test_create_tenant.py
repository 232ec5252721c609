"""`manage.py create_tenant`."""

from __future__ import annotations

import json
import re
import uuid
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tenants.authentication import open_key
from tenants.models import Tenant

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> str:
    out = StringIO()
    call_command("create_tenant", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_the_id_and_a_key_of_each_kind_that_opens_the_tenant() -> None:
    printed = create("Acme")
    tenant = Tenant.objects.get(name="Acme")
    assert str(tenant.id) in printed
    opened = [open_key(plain) for plain in re.findall(r"lx[tc]_\w{36}", printed)]
    assert [(key.kind, key.tenant_id) for key in opened] == [("tenant", tenant.id), ("customer", tenant.id)]


def test_its_last_line_is_json_for_scripts() -> None:
    made = json.loads(create("Acme", "--json").splitlines()[-1])
    assert sorted(made) == ["api_key", "customer_key", "tenant_id"]
    assert open_key(made["api_key"]).tenant_id == uuid.UUID(made["tenant_id"])
    assert open_key(made["customer_key"]).kind == "customer"


def test_it_sets_limits_credits_and_model() -> None:
    create(
        "Acme",
        *("--rest-per-minute", "1", "--ws-messages-per-second", "2", "--ws-connections", "3"),
        *("--message-limit", "4", "--credits", "5", "--model", "anthropic:x"),
    )
    tenant = Tenant.objects.get(name="Acme")
    assert (tenant.rest_per_minute, tenant.ws_messages_per_second, tenant.ws_connections) == (1, 2, 3)
    assert (tenant.message_limit, tenant.account.balance, tenant.model) == (4, 5, "anthropic:x")


def test_without_options_the_defaults_hold_and_nothing_is_metered() -> None:
    create("Acme")
    tenant = Tenant.objects.get(name="Acme")
    assert (tenant.rest_per_minute, tenant.message_limit, tenant.account.balance, tenant.model) == (100, None, None, "")


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "many", str(2**31), "²"])
@pytest.mark.parametrize("option", ["--rest-per-minute", "--message-limit", "--credits"])
def test_a_number_that_is_none_is_refused(option: str, number: str) -> None:
    with pytest.raises(CommandError, match="is not a whole number from 1 to"):
        create("Acme", f"{option}={number}")
    assert not Tenant.objects.exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="The name must"):
        create(name)
    assert not Tenant.objects.exists()


def test_a_model_nobody_answers_for_is_refused() -> None:
    with pytest.raises(CommandError, match="llama"):
        create("Acme", "--model", "llama")
    assert not Tenant.objects.exists()
