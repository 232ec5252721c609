"""How does Django know this room?"""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class KnowledgeConfig(AppConfig):
    """The app's name to Django."""

    name = "knowledge"
    #: Its tables, permissions and migrations are called so since it was a part of that room.
    label = "agents"
    verbose_name = "Knowledge"

    def ready(self) -> None:
        from knowledge import pgvector

        post_migrate.connect(pgvector.after_migrate, sender=self)
