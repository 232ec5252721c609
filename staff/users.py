"""Who may change what about the people who work here?

Only superusers touch what gives power: flags, groups, permissions, other people's passwords, and superusers. Otherwise
the permission to change users would be every permission.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from staff.login import do_unlock
from staff.paging import PagedAdmin

#: What the permission to change users lets change.
PERSONAL_FIELDS = ("first_name", "last_name", "email")

# Else there are two "users" side by side, and nobody knows which of them chat.
apps.get_app_config("auth").verbose_name = "Staff"
admin.site.unregister([User, Group])


class PasswordlessUserForm(UserCreationForm):
    """A new user nobody can log in as: a password that the maker knows would open what a superuser grants later."""

    password1 = password2 = None  # type: ignore[assignment]

    def set_password_and_save(self, user: User, password_field_name: str = "password1", commit: bool = True) -> User:
        """The user, saved where `commit` says so."""
        user.set_unusable_password()
        if commit:
            user.save()
        return user


@admin.register(User)
class StaffUserAdmin(PagedAdmin, UserAdmin):
    """People who work here."""

    actions = ("unlock",)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if request.user.is_superuser:
            return super().get_fieldsets(request, obj)
        if obj is None:
            explained = "Nobody can log in as this user until a superuser sets a password and says what it opens."
            return ((None, {"fields": ("username", *PERSONAL_FIELDS), "description": explained}),)
        (_, named), (personal, fields), *rest = super().get_fieldsets(request, obj)
        shown = tuple(field for field in named["fields"] if field != "password")
        explained = "More than this, and superusers themselves, only superusers change."
        return ((None, {"fields": shown}), (personal, {**fields, "description": explained}), *rest)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        if request.user.is_superuser or obj is None:
            return super().get_readonly_fields(request, obj)
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        return [field for field in shown if field not in PERSONAL_FIELDS]

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None and not request.user.is_superuser:
            kwargs["form"] = PasswordlessUserForm
        return super().get_form(request, obj, change=change, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Django's page for it wants both; with both here, nothing else takes one for enough.
        return super().has_add_permission(request) and self.has_change_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (obj is None or not obj.is_superuser or request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The history of what they did would go with them. A member of staff is switched off.
        return False

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        if not request.user.is_superuser:
            raise PermissionDenied(
                "Only superusers set other people’s passwords. Yours you change by “Change password” at the top."
            )
        return super().user_change_password(request, id, form_url)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        # No more than what was changed: a flag or a password that was set meanwhile is not written back as it was read.
        columns = {field.name for field in obj._meta.concrete_fields}
        obj.save(update_fields=columns.intersection(form.changed_data))

    @admin.action(description="Unlock: forget failed logins", permissions=("change",))
    def unlock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            if not self.has_change_permission(request, user):
                # Else a superuser's password could be guessed without end.
                self.message_user(request, f"{user} is a superuser: only superusers unlock those.", messages.ERROR)
                continue
            forgotten = do_unlock(name=user.get_username())
            self.log_change(request, user, f"Forgot {forgotten} failed logins.")
            self.message_user(request, f"{user}: {forgotten} failed logins forgotten.")


@admin.register(Group)
class StaffGroupAdmin(PagedAdmin, GroupAdmin):
    """What they may do. A change of a group changes what its members may: for superusers only, others may look."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser) and super().has_delete_permission(request, obj)
