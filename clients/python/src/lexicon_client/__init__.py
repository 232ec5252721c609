"""A client of Lexicon, the chat service for AI support."""

from lexicon_client.async_client import AsyncClient
from lexicon_client.async_sockets import AsyncChatSession, AsyncReplyStream
from lexicon_client.client import Client
from lexicon_client.customer import AsyncCustomerClient, CustomerClient
from lexicon_client.errors import (
    ERRORS,
    AgentError,
    AuthError,
    ChatDeleted,
    ChatInUse,
    ChatNotFound,
    ConnectionLimitExceeded,
    IdempotencyConflict,
    InternalError,
    InvalidRequest,
    MessageLimitReached,
    MessageTooLong,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    PaymentRequired,
    RateLimitExceeded,
    ServiceUnavailable,
    UnsupportedMediaType,
    UserNotFound,
    WrongKeyType,
)
from lexicon_client.failure import LexiconError, Unreachable
from lexicon_client.models import Chat, ChatToken, Conversation, Message, Page, Reply, Turn
from lexicon_client.saying import Event
from lexicon_client.sockets import ChatSession, ReplyStream
from lexicon_client.streaming import AsyncMessageStream, MessageStream
from lexicon_client.text import Token

__all__ = [
    "ERRORS",
    "AgentError",
    "AsyncChatSession",
    "AsyncClient",
    "AsyncCustomerClient",
    "AsyncMessageStream",
    "AsyncReplyStream",
    "AuthError",
    "Chat",
    "ChatDeleted",
    "ChatInUse",
    "ChatNotFound",
    "ChatSession",
    "ChatToken",
    "Client",
    "ConnectionLimitExceeded",
    "Conversation",
    "CustomerClient",
    "Event",
    "IdempotencyConflict",
    "InternalError",
    "InvalidRequest",
    "LexiconError",
    "Message",
    "MessageLimitReached",
    "MessageStream",
    "MessageTooLong",
    "MethodNotAllowed",
    "NotFound",
    "Page",
    "PayloadTooLarge",
    "PaymentRequired",
    "RateLimitExceeded",
    "Reply",
    "ReplyStream",
    "ServiceUnavailable",
    "Token",
    "Turn",
    "Unreachable",
    "UnsupportedMediaType",
    "UserNotFound",
    "WrongKeyType",
]
