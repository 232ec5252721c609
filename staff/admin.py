"""Which pages does Django's admin have? It looks for this module in each app."""

from staff import articles, chats, keys, tenants, users, webhooks

__all__ = ["articles", "chats", "keys", "tenants", "users", "webhooks"]
