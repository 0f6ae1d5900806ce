"""A cheap far end: answers 204 to every POST, over raw non-blocking sockets.

Run it as a program with the number of far ends, and it prints their ports. Its cost does not count.
"""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
END = b"\r\n\r\n"

Note = Callable[[int, bytes], None]  # called with the number of the far end, and a body


def serve(count: int, note: Note | None = None) -> None:
    """Answer at so many ports until killed, and note each request."""
    epoll = select.epoll()
    listeners = {}
    for number in range(count):
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        listener.setblocking(False)
        listeners[listener.fileno()] = (listener, number)
        epoll.register(listener.fileno(), select.EPOLLIN)
    print(*[listener.getsockname()[1] for listener, _ in listeners.values()], flush=True)
    connections: dict[int, tuple[socket.socket, int, bytes]] = {}
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor in listeners:
                listener, number = listeners[descriptor]
                try:
                    connection, _ = listener.accept()
                except OSError:  # no descriptor is free: the next waits until one is
                    continue
                connection.setblocking(False)
                connections[connection.fileno()] = (connection, number, b"")
                epoll.register(connection.fileno(), select.EPOLLIN)
                continue
            connection, number, kept = connections[descriptor]
            try:
                data = kept + connection.recv(262_144)
            except ConnectionError:
                data = b""
            if not data:
                epoll.unregister(descriptor)
                connection.close()
                del connections[descriptor]
                continue
            connections[descriptor] = (connection, number, answer_all(connection, data, number, note))


def answer_all(connection: socket.socket, data: bytes, number: int = 0, note: Note | None = None) -> bytes:
    """Answer each whole request in `data`, and note it. Return the rest, which begins the next one."""
    answers = 0
    while (head := data.find(END)) >= 0:
        length = data[:head].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        end = head + len(END) + int(length or 0)
        if len(data) < end:
            break
        if note:
            note(number, data[head + len(END) : end])
        data = data[end:]
        answers += 1
    if answers:
        connection.sendall(ANSWER * answers)
    return data


if __name__ == "__main__":
    serve(int(sys.argv[1]))
