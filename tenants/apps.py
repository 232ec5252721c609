"""How does Django know this room?"""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """The app's name to Django."""

    name = "tenants"
