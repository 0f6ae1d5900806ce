"""A receiver of webhooks on this machine that keeps its requests."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Received:
    """One request: its headers in order, with their names as sent, and its body."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header, "" if it is missing."""
        return next((value for key, value in self.headers if key.lower() == name), "")


class Receiver:
    """Answers every POST with 200 and keeps it. It listens at once, and answers after `start`."""

    def __init__(self) -> None:
        self.requests: queue.Queue[Received] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(self.requests))
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}/hook"

    def start(self) -> None:
        """Answer in a thread of its own."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.server_close()


def make_handler(requests: queue.Queue[Received]) -> type[BaseHTTPRequestHandler]:
    """Return the class that handles a connection and puts its requests into `requests`."""

    class Keeper(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.put(Received(self.path, tuple(self.headers.items()), body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the demo shows the requests elsewhere."""

    return Keeper
