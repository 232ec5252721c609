"""How does Django know this room?"""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """The app's name to Django."""

    name = "agents"
    #: It has no tables; its name is the label of those of knowledge (knowledge/apps.py).
    label = "agents_without_tables"
