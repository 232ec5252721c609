"""Which rows say who is told, and what is still to be told?"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from core.db.fields import EncryptedText, JSONText, Unreadable
from tenants.models import TenantOwned


class Event(models.TextChoices):
    """What may be told."""

    ESCALATED = "conversation.escalated", "conversation.escalated: a person has to take over"
    MESSAGE = "message.created", "message.created: somebody said something"
    CLOSED = "chat.closed", "chat.closed: a chat was closed"
    TEST = "webhook.test", "webhook.test: staff tried whether it arrives"


class Endpoint(TenantOwned):
    """An address of a tenant that is told of events."""

    #: What an endpoint may ask for.
    EVENTS = tuple(choice for choice in Event.choices if choice[0] != Event.TEST)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    url = models.CharField("address", max_length=2000)
    events = JSONText(default=list)
    secret = EncryptedText(editable=False)
    #: What signs besides it until `previous_until`, so that a receiver can change over.
    previous_secret = EncryptedText(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    is_enabled = models.BooleanField("enabled", default=True, help_text="Off: what happens is not kept for it.")
    #: Why it was switched off by itself; empty where it was not.
    disabled_reason = models.CharField(max_length=255, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (models.Index(fields=("-created_at", "-id"), name="endpoint_by_creation"),)

    def __str__(self) -> str:
        return self.url

    @property
    def secret_hint(self) -> str:
        """What the secret is recognised by."""
        return Unreadable.PROBLEM if isinstance(self.secret, Unreadable) else f"whsec_…{self.secret[-4:]}"


class Delivery(TenantOwned):
    """One event for one endpoint: written with what caused it, tried until it arrives, or dead."""

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        DEAD = "dead"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Found through the indexes below.
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, db_index=False)
    event = models.CharField(max_length=30, choices=Event)
    #: The chat it tells of; what was deleted is told no more. None for a test.
    chat_id = models.UUIDField(null=True, blank=True, db_index=True)
    #: The request's body as it is sent and signed, letter for letter.
    body = models.TextField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    #: On the database's clock. While an attempt runs: when it counts as lost.
    next_attempt_at = models.DateTimeField(db_default=Now())
    last_status = models.PositiveSmallIntegerField("last answer", null=True, blank=True)
    last_error = models.CharField("why not", max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = (
            models.Index(
                fields=("endpoint", "next_attempt_at"),
                condition=models.Q(state="pending"),
                name="delivery_due",
            ),
            models.Index(fields=("-created_at", "-id"), name="delivery_by_creation"),
            models.Index(fields=("state", "-created_at", "-id"), name="delivery_by_state"),
            models.Index(fields=("endpoint", "-created_at", "-id"), name="delivery_of_endpoint"),
        )

    def __str__(self) -> str:
        return self.webhook_id

    @property
    def webhook_id(self) -> str:
        """What the receiver knows it by, the same at each attempt."""
        return f"msg_{self.id.hex}"
