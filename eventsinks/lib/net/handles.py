"""Curl handles: the options that all exchanges have, and those of one HTTP request.

The guard checks each socket of a handle. There are no redirects and no proxies.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import certifi
import pycurl

from eventsinks.lib.net import smtp
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.call import Call
from eventsinks.lib.net.wire import Request
from eventsinks.lib.version import VERSION

OWN_HEADERS = (f"User-Agent: eventsinks/{VERSION}", "Expect:")  # no 100-continue: it would cost a round trip


def make_handle(method: str, guard: AddressGuard, timeout: float) -> Any:
    """Return a new handle for exchanges of `method`, each with a deadline of `timeout` seconds."""
    handle: Any = pycurl.Curl()
    handle.call = (smtp.MailCall if method == smtp.MAIL else Call)(guard)
    for option, value in (
        (pycurl.NOSIGNAL, 1),
        (pycurl.OPENSOCKETFUNCTION, handle.call.open_socket),
        (pycurl.WRITEFUNCTION, handle.call.read),
        (pycurl.PROTOCOLS, handle.call.protocols),
        (pycurl.FOLLOWLOCATION, 0),
        (pycurl.PROXY, ""),
        (pycurl.NOPROXY, "*"),
        (pycurl.NETRC, pycurl.NETRC_IGNORED),
        (pycurl.PATH_AS_IS, 1),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
        (pycurl.CAINFO, find_ca_bundle()),
        (pycurl.TIMEOUT_MS, int(timeout * 1000)),
        (pycurl.CONNECTTIMEOUT_MS, int(min(timeout, 10.0) * 1000)),
    ):
        handle.setopt(option, value)
    return handle


def prepare_handle(handle: Any, request: Request) -> None:
    """Set the options of `handle` that differ between exchanges.

    Raises ValueError for a header with a line break.
    """
    lines: list[Any] = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers]
    joined = "".join(lines)
    if "\n" in joined or "\r" in joined or "\0" in joined:
        raise ValueError("a header must not contain line breaks")
    if not joined.isascii():
        lines = [line.encode("latin-1") for line in lines]
    option = handle.setopt  # looked up once: a handle's attributes are slow
    option(pycurl.URL, request.url)
    if request.method == "GET":
        option(pycurl.HTTPGET, 1)
    else:
        option(pycurl.POSTFIELDS, request.body)
    option(pycurl.CUSTOMREQUEST, request.method)
    option(pycurl.HTTPHEADER, [*lines, *OWN_HEADERS])
    option(pycurl.HEADERFUNCTION, handle.call.headers.append)


def find_ca_bundle() -> str:
    """Return the file of trusted certificates: the operator's, the machine's, or certifi's."""
    named = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    for candidate in (named, "/etc/ssl/certs/ca-certificates.crt"):
        if candidate and Path(candidate).is_file():
            return candidate
    return certifi.where()
