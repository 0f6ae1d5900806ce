"""Rotating encryption keys: everything sealed anew, so that the old key may go."""

from io import StringIO

import pytest
from django.core.management import call_command

from eventsinks.lib.secrets.crypto import make_key
from eventsinks.models import Destination, SlackWorkspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(acme, make_webhook):
    workspace = SlackWorkspace(tenant=acme, team_id="T1", team_name="Acme")
    workspace.token = "xoxb-1"
    workspace.save()
    return make_webhook(config={"headers": {"X-Key": "secret"}}), workspace


def said(**options):
    out = StringIO()
    call_command("reencrypt", stdout=out, stderr=out, **options)
    return out.getvalue()


def test_after_it_the_old_key_may_go(kept, settings):
    sink, workspace = kept
    signing = sink.signing_secret
    old, new = settings.EVENTSINKS_ENCRYPTION_KEYS[0], make_key()
    settings.EVENTSINKS_ENCRYPTION_KEYS = [new, old]
    assert said().startswith("3 sealed anew, 0 had")
    settings.EVENTSINKS_ENCRYPTION_KEYS = [new]
    sink, workspace = Destination.objects.get(id=sink.id), SlackWorkspace.objects.get(pk=workspace.pk)
    assert sink.opened_config().dump_revealed()["headers"] == {"X-Key": "secret"}
    assert (sink.signing_secret, workspace.token) == (signing, "xoxb-1")
    assert said().startswith("0 sealed anew, 3 had")


def test_what_no_key_opens_is_named_and_the_rest_is_done(kept, settings):
    sink, _ = kept
    Destination.objects.filter(id=sink.id).update(sealed_secrets="00000000:lost")
    settings.EVENTSINKS_ENCRYPTION_KEYS = [make_key(), *settings.EVENTSINKS_ENCRYPTION_KEYS]
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("reencrypt", stdout=out, stderr=out)
    assert f"destination {sink.id}: sealed with key '00000000'" in out.getvalue()
    assert "2 sealed anew" in out.getvalue()
    assert "secret" not in out.getvalue().replace("sealed", "")
