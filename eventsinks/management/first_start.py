"""What the first start makes, so that one can begin: a demo tenant, its API key, and a person for the admin."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model

from eventsinks.actions.tenants import create_tenant, issue_key
from eventsinks.models import ApiKey

TENANT = "Demo"
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is kept in var/credentials.json, readable by its owner only. `url`: where the API was last."""

    tenant_id: str
    api_key: str
    admin_password: str = ""  # empty: the admin's users were not made by us
    url: str = ""


def get_credentials(url: str) -> Credentials:
    """Return what is kept for this database; make it on the first start."""
    found = read_credentials()
    if found is None or not ApiKey.objects.usable().of_text(found.api_key).exists():
        found = make_credentials()
    if found.url != url:
        found = replace(found, url=url)
        write_credentials(found)
    return found


def read_credentials() -> Credentials | None:
    """Return what var/credentials.json holds, if it is there."""
    try:
        return Credentials(**json.loads(get_path().read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def make_credentials() -> Credentials:
    """Make a tenant with a key, and an admin where there is none yet."""
    tenant = create_tenant(TENANT)
    _, text = issue_key(tenant, name="made by the first start")
    users = get_user_model().objects
    password = "" if users.filter(is_superuser=True).exists() else secrets.token_urlsafe(12)
    if password:
        users.create_superuser(ADMIN, password=password)
    return Credentials(str(tenant.id), text, password)


def write_credentials(found: Credentials) -> None:
    """Write var/credentials.json, whole or not at all."""
    draft = get_path().with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(asdict(found), file, indent=2)
    draft.replace(get_path())


def get_path() -> Path:
    """Return where it is kept."""
    return Path(settings.VAR_DIR) / "credentials.json"
