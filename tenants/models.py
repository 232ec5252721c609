"""Which rows say who may call, and how much they may do?"""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from core.db.fields import EncryptedText, JSONText
from core.db.statements import Param


class TenantQuerySet(models.QuerySet):
    """Queries on rows that belong to a tenant. Each starts at one of these two (a test reads the code for it)."""

    def for_tenant(self, tenant_id: uuid.UUID | Param) -> Self:
        """The rows of one tenant."""
        return self.filter(tenant_id=tenant_id)

    def all_tenants(self) -> Self:
        """The rows of every tenant: for the heartbeat, the sweeper and staff, never for a caller."""
        return self.all()


class Tenant(models.Model):
    """A customer of this installation, with the policy that holds for its chats."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField("active", default=True, help_text="Off: every key of this tenant is refused.")
    subscription_active = models.BooleanField(default=True, help_text="Off: messages are refused with 402.")
    rest_per_minute = models.PositiveIntegerField("REST requests a minute", default=100)
    ws_messages_per_second = models.PositiveIntegerField("frames a second and WebSocket", default=10)
    ws_connections = models.PositiveIntegerField("WebSockets at once", default=50)
    user_messages_per_minute = models.PositiveIntegerField(
        "messages a minute of one user", default=20, help_text="Of users that hold a chat token instead of a key."
    )
    message_max_characters = models.PositiveIntegerField("longest message, in characters", default=32_000)
    reply_max_characters = models.PositiveIntegerField("longest reply, in characters", default=100_000)
    message_limit = models.PositiveIntegerField(
        "user messages of one chat",
        null=True,
        blank=True,
        help_text="Empty: 200 for conversations of the customer API, none for chats made over REST.",
    )
    queue_depth = models.PositiveIntegerField("messages waiting for a reply in one chat", default=10)
    model = models.CharField(
        max_length=200,
        blank=True,
        help_text="builtin, openai:MODEL or anthropic:MODEL. Empty: what AGENT_MODEL says.",
    )
    model_base_url = models.CharField(
        "address of the model",
        max_length=2000,
        blank=True,
        default="",
        db_default="",
        help_text="Where this tenant's own model is, for example https://models.example.com/v1. "
        "Empty: the installation's, with the installation's key.",
    )
    model_api_key = EncryptedText("key of the model", blank=True, default="", db_default="", editable=False)
    instructions = models.TextField(blank=True, help_text="What the model is told before every chat.")
    history_max_tokens = models.PositiveIntegerField(
        "most tokens of a chat that the model is told",
        default=16_000,
        db_default=16_000,
        help_text="The oldest messages are left out.",
    )
    reply_max_tokens = models.PositiveIntegerField(
        "longest reply, in tokens", null=True, blank=True, help_text="Empty: as long as the model makes it."
    )
    answer_threshold = models.FloatField(
        "least score of an answer",
        default=0.3,
        db_default=0.3,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="From 0 to 1: an article that fits the question less is no answer, and the built-in agent says "
        "that it does not know.",
    )
    synonyms = JSONText(
        default=list,
        db_default=models.Value("[]"),
        blank=True,
        help_text="Words that mean the same here, as a JSON list of lists.",
    )
    escalation_keywords = JSONText(
        default=list,
        db_default=models.Value("[]"),
        blank=True,
        help_text="Whoever says one of these is handed to a person, as a JSON list.",
    )
    escalation_after = models.PositiveSmallIntegerField(
        "replies without an answer until a person takes over",
        default=3,
        db_default=3,
        help_text="One after the other: failed ones, and those that say that the agent does not know. 0: never.",
    )
    away_message = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="What a visitor reads besides, who is handed to a person when no staff is there.",
    )
    allowed_origins = JSONText(
        default=list,
        blank=True,
        help_text='Pages that may chat with a chat token, as a JSON list, for example ["https://shop.example.com"].',
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    #: User messages of one conversation where the tenant sets no limit (CONTRACT, statuses of the customer face).
    CONVERSATION_MESSAGE_LIMIT = 200

    class Meta:
        ordering = ("name", "id")
        indexes = (models.Index(fields=("name", "id"), name="tenant_by_name"),)

    def __str__(self) -> str:
        return self.name


class TenantOwned(models.Model):
    """A row that belongs to one tenant."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True


class Account(models.Model):
    """The credits of a tenant. Its row, never the tenant's, is locked where money is counted."""

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True, related_name="account")
    balance = models.BigIntegerField(null=True, blank=True, help_text="Empty: unmetered.")
    reserved = models.BigIntegerField(default=0, help_text="One credit for each reply that is owed.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="account_reserves_are_covered",
                condition=models.Q(reserved__gte=0)
                & (models.Q(balance__isnull=True) | models.Q(balance__gte=models.F("reserved"))),
            ),
        )

    def __str__(self) -> str:
        return "unmetered" if self.balance is None else f"{self.balance} credits, {self.reserved} reserved"


class CreditEntry(TenantOwned):
    """One line of the ledger of a metered tenant: never changed, and their sum is the balance."""

    class Reason(models.TextChoices):
        GRANT = "grant", "credits added"
        REPLY = "reply", "a reply"

    reason = models.CharField(max_length=10, choices=Reason)
    amount = models.BigIntegerField()
    balance_after = models.BigIntegerField()
    reply_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "credit entries"
        indexes = (models.Index(fields=("tenant", "-id"), name="credit_entry_of_tenant"),)

    def __str__(self) -> str:
        return f"{self.amount:+d} ({self.get_reason_display()})"


class ApiKey(TenantOwned):
    """A key as it is kept: its SHA-256 and enough of it to recognise it by."""

    class Kind(models.TextChoices):
        TENANT = "tenant", "tenant key (lxt_): REST and WebSocket"
        CUSTOMER = "customer", "customer key (lxc_): customer API"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, blank=True, help_text="Where it is used.")
    kind = models.CharField(max_length=10, choices=Kind)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=8, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("created_at", "id"), name="api_key_by_creation"),
            models.Index(fields=("tenant", "created_at", "id"), name="api_key_of_tenant"),
        )

    def __str__(self) -> str:
        return f"{self.prefix}…{self.last_four}"

    @property
    def is_live(self) -> bool:
        """Whether the key opens anything now. Reads the tenant."""
        now = timezone.now()
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now) and self.tenant.is_active


class EndUser(TenantOwned):
    """Somebody who chats with a tenant, known by the id the tenant gave."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    external_id = models.CharField("user id", max_length=255)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "user"
        constraints = (models.UniqueConstraint(fields=("tenant", "external_id"), name="end_user_external_id"),)
        # Staff look for a user without naming the tenant.
        indexes = (models.Index(fields=("external_id",), name="end_user_by_external_id"),)

    def __str__(self) -> str:
        return self.external_id


class LoginAttempt(models.Model):
    """A login to the admin that failed in the last quarter of an hour, or is being checked (staff/login.py)."""

    #: A keyed hash of the name that was typed: now and then it is somebody's password.
    who = models.CharField(max_length=64)
    #: The client's address, or its network where one client has a whole network.
    address = models.CharField(max_length=64)
    #: The id of the browser, "" for one that is not known (staff/known_browsers.py).
    browser = models.CharField(max_length=64, default="", db_default="")
    at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        indexes = (
            models.Index(fields=("who", "at"), name="login_attempt_by_who"),
            models.Index(fields=("address", "at"), name="login_attempt_by_address"),
            models.Index(fields=("browser", "at"), name="login_attempt_by_browser"),
        )

    def __str__(self) -> str:
        return f"{self.address} at {self.at}"
