"""A store that speaks S3 over real sockets, and has the habits of those that are not Amazon's."""

import hashlib
from email.utils import formatdate

from tests.helpers.receiver import Receiver, answer, lose


class Store:
    """Keeps every version of every object. `conditions` is what it does with `If-None-Match`.

    `kept`, `ignored`, `unknown` (501), `refused` (400, named); `first` are the habits of its first PUTs, one each:
    `lose` (stored, and no answer), or a status with a code, such as `503 SlowDown`. `may_look` False: HEAD is 403.
    """

    def __init__(self, conditions="kept", *, keeps_metadata=True, may_look=True, first=(), opaque_etag=False):
        self.conditions, self.keeps_metadata, self.may_look = conditions, keeps_metadata, may_look
        self.first, self.opaque_etag = list(first), opaque_etag
        self.versions = {}  # by key: the bodies that were stored, oldest first
        self._heads = {}
        self._receiver = Receiver(self._answer)

    def __enter__(self):
        self._receiver.__enter__()
        self.url = self._receiver.url("")
        return self

    def __exit__(self, *_):
        self._receiver.__exit__()

    @property
    def requests(self):
        """The methods that came, in order."""
        return [got.method for got in self._receiver.got]

    def _answer(self, got):
        headers = {name.lower(): value for name, value in got.headers}
        key = got.path.split("?")[0]
        if got.method == "HEAD":
            return self._head(key)
        if refused := self._refusal(headers):
            return error(*refused)
        habit = self.first.pop(0) if self.first else ""
        if habit and habit != "lose":
            status, code = habit.split()
            return error(int(status), code)
        if self.conditions == "kept" and "if-none-match" in headers and key in self.versions:
            return error(412, "PreconditionFailed")
        self._store(key, headers, got.body)
        return lose if habit == "lose" else answer(200, [("ETag", self._etag(got.body))], b"")

    def _refusal(self, headers):
        trailers = "aws-chunked" in headers.get("content-encoding", "") or "x-amz-trailer" in headers
        if trailers or any(name.startswith("x-amz-checksum") for name in headers):
            return 501, "NotImplemented", "no chunks, no trailers"
        if "if-none-match" in headers and self.conditions == "unknown":
            return 501, "NotImplemented", "a header you provided implies functionality that is not implemented"
        if "if-none-match" in headers and self.conditions == "refused":
            return 400, "InvalidArgument", "If-None-Match is not supported"
        return None

    def _store(self, key, headers, body):
        self.versions.setdefault(key, []).append(body)
        metadata = [(name, value) for name, value in headers.items() if name.startswith("x-amz-meta-")]
        self._heads[key] = metadata if self.keeps_metadata else []

    def _etag(self, body):
        return '"opaque-1"' if self.opaque_etag else f'"{hashlib.md5(body).hexdigest()}"'

    def _head(self, key):
        if not self.may_look:
            return answer(403, body=b"")
        if key not in self.versions:
            return answer(404, body=b"")
        body = self.versions[key][-1]
        shown = [("ETag", self._etag(body)), ("Last-Modified", formatdate(usegmt=True)), *self._heads[key]]
        head = answer(200, shown, b"x" * len(body))
        return head[: len(head) - len(body)]


def error(status, code, message="that is how it is"):
    """Return an error as S3 says it."""
    said = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return answer(status, [("Content-Type", "application/xml")], said)
