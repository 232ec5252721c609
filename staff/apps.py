"""How does Django know this room, and which admin it has?"""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class StaffConfig(AppConfig):
    """The app's name to Django."""

    name = "staff"


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin on a site of our own. Named in INSTALLED_APPS; not what "staff" stands for there."""

    default = False
    default_site = "staff.site.StaffSite"
