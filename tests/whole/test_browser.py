"""A real browser: the pages work under their policy, which is not violated once, and a passkey opens the admin.

Needs Chromium, where playwright or the system has it; elsewhere these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.lib.net.wire import Response
from eventsinks.models import Clearing, Delivery, Destination, Finding, Silence, counting
from eventsinks.models.search import progress
from eventsinks.sending.dispatcher import Dispatcher
from tests.admin.test_second_factor import code_of
from tests.helpers.worlds import World

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PASSWORD = "a long password"
SHOTS = os.environ.get("SCREENSHOTS")  # a directory: what the pages look like is kept there

SOON, AGO = Now() + timedelta(minutes=3), Now() - timedelta(minutes=14)
FAILS: dict[str, Any] = {
    "trouble": 1,
    "trouble_since": AGO,
    "trouble_reason": "the far end answered 503: overloaded",
}
TROUBLES: dict[str, dict[str, Any]] = {  # the columns of a sink by its name, the worst last
    "well": {},
    "weekend": {"state": "paused"},
    "slack": {"held_until": SOON},
    "pager": FAILS,
    "soc": {**FAILS, "trouble": 2, "breaker": "open", "held_until": SOON},
    "old": {"state": "parked", "trouble": 3, "state_reason": "the far end answered 410: it says that it is gone"},
}
WORDS = ["Disabled", "Breaker open", "Failing", "Held", "Paused", "Active"]  # in the order of a list

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def chromium():
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # playwright runs a loop in this thread
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def site(live_server, settings):
    """Return the address of the server by a name: passkeys are for no address."""
    settings.ALLOWED_HOSTS = ["localhost"]
    url = live_server.url.replace("127.0.0.1", "localhost")
    settings.PUBLIC_URL, settings.CSRF_TRUSTED_ORIGINS = url, [url]
    return url


@pytest.fixture
def page(chromium, site):
    """Return a page whose console must stay clean."""
    context = chromium.new_context(base_url=site)
    opened = context.new_page()
    said = []
    opened.on(
        "console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.said = said
    yield opened
    context.close()


def shoot(page, name):
    """Keep what a page looks like, wide and narrow, light and dark."""
    if not SHOTS:
        return
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(150)
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{scheme}-{width}.png"))
    page.emulate_media(color_scheme="light")
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size({"width": 1280, "height": 900})


def fits(page):
    """Whether nothing is wider than a narrow window."""
    page.set_viewport_size({"width": 390, "height": 844})
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1280, "height": 900})
    return wide <= 390


def violations(page):
    return [text for text in page.said if "Content Security Policy" in text or "Refused to" in text]


def log_in(page):
    User.objects.create_superuser("root", password=PASSWORD)
    page.goto("/admin/")
    page.fill("[name=login]", "root")
    page.fill("[name=password]", PASSWORD)
    page.click("text=Log in >> nth=0")
    page.wait_for_url("**/admin/")


def test_the_docs_show_the_api_and_violate_nothing(page):
    page.goto("/docs")
    page.wait_for_selector(".opblock")
    page.click(".opblock-summary >> nth=0")
    page.wait_for_selector(".opblock-body")
    assert violations(page) == []
    assert page.said == []


def test_the_log_in_page_and_the_page_of_a_lock_work_and_fit(page, settings):
    settings.AXES_FAILURE_LIMIT = 2
    page.goto("/admin/login/")
    assert page.is_visible("text=Log in with a passkey")
    shoot(page, "log-in")
    assert fits(page)
    for _ in range(2):
        page.fill("[name=login]", "root")
        page.fill("[name=password]", "wrong")
        page.click("#login-form button")
    page.wait_for_selector("text=Too many log-ins failed")
    shoot(page, "locked")
    assert fits(page)
    assert violations(page) == []


def code_to_type(secret):
    """Return a code that is good for ten seconds more: pages take a while, and a code is of one half minute."""
    left = 30 - time.time() % 30
    time.sleep(left if left < 10 else 0)
    return code_of(secret, int(time.time()))


def test_an_app_is_added_by_its_picture_and_recovery_codes_are_shown(page):
    log_in(page)
    page.goto("/admin/account/")
    shoot(page, "second-factor")
    page.click("text=Add an app")
    shoot(page, "password-again")
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit], form button[type=submit] >> nth=-1")
    page.wait_for_selector("img.es-qr")
    assert page.evaluate("document.querySelector('img.es-qr').naturalWidth") > 0
    shoot(page, "add-app")
    assert fits(page)
    secret = page.input_value("#authenticator_secret")
    page.fill("[name=code]", code_to_type(secret))
    page.click("form:has([name=code]) button[type=submit]")
    page.wait_for_selector("#recovery_codes")
    shoot(page, "recovery-codes")
    assert len(page.input_value("#recovery_codes").split()) == 10
    assert violations(page) == []


def test_a_passkey_is_added_and_opens_the_admin_alone_and_after_the_password(page):
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True}
    options |= {"hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    log_in(page)
    page.goto("/admin/account/passkeys/add/")
    page.fill("[name=password]", PASSWORD)
    page.click("form:has([name=password]) button[type=submit]")
    page.check("[name=passwordless]")
    shoot(page, "add-passkey")
    page.click("#mfa_webauthn_add")
    page.wait_for_selector("#recovery_codes")
    page.goto("/admin/account/passkeys/")
    shoot(page, "passkeys")
    page.context.clear_cookies()
    page.goto("/admin/login/")
    page.click("#passkey_login")
    page.wait_for_url("**/admin/")
    page.context.clear_cookies()
    page.goto("/admin/login/")
    page.fill("[name=login]", "root")
    page.fill("[name=password]", PASSWORD)
    page.click("#login-form button")
    page.wait_for_url("**/admin/account/code/")
    shoot(page, "code")
    assert fits(page)
    page.click("#mfa_webauthn_authenticate")
    page.wait_for_url("**/admin/")
    assert violations(page) == []


def test_an_installation_goes_on_to_slack_from_our_page_and_comes_back(page, acme, httpserver, settings, site):
    from eventsinks.actions.slack import install

    settings.SLACK_BASE_URL = httpserver.url_for("/api/").replace("127.0.0.1", "localhost")
    settings.SLACK_CLIENT_ID = settings.SLACK_CLIENT_SECRET = "x"
    state = install.begin_installation(acme)
    httpserver.expect_request("/oauth/v2/authorize").respond_with_data("at Slack", content_type="text/html")
    grant = {"ok": True, "access_token": "xoxb-1", "scope": "chat:write", "team": {"id": "T9", "name": "Acme HQ"}}
    httpserver.expect_request("/api/oauth.v2.access").respond_with_json(grant)
    page.goto(install.make_landing_url(state))
    assert page.is_visible("text=Acme")
    shoot(page, "slack-install")
    assert fits(page)
    page.click("text=Go on to Slack")
    page.wait_for_selector("text=at Slack")
    page.goto(f"/slack/oauth/callback?state={state}&code=c1")
    page.wait_for_selector("text=Slack is connected")
    shoot(page, "slack-installed")
    assert violations(page) == []


def test_trouble_stands_first_in_the_lists_and_one_click_shows_it_alone(page, acme, make_webhook):
    for name, columns in TROUBLES.items():
        Destination.objects.filter(id=make_webhook(name=name).id).update(**columns)
    lake = configure.create(acme, "generic_http", {"url": "https://example.com/in"}, name="lake")
    Destination.objects.filter(id=lake.id).update(**TROUBLES["pager"])
    log_in(page)
    for face in ("eventsink", "integration"):
        page.goto(f"/admin/eventsinks/{face}/")
        shoot(page, f"{face}-list")
        assert fits(page)
    page.goto("/admin/eventsinks/eventsink/")
    chips = page.locator("#result_list .es-status").all_inner_texts()
    words = [next(word for word in WORDS if word in chip) for chip in chips]
    assert words == WORDS
    page.goto("/admin/eventsinks/eventsink/?status=failing")
    assert page.locator("#result_list .es-status").count() == 1
    page.click("#result_list a >> text=pager")
    page.wait_for_selector("text=Half of what is sent to it fails")
    shoot(page, "failing")
    assert fits(page)
    page.goto(f"/admin/eventsinks/eventsink/{Destination.objects.get(name='soc').pk}/change/")
    page.wait_for_selector("text=Nothing is sent to it until")
    shoot(page, "open")


def test_a_noisy_rule_is_muted_for_two_hours_in_three_clicks_and_an_id_is_copied(page, make_webhook, make_alert):
    make_webhook(name="SOC")
    for number in range(12):
        make_alert(
            id=f"01jd-{number}", name="Port scan from the internet", severity="Low", detection_rule_id="net-7"
        )
    for _ in range(3):
        make_alert(
            name="Root login without a second factor", severity="Critical", tags=["aws"], detection_rule_id="iam-1"
        )
    make_alert(name="Root login without a second factor", severity="Critical", status="resolved", dedup_key="r")
    while progress.count_behind():
        progress.index_next()
    log_in(page)
    shoot(page, "overview")
    page.click("text=All noisy rules")
    shoot(page, "noisy-before")
    page.click("[aria-label='Silence Port scan from the internet for 2 h']")
    page.wait_for_selector("text=is silenced at all event sinks")
    assert Silence.objects.get().reason == "noisy rule: Port scan from the internet"
    assert fits(page)
    shoot(page, "noisy")
    for where in ("event", "delivery"):
        page.goto(f"/admin/eventsinks/{where}/?q=root")
        page.wait_for_selector("text=Root login without a second factor")
        assert page.locator("text=Port scan from the internet").count() == 0
        shoot(page, f"{where}-list")
        page.goto(f"/admin/eventsinks/{where}/")
        shoot(page, f"{where}-all")
        page.click("#result_list a:has-text('Root login') >> nth=0")
        assert "Root login without a second factor" in page.title()
        shoot(page, where)
        assert fits(page)
    assert violations(page) == []


def test_the_overview_tells_trouble_and_fits_a_narrow_window(page, acme, globex, make_webhook, make_alert):
    sinks = {name: make_webhook(name=name) for name in (*TROUBLES, "backup", "on call", "SIEM", "archive")}
    make_webhook(name="of Globex", tenant=globex)
    tell_a_day(acme, [sinks[name].id for name in ("pager", "soc", "old")])
    make_alert(name="Root login from a country nobody has been to")
    Dispatcher(
        World(lambda request: Response(500 if str(sinks["pager"].config["url"]) in request.url else 200, [], b""))
    ).run()
    Delivery.objects.filter(destination=sinks["pager"]).update(state="failed", due_at=timezone.now())
    for name, columns in (TROUBLES | {"on call": TROUBLES["pager"], "SIEM": TROUBLES["old"]}).items():
        Destination.objects.filter(id=sinks[name].id).update(**columns)
    clearing = {"tenant": acme, "destination_id": sinks["backup"].id, "reason": "resumed without its backlog"}
    Destination.objects.filter(id=sinks["backup"].id).update(state="resuming")
    Clearing.objects.create(**clearing)
    lake = configure.create(acme, "generic_http", {"url": "https://example.com/in"}, name="lake")
    Destination.objects.filter(id=lake.id).update(**TROUBLES["soc"])
    make_alert(name="Port scan")
    Finding.objects.create(
        kind="delivery",
        tenant_id=acme.id,
        slot=0,
        missing=3,
        detail="3 of the deliveries to “archive” accepted in ten minutes from 2026-01-01 10:00 UTC were deleted",
    )
    log_in(page)
    told = "7 of 11 event sinks need somebody (2 disabled, 1 breaker open, 2 failing, 1 held, 1 paused)"
    assert page.is_visible(f"text={told}")
    assert page.is_visible("text=3 of the deliveries to “archive”")
    shoot(page, "overview")
    assert fits(page)
    page.goto("/admin/eventsinks/eventsink/")
    shoot(page, "sinks")
    assert fits(page)
    page.goto(f"/admin/?tenant={globex.id}")
    assert page.is_visible("text=All well: no event sink of 1 is failing")
    shoot(page, "overview-well")
    page.goto("/admin/")
    page.click(".es-trouble:has-text('pager') >> text=Test")
    page.wait_for_url("**/eventsink/**")
    assert violations(page) == []


def tell_a_day(tenant, bad):
    """Count a day of alerts for all event sinks, some of which fail."""
    now = int(time.time()) // 600 * 600
    for sink in Destination.objects.filter(tenant=tenant):
        for step in range(1, 140):
            number = 20 + step % 17
            failed = number // 3 if sink.id in bad and step < 60 else 0
            told = {"accepted": number, "delivered": number - failed, "failed": failed}
            slot = now - step * 600
            counting.add({(tenant.id, sink.id, what, slot): n for what, n in told.items() if n})
            counting.add(
                {(tenant.id, 0, "first:2", slot): number, (tenant.id, 0, "done:4", slot): number - failed}
            )
