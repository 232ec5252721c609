"""How does a receiver know who sent a webhook?

Standard Webhooks headers name the event and the moment, and sign both with the body: what a receiver should
check, because an old request can not be sent again as a new one. `X-Lexicon-Signature` signs the body alone,
for receivers that are written for that form.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from datetime import UTC, datetime

from standardwebhooks import Webhook

#: How long the secret of before signs too, after a new one was made.
GRACE_HOURS = 24
_RANDOM_BYTES = 32


def new_secret() -> str:
    """A secret as Standard Webhooks writes it: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode()


def headers(*, webhook_id: str, body: str, secrets: list[str], now: datetime | None = None) -> dict[str, str]:
    """The headers of a request, signed with each of the secrets; the first is the newest, and signs the vendor's form.

    `webhook-signature` holds one signature for each, separated by spaces.
    """
    now = now or datetime.now(UTC)
    signatures = [Webhook(secret).sign(msg_id=webhook_id, timestamp=now, data=body) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
        "X-Lexicon-Signature": body_signature(secret=secrets[0], body=body.encode()),
    }


def body_signature(*, secret: str, body: bytes) -> str:
    """`sha256=` and the HMAC of the raw body in hex; its key is the secret as it is shown, `whsec_` included."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
