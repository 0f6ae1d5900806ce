"""A mail server that says what it is told to, and keeps what it got: https://www.rfc-editor.org/rfc/rfc5321."""

import base64
import contextlib
import socketserver
import threading


class Mail:
    """One message with its envelope, as it came in one connection."""

    def __init__(self):
        self.sender, self.recipients, self.data = "", [], b""


class MailServer(socketserver.ThreadingTCPServer):
    """A server on this machine.

    `replies` maps the beginning of a command (`RCPT TO:<JO@`, `DATA`, `.` for the end of a message, `CONNECT`) to
    what is replied in place of a yes; None loses the connection. `tls` is a context, with which it offers
    STARTTLS, or with `at_once` speaks nothing else. `user` is the user and password that it asks for.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 200

    def __init__(self, replies=None, tls=None, at_once=False, user=None):
        super().__init__(("127.0.0.1", 0), Session)
        self.replies, self.tls, self.at_once, self.user = replies or {}, tls, at_once, user
        self.got, self.commands, self.connections = [], [], 0

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    @property
    def port(self):
        return self.server_address[1]

    def url(self, scheme="smtp", credentials="", host="127.0.0.1"):
        return f"{scheme}://{credentials}{host}:{self.port}"

    def handle_error(self, request, client_address):
        """A connection that breaks is no news."""


class Session(socketserver.StreamRequestHandler):
    """One connection."""

    encrypted = known = False

    def setup(self):
        self.server.connections += 1
        if self.server.at_once:
            self.encrypt()
        super().setup()

    def encrypt(self):
        with contextlib.suppress(AttributeError):  # the first is the socket's own
            self.rfile.close()
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.encrypted = True

    def finish(self):
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()

    def say(self, text):
        for line in text.splitlines():
            self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.mail = Mail()
        if not self.answered("CONNECT", "220 mail.example ready"):
            return
        with contextlib.suppress(ConnectionError):
            while line := self.rfile.readline():
                if not self.command(line.decode().rstrip("\r\n")):
                    return

    def answered(self, line, otherwise):
        """Say what is to be said to `line`; return whether the connection goes on."""
        said = next((r for begins, r in self.server.replies.items() if line.upper().startswith(begins)), otherwise)
        if said is None:
            return False
        self.say(said)
        return not said.startswith(("221", "421"))

    def command(self, line):
        self.server.commands.append(line)
        verb = line.split(" ")[0].split(":")[0].upper()
        return getattr(self, f"do_{verb.lower()}", self.do_unknown)(line)

    def do_ehlo(self, line):
        able = ["mail.example", "SIZE 1000000", "8BITMIME"]
        able += ["STARTTLS"] if self.server.tls and not self.encrypted else []
        able += ["AUTH PLAIN LOGIN"] if self.server.user else []
        *first, last = able
        return self.answered(line, "\n".join([*(f"250-{one}" for one in first), f"250 {last}"]))

    def do_starttls(self, line):
        if not self.answered(line, "220 go ahead"):
            return False
        self.wfile.flush()
        if line.upper() not in self.server.replies:
            self.encrypt()
            super().setup()
        return True

    def do_auth(self, line):
        words = line.split(" ")
        if len(words) == 2:
            self.say("334 ")
            words.append(self.rfile.readline().decode().strip())
        self.known = base64.b64decode(words[2]) == b"\0" + "\0".join(self.server.user or ()).encode()
        return self.answered(line, "235 2.7.0 welcome" if self.known else "535 5.7.8 who are you?")

    def do_mail(self, line):
        if self.server.user and not self.known:
            return self.answered("", "530 5.7.0 authenticate first")
        self.mail.sender = line.partition("<")[2].partition(">")[0]
        return self.answered(line, "250 2.1.0 ok")

    def do_rcpt(self, line):
        refused = [reply for begins, reply in self.server.replies.items() if line.upper().startswith(begins)]
        if not refused:
            self.mail.recipients.append(line.partition("<")[2].partition(">")[0])
        return self.answered(line, "250 2.1.5 ok")

    def do_data(self, line):
        if any(begins == "DATA" for begins in self.server.replies):
            return self.answered(line, "")
        self.say("354 end with a dot")
        lines = []
        while (data := self.rfile.readline()) != b".\r\n":
            if not data:
                return False
            lines.append(data.removeprefix(b".") if data.startswith(b"..") else data)
        self.mail.data = b"".join(lines)
        if not any(begins == "." for begins in self.server.replies):
            self.server.got.append(self.mail)
        self.mail = Mail()
        return self.answered(".", "250 2.0.0 queued as 4XYZ")

    def do_quit(self, line):
        self.say("221 bye")
        return False

    def do_rset(self, line):
        self.mail = Mail()
        return self.answered(line, "250 ok")

    def do_unknown(self, line):
        return self.answered(line, "502 5.5.1 what?")
