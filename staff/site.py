"""What is the admin called, and how does one get in?"""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse

from staff.known_browsers import remember_browser
from staff.login import StaffLoginForm


class StaffSite(AdminSite):
    """Django's admin, with a login that may be tried only so often."""

    site_title = site_header = "Lexicon"
    index_title = "Support desk"
    site_url = None
    login_form = StaffLoginForm

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The login's page, or the redirect after a login, by which the browser is known from then on."""
        return _remembered(request, super().login(request, extra_context))

    def password_change(  # type: ignore[override]  # Django's own is no TemplateResponse where it redirects
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page to change one's own password, which ends what other browsers are known by."""
        return _remembered(request, super().password_change(request, extra_context))


def _remembered(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    # Both views redirect a form that was right, and show one that was wrong again.
    if request.method == "POST" and response.status_code == 302 and request.user.is_authenticated:
        remember_browser(response, request.user)
    return response
