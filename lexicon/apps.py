"""How does Django know the installation's own commands and checks?"""

from django.apps import AppConfig


class LexiconConfig(AppConfig):
    """The wiring as an app: its commands, and the checks of the configuration."""

    name = "lexicon"

    def ready(self) -> None:
        from lexicon import checks

        checks.register()
