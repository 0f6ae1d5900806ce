"""The first start: makes a demo tenant, its API key, and an admin user, so that a person can begin."""

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
    """The content of var/credentials.json, which only its owner can read. `url` is the last address of the API."""

    tenant_id: str
    api_key: str
    admin_password: str = ""  # empty if we did not make the admin's users
    url: str = ""


def get_credentials(url: str) -> Credentials:
    """Return the credentials for this database. Make them on the first start."""
    found = read_credentials()
    if found is None or not ApiKey.objects.usable().of_text(found.api_key).exists():
        found = make_credentials()
    if found.url != url:
        found = replace(found, url=url)
        write_credentials(found)
    return found


def read_credentials() -> Credentials | None:
    """Return the content of var/credentials.json, if it exists."""
    try:
        return Credentials(**json.loads(get_path().read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def make_credentials() -> Credentials:
    """Make a tenant with a key, and an admin user if there is none."""
    tenant = create_tenant(TENANT)
    _, text = issue_key(tenant, name="made by the first start")
    users = get_user_model().objects
    password = "" if users.filter(is_superuser=True).exists() else secrets.token_urlsafe(12)
    if password:
        users.create_superuser(ADMIN, password=password)
    return Credentials(str(tenant.id), text, password)


def write_credentials(found: Credentials) -> None:
    """Write var/credentials.json atomically."""
    draft = get_path().with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(asdict(found), file, indent=2)
    draft.replace(get_path())


def get_path() -> Path:
    """Return the path of the file."""
    return Path(settings.VAR_DIR) / "credentials.json"
