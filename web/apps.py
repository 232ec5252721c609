"""How does Django know this room?"""

from django.apps import AppConfig


class WebConfig(AppConfig):
    """The app's name to Django."""

    name = "web"
