"""Which rows hold what was said, and what is owed?"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from core.db.fields import JSONText
from tenants.models import ApiKey, EndUser, TenantOwned


class ProcessQuerySet(models.QuerySet):
    """Processes, judged by the database's clock, which all of them share."""

    def living(self) -> ProcessQuerySet:
        """Those whose lease has not run out."""
        return self.filter(beat_at__gte=lease_start())


def lease_start() -> models.expressions.CombinedExpression:
    """The moment, on the database's clock, since when a living process must have beaten."""
    return Now() - timedelta(seconds=settings.LEASE_SECONDS)


class Process(models.Model):
    """A running server process. Its beat keeps all that it holds: replies and connections."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    beat_at = models.DateTimeField(db_default=Now(), db_index=True)
    started_at = models.DateTimeField(db_default=Now())

    objects = ProcessQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.id)


class Chat(TenantOwned):
    """A chat of one user. A conversation of the customer API is the same row."""

    class Status(models.TextChoices):
        ACTIVE = "active", "active: the agent answers"
        ESCALATED = "escalated", "escalated: a person answers"
        CLOSED = "closed", "closed"

    #: What a chat without a title and without messages is called.
    UNTITLED = "New chat"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(EndUser, on_delete=models.CASCADE, editable=False)
    #: Empty until the chat is given one or has its first message.
    title = models.CharField(max_length=255, blank=True)
    metadata = JSONText(default=dict, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    #: How often the status changed, and the latest changes as [last sequence before it, status] (chats/statuses.py).
    status_count = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    recent_statuses = JSONText(default=list, db_default=models.Value("[]"), editable=False)
    #: Why a person should take over, for staff; empty where the agent answers, and where staff took over by themselves.
    escalation_reason = models.TextField(blank=True, default="", db_default="", editable=False)
    is_conversation = models.BooleanField("made over the customer API", default=False, editable=False)
    last_sequence = models.PositiveIntegerField("messages", default=0, editable=False)
    user_message_count = models.PositiveIntegerField("user messages", default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    last_message_at = models.DateTimeField(null=True, editable=False)
    #: Set where the chat waits for its running reply to stop before it goes; until then nobody sees it.
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = (
            # With deleted_at a list is counted, and paged through, without reading a row that it does not show.
            models.Index(fields=("tenant", "user", "created_at", "id", "deleted_at"), name="chat_of_user"),
            models.Index(fields=("tenant", "created_at", "id", "deleted_at"), name="chat_of_tenant"),
            models.Index(fields=("tenant", "status", "updated_at", "id"), name="chat_of_tenant_by_status"),
            models.Index(fields=("-updated_at", "-id"), name="chat_by_update"),
            models.Index(fields=("status", "-updated_at", "-id"), name="chat_by_status"),
        )

    def __str__(self) -> str:
        return self.heading

    @property
    def heading(self) -> str:
        """The title it was given, or the one its first message gave it."""
        return self.title or self.UNTITLED


class Message(TenantOwned):
    """Something said in a chat. A row is never deleted by itself, so a page is a range of sequences."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    class Rating(models.TextChoices):
        UP = "up"
        DOWN = "down"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="messages")
    sequence = models.PositiveIntegerField()
    role = models.CharField(max_length=10, choices=Role)
    #: Who said it or, of a reply, whom it answers.
    user = models.ForeignKey(EndUser, on_delete=models.CASCADE)
    content = models.TextField(blank=True)
    metadata = JSONText(default=dict, blank=True)
    client_message_id = models.CharField(max_length=255, null=True, blank=True)
    #: SHA-256 of content and metadata, where a client_message_id may bring the message a second time.
    digest = models.CharField(max_length=64, blank=True)
    reply_to = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="replies")
    created_at = models.DateTimeField(default=timezone.now)
    #: What its reader thinks of a reply of the agent; the only thing of a message that changes.
    rating = models.CharField(max_length=4, choices=Rating, null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("chat", "sequence"), name="message_sequence"),
            models.UniqueConstraint(
                fields=("chat", "user", "client_message_id"),
                condition=models.Q(client_message_id__isnull=False),
                name="message_client_message_id",
            ),
        )
        # The condition names no value: SQLite uses a partial index only where no parameter decides about it.
        indexes = (
            models.Index(fields=("rating", "chat"), condition=models.Q(rating__isnull=False), name="message_rated"),
        )

    def __str__(self) -> str:
        return f"{self.role} {self.sequence}"

    @property
    def public_metadata(self) -> dict[str, Any]:
        """The metadata as clients see it: with the rating, where there is one."""
        return self.metadata if self.rating is None else {**self.metadata, "rating": self.rating}


class Reply(TenantOwned):
    """The work of answering one message. Its id is the id of the message it becomes."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        STOPPED = "stopped"
        DROPPED = "dropped"

    #: How often a reply is begun before it ends as failed (CONTRACT, guarantee 4: at most twice more).
    MAX_TRIES = 3
    #: A reply on which two owners fell silent within this time is begun by no third: it may be what silences them.
    SUSPECT_WITHIN = timedelta(seconds=60)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="replies")
    question = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="reply")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    #: The fence: raised whenever another owner may begin, named by every write of an owner.
    epoch = models.PositiveIntegerField(default=1)
    tries = models.PositiveSmallIntegerField(default=0)
    owner = models.ForeignKey(Process, null=True, on_delete=models.SET_NULL)
    #: The last beat of the latest owner that fell silent, on the database's clock; null where none did.
    silent_at = models.DateTimeField(null=True)
    stop_requested = models.BooleanField(default=False)
    #: Whether a credit is reserved for it.
    reserved = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    OPEN = (State.QUEUED, State.RUNNING)

    class Meta:
        verbose_name_plural = "replies"
        constraints = (
            models.UniqueConstraint(
                fields=("chat",), condition=models.Q(state="running"), name="reply_running_once_in_a_chat"
            ),
        )
        # Not of open replies alone, for the same reason.
        indexes = (
            models.Index(fields=("chat", "state"), name="reply_of_chat"),
            models.Index(fields=("state", "created_at"), name="reply_by_state"),
        )

    def __str__(self) -> str:
        return f"{self.id} ({self.state})"


class Checkpoint(models.Model):
    """Pieces of a running reply's text, kept once a second; gone with the reply's last transaction."""

    reply = models.ForeignKey(Reply, on_delete=models.CASCADE, related_name="checkpoints")
    epoch = models.PositiveIntegerField()
    first_piece = models.PositiveIntegerField()
    pieces = JSONText()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("reply", "epoch", "first_piece"), name="checkpoint_once"),)

    def __str__(self) -> str:
        return f"{self.reply_id} epoch {self.epoch} from piece {self.first_piece}"


class Connection(TenantOwned):
    """An open WebSocket, as long as its process lives."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    process = models.ForeignKey(Process, on_delete=models.CASCADE)
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE)
    user = models.ForeignKey(EndUser, on_delete=models.CASCADE)
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE)
    connected_at = models.DateTimeField(default=timezone.now)
    #: Whether it is a visitor's of the chat page: those are counted beside the tenant's own.
    of_visitor = models.BooleanField(db_default=False, editable=False)
    #: The visitor's address (`core.addresses.network_id`), where it is bounded.
    network = models.UUIDField(null=True, editable=False)
    #: Its place among the tenant's, or the visitors', from 1 on; None for one that is counted (chats/places.py).
    slot = models.PositiveIntegerField(null=True, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "of_visitor", "slot"), condition=models.Q(slot__isnull=False), name="connection_slot"
            ),
        )
        indexes = (
            models.Index(
                fields=("tenant", "of_visitor", "process"),
                condition=models.Q(slot__isnull=True),
                name="connection_without_slot",
            ),
            models.Index(
                fields=("tenant", "network"), condition=models.Q(network__isnull=False), name="connection_of_network"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user_id} in {self.chat_id}"


class IdempotencyRecord(TenantOwned):
    """What was answered to a POST with an Idempotency-Key, kept for 24 hours."""

    key = models.CharField(max_length=255)
    #: SHA-256 of the route and the body: what makes two requests the same.
    digest = models.CharField(max_length=64)
    answer = JSONText()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("tenant", "key"), name="idempotency_key"),)

    def __str__(self) -> str:
        return self.key


class StaffPresence(models.Model):
    """When somebody of the staff who may answer chats last used the admin (chats/staff_presence.py)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} at {self.seen_at}"
