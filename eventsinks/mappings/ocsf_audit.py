"""OCSF's class and activity of an audit event, by NetBird's activity code: `object[.object].verb`."""

from __future__ import annotations

from typing import Any

from eventsinks.event_types.documents import read_text
from eventsinks.mappings.base import Document

# Account Change (3001): code: (activity_id, its name)
ACCOUNT_CHANGES = {
    "user.join": (1, "Create"),
    "user.invite": (1, "Create"),
    "user.create": (1, "Create"),
    "service.user.create": (1, "Create"),
    "user.approve": (2, "Enable"),
    "user.unblock": (2, "Enable"),
    "user.password.change": (3, "Password Change"),
    "user.block": (5, "Disable"),
    "user.reject": (5, "Disable"),
    "user.delete": (6, "Delete"),
    "service.user.delete": (6, "Delete"),
    "user.role.update": (99, "Role Update"),
    "transferred.owner.role": (99, "Role Update"),
}
# Authentication (3002): what the user logged on to
LOGONS = {"dashboard.login": "dashboard", "user.peer.login": "peer"}
# Entity Management (3004): the verb of a code
VERBS = {
    "add": (1, "Create"),
    "create": (1, "Create"),
    "update": (3, "Update"),
    "rename": (3, "Update"),
    "enable": (3, "Update"),
    "disable": (3, "Update"),
    "approve": (3, "Update"),
    "delete": (4, "Delete"),
    "revoke": (4, "Delete"),
}


def choose_class(document: Document, actor: dict[str, Any]) -> dict[str, Any]:
    """Return the class, the activity, and who or what it happened to."""
    code, target = read_text(document, "activity_code"), read_text(document, "target_id")
    if code in ACCOUNT_CHANGES:
        user = {
            "uid": target,
            "name": read_text(document, "meta", "username") or read_text(document, "meta", "name"),
        }
        return {**name_class(3001, "Account Change", ACCOUNT_CHANGES[code]), "user": user}
    if code in LOGONS:
        found = name_class(3002, "Authentication", (1, "Logon"))
        return {**found, "user": actor, "service": {"name": LOGONS[code], "uid": target}}
    kind, _, verb = code.rpartition(".")
    entity = {"uid": target, "type": kind, "name": read_text(document, "meta", "name")}
    return {**name_class(3004, "Entity Management", VERBS.get(verb, (99, verb))), "entity": entity}


def name_class(class_uid: int, class_name: str, activity: tuple[int, str]) -> dict[str, Any]:
    """Return a class and its activity."""
    activity_id, activity_name = activity
    return {
        "class_uid": class_uid,
        "class_name": class_name,
        "activity_id": activity_id,
        "activity_name": activity_name,
    }
