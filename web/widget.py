"""How does somebody talk on a tenant's own site? The chat page in a frame, and the script that opens it there.

The frame holds no key and no cookie: the site's own backend makes the chat token, the site hands it over.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_safe

from core.db.executor import in_thread
from core.error_responses import error_response
from core.errors import ApiError
from tenants.models import Tenant
from web.page import policy

#: Minutes, so that a new release is soon everywhere: the address of the script never changes.
SCRIPT_SECONDS = 300

_SCRIPT = Path(__file__).parent / "static" / "lexicon" / "widget.js"
#: What may stand in a policy; anything else could end it and begin another.
_ORIGIN = re.compile(r"https?://[\w.-]+(:\d+)?|https?://\[[\da-f:]+\](:\d+)?", re.ASCII | re.IGNORECASE)


@require_safe
async def script(request: HttpRequest) -> HttpResponse:
    """The script that a tenant's site has in its pages."""
    response = HttpResponse(_SCRIPT.read_bytes(), content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = f"public, max-age={SCRIPT_SECONDS}"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@require_safe
@xframe_options_exempt
async def frame(request: HttpRequest, tenant_id: uuid.UUID) -> HttpResponse:
    """The page that the script frames. Only pages on the tenant's list of origins may; without a list, none."""
    try:
        tenant = await in_thread(_find_tenant, tenant_id)
    except ApiError as error:  # The database does not answer.
        return error_response(request, error)
    response = render(request, "chat/page.html", {"name": tenant.name, "widget": True})
    origins = [origin for origin in tenant.allowed_origins if _ORIGIN.fullmatch(origin)]
    response["Content-Security-Policy"] = policy(request.get_host(), ancestors=" ".join(origins) or "'none'")
    response["Cache-Control"] = "no-store"
    return response


def _find_tenant(tenant_id: uuid.UUID) -> Tenant:
    tenant = Tenant.objects.filter(id=tenant_id, is_active=True).first()
    if tenant is None:
        raise Http404
    return tenant
