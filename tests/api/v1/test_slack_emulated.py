"""The whole loop against a Slack that nobody here wrote: installed, configured by name, posted to, read back."""

from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest
from slack_sdk import WebClient

from eventsinks.models import Delivery
from tests.api.conftest import says
from tests.clients import emulate_slack

pytestmark = pytest.mark.django_db(transaction=True)

SEED = """
slack:
  team: {name: Acme Corp, domain: acme}
  users: [{name: alice, real_name: Alice, email: alice@acme.example}]
  channels: [{name: general}, {name: security-alerts}]
  oauth_apps:
    - {client_id: "1.2", client_secret: not-to-be-seen, name: eventsinks, redirect_uris: ["%s"]}
  tokens: [{token: xoxp-reader, user: alice, scopes: ["channels:history", "channels:read"]}]
"""


class Stay(HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


@pytest.fixture
def slack(settings, tmp_path):
    settings.SLACK_CLIENT_ID, settings.SLACK_CLIENT_SECRET = "1.2", "not-to-be-seen"
    seed = tmp_path / "seed.yaml"
    seed.write_text(SEED % f"{settings.PUBLIC_URL}/slack/oauth/callback")
    process, url = emulate_slack.start(seed)
    settings.SLACK_BASE_URL = f"{url}/api/"
    yield url
    process.kill()
    process.wait()


def allowed(api, browser, slack):
    """Say yes on our page and allow the app at Slack's as a person would; return what the browser brings back."""
    ours = urlsplit(api.post("/v1/slack_integration/install").json()["authorize_url"])
    authorize = browser.client.post(ours.path, {"state": parse_qs(ours.query)["state"][0]}).url
    opener = build_opener(Stay)
    with opener.open(authorize) as page:
        html = page.read().decode()
    query = {name: value for name, (value,) in parse_qs(urlsplit(authorize).query).items()}
    user = html.split('name="user_id" value="')[1].split('"')[0]
    form = urlencode({**query, "user_id": user, "user_scope": ""}).encode()
    try:
        opener.open(Request(f"{slack}/oauth/v2/authorize/callback", form))
    except OSError as redirect:
        location = redirect.headers["Location"]
        redirect.close()
    return {name: value for name, (value,) in parse_qs(urlsplit(location).query).items()}


def test_an_alert_arrives_in_the_channel_of_a_workspace_installed_by_oauth(
    api, nobody, slack, acme, make_alert, dispatcher
):
    assert nobody.client.get("/slack/oauth/callback", allowed(api, nobody, slack)).status_code == 200
    (workspace,) = api.get("/v1/slack_integration").json()["data"]["slack_integrations"]
    args = {"Slack": {"slack_integration_id": workspace["id"], "channel": "#security-alerts"}}
    body = {"tenant_id": str(acme.id), "name": "Alerts", "description": "", "event_sink_args": args}
    sink = api.post("/v1/event_sink", body).json()["event_sink"]
    channel = sink["configuration"]["Slack"]["channel_id"]
    assert channel
    make_alert(name="Root login from nowhere")
    dispatcher.run()
    assert Delivery.objects.get().state == "delivered"
    reader = WebClient("xoxp-reader", base_url=f"{slack}/api/")
    assert "Root login from nowhere" in str(reader.conversations_history(channel=channel)["messages"])


def test_the_life_of_an_incident_is_one_message_and_its_thread(api, nobody, slack, acme, make_alert, dispatcher):
    nobody.client.get("/slack/oauth/callback", allowed(api, nobody, slack))
    (workspace,) = api.get("/v1/slack_integration").json()["data"]["slack_integrations"]
    args = {"Slack": {"slack_integration_id": workspace["id"], "channel": "#security-alerts"}}
    body = {"tenant_id": str(acme.id), "name": "Alerts", "description": "", "event_sink_args": args}
    channel = api.post("/v1/event_sink", body).json()["event_sink"]["configuration"]["Slack"]["channel_id"]
    for status in ("firing", "acknowledged", "resolved"):
        make_alert(name="Root login", description=f"it is {status}", dedup_key="i", status=status)
        dispatcher.run()
    assert not Delivery.objects.exclude(state="delivered").exists()
    reader = WebClient("xoxp-reader", base_url=f"{slack}/api/")
    (first,) = [
        message
        for message in reader.conversations_history(channel=channel)["messages"]
        if message.get("thread_ts", message["ts"]) == message["ts"] and "Root login" in str(message)
    ]
    assert "resolved" in first["text"]
    answers = reader.conversations_replies(channel=channel, ts=first["ts"])["messages"][1:]
    assert ["acknowledged" in answers[0]["text"], "resolved" in answers[1]["text"]] == [True, True]


def test_a_code_of_the_first_edition_is_good_once(api, nobody, slack, acme):
    args = {"Slack": {"channel": "#security-alerts", "slack_oauth_code": allowed(api, nobody, slack)["code"]}}
    body = {"tenant_id": str(acme.id), "name": "Alerts", "description": "", "event_sink_args": args}
    assert api.post("/v1/event_sink", body).status_code == 200
    says(api.post("/v1/event_sink", body), 400, "invalid_code", "slack_oauth_code")
