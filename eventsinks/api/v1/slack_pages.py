"""The pages of an installation at Slack for a person's browser: the question before, and the result."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_GET, require_http_methods

from eventsinks.actions.slack import install
from eventsinks.actions.slack import state as slack_state
from eventsinks.content_security import PAGE, allow_forms_to_slack
from eventsinks.limits.quotas import LimitReached

NOT_CONNECTED = "Slack was not connected"


@require_http_methods(["GET", "POST"])
@csrf_protect
def show_landing(request: HttpRequest) -> HttpResponse:
    """Ask whether this tenant shall have the workspace. After a yes, the browser goes to Slack."""
    asked = request.POST if request.method == "POST" else request.GET
    state = asked.get("state", "")
    try:
        begun = slack_state.find_install(state)
        if request.method == "POST":
            return send_to_slack(state)
    except install.NotInstallable as error:
        return make_page(request, 400, NOT_CONNECTED, str(error))
    told = {"title": "Connect a Slack workspace", "state": state, "begun": begun}
    response = make_private(render(request, "slack/install.html", told))
    response["Referrer-Policy"] = "same-origin"  # with none, browsers hide from us where the form came from
    return allow_forms_to_slack(response, PAGE, settings.SLACK_BASE_URL)


def send_to_slack(state: str) -> HttpResponse:
    """Return the redirect to Slack. Its cookie identifies the browser when it is back. Raises NotInstallable."""
    response = redirect(install.make_authorize_url(state))
    response.set_cookie(**slack_state.make_cookie(state))
    return make_private(response)


@require_GET
def finish_installation(request: HttpRequest) -> HttpResponse:
    """Finish an installation, and show the result in plain words."""
    said, code, state = (request.GET.get(name, "") for name in ("error", "code", "state"))
    cookie = request.COOKIES.get(slack_state.get_cookie_name(), "")
    try:
        if said or not code:
            slack_state.use_up_state(state, cookie)
            refused = "the installation was cancelled at Slack" if said == "access_denied" else ""
            raise install.NotInstallable(refused or "Slack sent no code")
        workspace = install.finish_installation(state, cookie, code, request.META.get("REMOTE_ADDR", ""))
    except install.NotInstallable as error:
        return make_page(request, 400, NOT_CONNECTED, str(error))
    except LimitReached as reached:
        response = make_page(request, 429, "Slack was not connected yet", f"{reached}. Load this page again then.")
        response["Retry-After"] = str(reached.wait)
        return response
    name, whose = workspace.team_name, workspace.tenant.name
    response = make_page(request, 200, "Slack is connected", f"{name} can now be posted to by {whose}.")
    response.delete_cookie(slack_state.get_cookie_name(), samesite="Lax")
    return response


def make_page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    """Return a page of two sentences."""
    return make_private(render(request, "slack/installed.html", {"title": title, "text": text}, status=status))


def make_private(response: HttpResponse) -> HttpResponse:
    """Forbid caches and referrers for an answer, because its address contains the state."""
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
