"""How does Django know this room?"""

from django.apps import AppConfig


class StreamingConfig(AppConfig):
    """The app's name to Django."""

    name = "streaming"
