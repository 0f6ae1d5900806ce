"""Secrets at rest: sealed for one place with the newest key, and opened there with the key that the text names.

A sealed text is `<key id>:v2:<base64 of nonce and AES-256-GCM>`. The id is the first eight hexadecimal digits of
the key's SHA-256: it names a missing key, and we never guess a key. `place` names the column and the row. It is
authenticated with the text, so a copy in another row can't be opened. Texts of the first version, `<key
id>:<Fernet token>` (https://github.com/fernet/spec), have no place.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from binascii import Error as NotBase64
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_ID = re.compile(r"[0-9a-f]{8}")
BOUND = "v2:"
NONCE = 12  # bytes


class CannotOpen(Exception):
    """A sealed text can't be opened: its key is missing, someone altered it, or it belongs to another place."""


class SecretBox:
    """Seals and opens texts.

    `keys` are url-safe base64 of 32 bytes, newest first. Raises ValueError for a bad key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one encryption key is needed")
        self.key_ids = [make_key_id(key) for key in keys]
        self._newest = self.key_ids[0]
        self._old = {make_key_id(key): Fernet(key) for key in keys}
        self._boxes = {make_key_id(key): AESGCM(derive_key(key)) for key in keys}

    def seal(self, text: str, place: str) -> str:
        """Encrypt `text` with the newest key, for `place`."""
        nonce = os.urandom(NONCE)
        sealed = nonce + self._boxes[self._newest].encrypt(nonce, text.encode(), place.encode())
        return f"{self._newest}:{BOUND}{base64.urlsafe_b64encode(sealed).decode()}"

    def seal_unbound(self, text: str) -> str:
        """Encrypt `text` as the first version did, for processes of that version that still run."""
        return f"{self._newest}:{self._old[self._newest].encrypt(text.encode()).decode()}"

    def open(self, sealed: str, place: str, *, unbound: bool = False) -> str:
        """Decrypt a text that `seal` made for `place`, with the key that it names. Raises CannotOpen.

        `unbound` allows texts of the first version too.
        """
        name, _, token = sealed.partition(":")
        if not KEY_ID.fullmatch(name):  # do not repeat it: it may be a secret that was never sealed
            raise CannotOpen("it was not sealed")
        if name not in self._boxes:
            raise CannotOpen(f"sealed with key {name!r}, which is not among EVENTSINKS_ENCRYPTION_KEYS")
        try:
            if token.startswith(BOUND):
                data = base64.b64decode(token.removeprefix(BOUND).encode(), altchars=b"-_", validate=True)
                return self._boxes[name].decrypt(data[:NONCE], data[NONCE:], place.encode()).decode()
            text = self._old[name].decrypt(token).decode()
        except (InvalidToken, InvalidTag, NotBase64, ValueError):
            raise CannotOpen(f"sealed with key {name!r}, but the text was altered or is another row's") from None
        if not unbound:
            raise CannotOpen(f"sealed with key {name!r}, but not bound to its row")
        return text

    def is_current(self, sealed: str) -> bool:
        """Whether `sealed` was sealed with the newest key, for a place."""
        return sealed.startswith(f"{self._newest}:{BOUND}")


def derive_key(key: str) -> bytes:
    """Derive the AES-256 key from `key`, which Fernet uses in another way."""
    material = base64.urlsafe_b64decode(key)
    return HKDF(SHA256(), 32, salt=None, info=b"eventsinks sealed v2").derive(material)


def make_key_id(key: str) -> str:
    """Return the short public name of a key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def make_key() -> str:
    """Return a new random key."""
    return Fernet.generate_key().decode()
