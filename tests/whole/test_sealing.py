"""Secrets are bound to their rows, and the canary refuses wrong keys before they do harm."""

import os
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from eventsinks.actions.secrets import reencrypt, start
from eventsinks.actions.secrets.rotate_secret import rotate_secret
from eventsinks.checks import keys_are_of_this_database
from eventsinks.lib.secrets.crypto import CannotOpen, make_key, make_key_id
from eventsinks.models import Canary, Destination, SlackWorkspace
from eventsinks.models.secrets.sealing import Binding, WrongKeys, make_canary, read_canary, seal

pytestmark = pytest.mark.django_db

KEY = {"headers": {"X-Key": "hunter2secret"}}


@pytest.fixture(autouse=True)
def nothing_proved(monkeypatch):
    monkeypatch.setattr(start, "_proved", set())


@pytest.fixture(autouse=True)
def canary(db):
    Canary.objects.all().delete()
    return make_canary()


def test_the_canary_is_never_there_without_its_seal(canary):
    canary.delete()
    seen = []

    def look_after(execute, sql, params, many, context):
        done = execute(sql, params, many, context)
        if "eventsinks_canary" in sql and not sql.startswith("SELECT"):
            seen.append(read_canary())  # as another process does that starts now
        return done

    with connection.execute_wrapper(look_after):
        made = make_canary()
    assert seen == [made]


def opens_everything(row):
    """Return whether every secret of a row opens."""
    if isinstance(row, SlackWorkspace):
        return bool(row.token and row.refresh_token)
    return bool(row.opened())


@pytest.fixture
def workspaces(acme, globex):
    def make(tenant, team):
        workspace = SlackWorkspace(tenant=tenant, team_id=team, team_name=team)
        workspace.token = f"xoxb-{team}"
        workspace.sealed_refresh_token = seal(f"xoxe-{team}", workspace, "sealed_refresh_token")
        workspace.save()
        return workspace

    return make(acme, "T1"), make(acme, "T2"), make(globex, "T1")


@pytest.fixture
def sinks(acme, globex, make_webhook):
    made = [make_webhook(config=KEY), make_webhook(config=KEY), make_webhook(config=KEY, tenant=globex)]
    for sink in made:
        rotate_secret(sink, 3600)
    return [Destination.objects.get(id=sink.id) for sink in made]


@pytest.mark.parametrize(("model", "column"), reencrypt.SEALED)
def test_a_secret_opens_in_its_row_and_in_no_other(sinks, workspaces, model, column):
    rows = sinks if model is Destination else workspaces
    mine, siblings, foreign = rows
    assert opens_everything(mine)
    for other in (siblings, foreign):
        model.objects.filter(pk=mine.pk).update(**{column: getattr(other, column)})
        with pytest.raises(CannotOpen, match="another row"):
            opens_everything(model.objects.get(pk=mine.pk))


def test_a_secret_opens_in_its_column_and_in_no_other(sinks):
    sink = sinks[0]
    Destination.objects.update(sealed_old_signing_secret=sink.sealed_signing_secret)
    with pytest.raises(CannotOpen):
        Destination.objects.get(id=sink.id).opened()


def test_a_row_that_changes_its_tenant_takes_no_secret_along(sinks, globex):
    Destination.objects.filter(id=sinks[0].id).update(tenant=globex)
    with pytest.raises(CannotOpen):
        Destination.objects.get(id=sinks[0].id).opened()


@pytest.mark.guarantee("S10")
def test_every_sealed_column_is_sealed_anew_by_reencrypt():
    named = {
        (model, field.name)
        for model in (Destination, SlackWorkspace)
        for field in model._meta.fields
        if field.name.startswith("sealed_")
    }
    assert named == set(reencrypt.SEALED)


def unbind():
    """Leave everything as the version before had it."""
    Canary.objects.update(binding=Binding.UNBOUND)
    for model, column in reencrypt.SEALED:
        for row in model.objects.exclude(**{column: ""}):
            text = reencrypt.get_box().open(getattr(row, column), reencrypt.make_place(row, column))
            model.objects.filter(pk=row.pk).update(**{column: reencrypt.get_box().seal_unbound(text)})


def test_after_an_upgrade_old_processes_go_on_until_reencrypt_binds_everything(sinks, workspaces, make_webhook):
    unbind()
    late = make_webhook(config=KEY)
    assert ":v2:" not in late.sealed_secrets + late.sealed_signing_secret
    assert all(opens_everything(row) for row in (*Destination.objects.all(), *SlackWorkspace.objects.all()))
    call_command("reencrypt", stdout=StringIO())
    assert Canary.objects.get().binding == Binding.BOUND
    for model, column in reencrypt.SEALED:
        assert all(":v2:" in sealed for sealed in model.objects.values_list(column, flat=True) if sealed)
    assert all(opens_everything(row) for row in (*Destination.objects.all(), *SlackWorkspace.objects.all()))


def test_once_all_is_bound_an_old_text_opens_no_more(sinks):
    unbind()
    old = Destination.objects.get(id=sinks[0].id).sealed_secrets
    reencrypt.reencrypt()
    Destination.objects.filter(id=sinks[0].id).update(sealed_secrets=old)
    with pytest.raises(CannotOpen, match="not bound"):
        Destination.objects.get(id=sinks[0].id).opened()


def test_what_is_left_unbound_is_bound_a_day_after_the_upgrade(sinks):
    unbind()
    assert not reencrypt.finish_binding()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE eventsinks_canary SET created_at = '2020-01-01 00:00:00+00:00'")
    assert reencrypt.finish_binding()
    assert Canary.objects.get().binding == Binding.BOUND
    assert not reencrypt.finish_binding()


def test_a_change_meanwhile_is_not_overwritten(sinks, monkeypatch):
    unbind()
    row = Destination.objects.get(id=sinks[0].id)
    Destination.objects.filter(id=row.id).update(sealed_secrets="changed")
    reencrypt.seal_anew(row, "sealed_secrets", done := reencrypt.Reencrypted(), forget_lost=False)
    assert (done.anew, Destination.objects.get(id=row.id).sealed_secrets) == (0, "changed")


@pytest.mark.parametrize("keys", [1, 2])
def test_another_valid_key_is_refused_and_named_by_its_id(settings, keys, make_webhook):
    right = settings.EVENTSINKS_ENCRYPTION_KEYS
    settings.EVENTSINKS_ENCRYPTION_KEYS = [make_key() for _ in range(keys)]
    (error,) = keys_are_of_this_database()
    assert make_key_id(right[0]) in error.msg
    assert all(make_key_id(key) in error.msg for key in settings.EVENTSINKS_ENCRYPTION_KEYS)
    assert not any(key in error.msg for key in (*right, *settings.EVENTSINKS_ENCRYPTION_KEYS))
    with pytest.raises(SystemCheckError):
        call_command("check")
    with pytest.raises(SystemExit, match="not the keys"):
        start.refuse_wrong_keys()
    with pytest.raises(CommandError):
        call_command("reencrypt")
    with pytest.raises(WrongKeys):
        make_webhook()


def test_a_rotation_passes_and_lets_the_old_key_go(settings, sinks):
    old, new = settings.EVENTSINKS_ENCRYPTION_KEYS[0], make_key()
    settings.EVENTSINKS_ENCRYPTION_KEYS = [new, old]
    assert keys_are_of_this_database() == []
    start.refuse_wrong_keys()
    reencrypt.reencrypt()
    settings.EVENTSINKS_ENCRYPTION_KEYS = [new]
    assert keys_are_of_this_database() == []
    start.refuse_wrong_keys()
    assert all(opens_everything(row) for row in Destination.objects.all())


def test_a_key_that_rows_still_need_is_not_to_be_dropped(settings, sinks):
    old, new = settings.EVENTSINKS_ENCRYPTION_KEYS[0], make_key()
    settings.EVENTSINKS_ENCRYPTION_KEYS = [new, old]
    make_canary()
    settings.EVENTSINKS_ENCRYPTION_KEYS = [new]
    (error,) = keys_are_of_this_database()
    assert "9 secrets" in error.msg  # three sinks, of three secrets each
    with pytest.raises(SystemExit, match="9 secrets"):
        start.refuse_wrong_keys()


def test_what_is_lost_can_be_forgotten_so_that_the_rest_goes_on(settings, sinks):
    settings.EVENTSINKS_ENCRYPTION_KEYS = [make_key()]
    call_command("reencrypt", "--forget-lost", stdout=StringIO(), stderr=StringIO())
    assert keys_are_of_this_database() == []
    sink = Destination.objects.get(id=sinks[0].id)
    assert sink.signing_secret.startswith("whsec_")
    with pytest.raises(ValueError, match="kept"):
        sink.opened_config()


def test_a_missing_canary_is_made_at_the_start_and_never_over_keys_that_are_missing(settings, sinks):
    Canary.objects.all().delete()
    settings.EVENTSINKS_ENCRYPTION_KEYS, right = [make_key()], settings.EVENTSINKS_ENCRYPTION_KEYS
    with pytest.raises(SystemExit):
        start.refuse_wrong_keys()
    assert not Canary.objects.exists()
    settings.EVENTSINKS_ENCRYPTION_KEYS = right
    start.refuse_wrong_keys()
    assert Canary.objects.exists()


PROCESSES = {
    "check": ["manage.py", "check"],
    "migrate": ["manage.py", "migrate"],
    "web": ["-c", "import project.asgi"],
    "worker": ["-m", "celery", "-A", "project", "worker", "--loglevel=ERROR"],
    "beat": ["-m", "celery", "-A", "project", "beat", "--loglevel=ERROR"],
}


@pytest.mark.guarantee("S10")
def test_a_process_with_a_wrong_key_does_not_start(tmp_path, subtests):
    right, wrong = make_key(), make_key()
    clean = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")
    }
    environment = {**clean, "EVENTSINKS_VAR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "project.settings"}
    environment |= {"SECRET_KEY": "x" * 60, "REDIS_URL": "redis://127.0.0.1:9/0"}
    made = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(made, env={**environment, "EVENTSINKS_ENCRYPTION_KEYS": right}, check=True, timeout=120)
    for name, command in PROCESSES.items():
        with subtests.test(name):
            done = subprocess.run(
                [sys.executable, *command],
                env={**environment, "EVENTSINKS_ENCRYPTION_KEYS": wrong},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode != 0
            assert make_key_id(right) in done.stderr
            assert right not in done.stderr + done.stdout
            assert wrong not in done.stderr + done.stdout


def test_check_does_not_mind_a_database_that_is_away(tmp_path):
    environment = {**os.environ, "EVENTSINKS_VAR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "project.settings"}
    for url in (f"sqlite:///{tmp_path}/none.sqlite3", "postgres://nobody@127.0.0.1:9/none"):
        environment |= {"DATABASE_URL": url, "SECRET_KEY": "x" * 60, "EVENTSINKS_ENCRYPTION_KEYS": make_key()}
        done = subprocess.run(
            [sys.executable, "manage.py", "check"], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
