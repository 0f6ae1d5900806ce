"""A cheap far end: answers 204 to every POST, over raw non-blocking sockets.

Run it as a program with the number of far ends, and it prints their ports. Its cost does not count.
"""

from __future__ import annotations

import select
import socket
import sys

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
END = b"\r\n\r\n"


def serve(count: int) -> None:
    """Answer at so many ports until killed."""
    epoll = select.epoll()
    listeners = {}
    for _ in range(count):
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        listener.setblocking(False)
        listeners[listener.fileno()] = listener
        epoll.register(listener.fileno(), select.EPOLLIN)
    print(*[listener.getsockname()[1] for listener in listeners.values()], flush=True)
    connections: dict[int, tuple[socket.socket, bytes]] = {}
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor in listeners:
                connection, _ = listeners[descriptor].accept()
                connection.setblocking(False)
                connections[connection.fileno()] = (connection, b"")
                epoll.register(connection.fileno(), select.EPOLLIN)
                continue
            connection, kept = connections[descriptor]
            try:
                data = kept + connection.recv(262_144)
            except ConnectionError:
                data = b""
            if not data:
                epoll.unregister(descriptor)
                connection.close()
                del connections[descriptor]
                continue
            connections[descriptor] = (connection, answer_all(connection, data))


def answer_all(connection: socket.socket, data: bytes) -> bytes:
    """Answer each whole request in `data`. Return the rest, which begins the next one."""
    answers = 0
    while (head := data.find(END)) >= 0:
        length = data[:head].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        end = head + len(END) + int(length or 0)
        if len(data) < end:
            break
        data = data[end:]
        answers += 1
    if answers:
        connection.sendall(ANSWER * answers)
    return data


if __name__ == "__main__":
    serve(int(sys.argv[1]))
