"""How does Django know the documents' page and its files?"""

from django.apps import AppConfig


class DocumentsConfig(AppConfig):
    """The app's name to Django."""

    name = "lexicon.documents"
