"""How does Django know this room?"""

from django.apps import AppConfig


class ChatsConfig(AppConfig):
    """The app's name to Django."""

    name = "chats"
