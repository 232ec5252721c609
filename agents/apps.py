"""How does Django know this room?"""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AgentsConfig(AppConfig):
    """The app's name to Django."""

    name = "agents"

    def ready(self) -> None:
        from agents import pgvector

        post_migrate.connect(pgvector.after_migrate, sender=self)
