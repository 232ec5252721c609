"""How does Django know this room?"""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """The app's name to Django."""

    name = "agents"
