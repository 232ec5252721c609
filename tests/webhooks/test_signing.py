"""A receiver that checks signatures, with a library or by hand, believes us and nobody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from webhooks.signing import headers, new_secret

BODY = '{"event":"message.created","text":"grüß dich ☂"}'
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def test_the_library_of_standard_webhooks_believes_it() -> None:
    sent = headers(webhook_id="msg_1", body=BODY, secrets=[SECRET])
    assert Webhook(SECRET).verify(BODY.encode(), sent)["event"] == "message.created"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_another_id_or_time_does_not_fit_the_signature(name: str) -> None:
    sent = headers(webhook_id="msg_1", body=BODY, secrets=[SECRET])
    other = {"webhook-id": "msg_2", "webhook-timestamp": str(int(sent["webhook-timestamp"]) - 60)}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, sent | {name: other[name]})


def test_another_body_does_not_fit_the_signature() -> None:
    sent = headers(webhook_id="msg_1", body=BODY, secrets=[SECRET])
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY + " ", sent)


def test_an_old_request_is_not_believed_again() -> None:
    sent = headers(webhook_id="msg_1", body=BODY, secrets=[SECRET], now=datetime.now(UTC) - timedelta(minutes=6))
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(SECRET).verify(BODY, sent)


def test_both_signatures_are_what_their_documents_say() -> None:
    """Computed by hand: HMAC-SHA256 over id, timestamp and body; and over the body alone."""
    sent = headers(webhook_id="msg_1", body=BODY, secrets=[SECRET], now=datetime.fromtimestamp(1_700_000_000, UTC))
    signed = hmac.digest(b"k" * 32, f"msg_1.1700000000.{BODY}".encode(), "sha256")
    assert sent["webhook-timestamp"] == "1700000000"
    assert sent["webhook-signature"] == "v1," + base64.b64encode(signed).decode()
    assert (
        sent["X-Lexicon-Signature"] == "sha256=" + hmac.new(SECRET.encode(), BODY.encode(), hashlib.sha256).hexdigest()
    )


def test_two_secrets_sign_twice() -> None:
    old = new_secret()
    sent = headers(webhook_id="msg_1", body=BODY, secrets=[SECRET, old])
    assert len(sent["webhook-signature"].split()) == 2
    for secret in (SECRET, old):
        Webhook(secret).verify(BODY, sent)


def test_secrets_are_32_random_bytes() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in made} == {32}
