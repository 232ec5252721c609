"""How does Django know this room?"""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """The app's name to Django."""

    name = "webhooks"
