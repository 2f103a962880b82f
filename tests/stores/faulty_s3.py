"""An S3 server that fails as real ones do: it stands before a real one and spoils chosen answers, errors inside a 200 included."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from minio.deleteobjects import DeleteObject

from tenant_retention.adapters.s3.connection import S3Connection
from tests.stores.servers.certificates import ThrowawayAuthority
from tests.stores.servers.s3 import S3Server


class Fault(StrEnum):
    """What becomes of one answer. Before: the store never got the request; After: it did what was asked."""

    UNAVAILABLE_BEFORE = "503 before"
    UNAVAILABLE_AFTER = "503 after"
    TRUNCATED = "truncated body"
    CUT_AFTER = "connection cut after"
    SLOW = "slow answer"
    ERRORS_IN_200 = "errors inside a 200"
    SOME_ERRORS_IN_200 = "an error inside a 200 for one object of several"


INSIDE_200 = (Fault.ERRORS_IN_200, Fault.SOME_ERRORS_IN_200)
"""What only the answer to a bulk deletion can have."""

Chooses = Callable[[str, str], bool]
"""Whether this request (method, path with query) is to be spoiled."""
_SLOW = 2.0
_BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>reduce your request rate</Message></Error>"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass
class Faults:
    """The next ``left`` answers that ``chooses`` picks, but for the first ``passing``, are spoiled by ``fault``; ``spoiled`` counts
    them."""

    fault: Fault
    chooses: Chooses
    left: int = 1
    passing: int = 0
    spoiled: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if it is one of the chosen."""
        with self.lock:
            if self.left == 0 or not self.chooses(method, path):
                return None
            if self.passing > 0:
                self.passing -= 1
                return None
            self.left -= 1
            self.spoiled += 1
            return self.fault


def deletes(method: str, path: str) -> bool:
    """A bulk deletion."""
    return method == "POST" and "delete" in urlsplit(path).query


def lists(method: str, path: str) -> bool:
    """A listing: of versions, objects or unfinished uploads."""
    return method == "GET" and any(word in urlsplit(path).query for word in ("versions", "list-type", "uploads"))


def puts(ending: str = "") -> Chooses:
    """Storing an object whose key ends so."""
    return lambda method, path: method == "PUT" and not urlsplit(path).query and path.endswith(ending)


def gets(ending: str = "") -> Chooses:
    """Reading an object whose key ends so."""
    return lambda method, path: method == "GET" and not urlsplit(path).query and path.endswith(ending)


def locks(method: str, path: str) -> bool:
    """Locking one object until an instant."""
    return method == "PUT" and "retention" in urlsplit(path).query


@dataclass
class FaultyS3:
    """A running proxy: ``url`` and ``ca`` are what a client is told; ``faults`` None: everything passes."""

    url: str
    ca: str
    faults: Faults | None = None


@contextmanager
def faulty_s3(server: S3Server, directory: Path) -> Iterator[FaultyS3]:
    """A proxy before ``server``, with a certificate of its own, for the length of a test."""
    authority = ThrowawayAuthority.create()
    certificate, key = authority.issue(["localhost"])
    (directory / "proxy.crt").write_bytes(certificate)
    (directory / "proxy.key").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "proxy.crt", directory / "proxy.key")
    made = FaultyS3("", authority.pem().decode())
    target = urlsplit(server.endpoint.url).netloc
    upstream = ssl.create_default_context(cadata=server.endpoint.ca)

    class Handler(BaseHTTPRequestHandler):
        """Forwards one request; the signature holds, because the host's name passes unchanged."""

        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

        def answer(self) -> None:
            """Asks the real store, unless it is not to know, and spoils its answer if that was chosen."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = made.faults.take(self.command, self.path) if made.faults else None
            if fault is Fault.UNAVAILABLE_BEFORE:
                self.reply(503, _BUSY)
                return
            if fault in INSIDE_200:
                asked = _named(body)
                refused = asked[:1] if fault is Fault.SOME_ERRORS_IN_200 else asked
                with S3Connection(server.endpoint, server.administrator) as store:
                    others = [DeleteObject(*each) for each in asked[len(refused) :]]
                    assert not list(store.client.remove_objects(urlsplit(self.path).path.strip("/"), others))
                self.reply(200, _refusals(refused))
                return
            connection = HTTPSConnection(target, context=upstream, timeout=30)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
            connection.close()
            if fault is Fault.UNAVAILABLE_AFTER:
                self.reply(503, _BUSY)
            elif fault is Fault.CUT_AFTER:
                self.close_connection = True
            else:
                if fault is Fault.SLOW:
                    time.sleep(_SLOW)
                self.reply(response.status, content, dict(response.getheaders()), cut=fault is Fault.TRUNCATED)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
            """Sends an answer; ``cut``: half of the body that it promises."""
            self.send_response(status)
            for name, value in (headers or {"Content-Type": "application/xml"}).items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = self.close_connection or cut

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    made.url = f"https://localhost:{listener.server_address[1]}"
    serving = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield made
    finally:
        listener.shutdown()
        listener.server_close()
        serving.join(10)


@contextmanager
def faulty_binding(server: S3Server, binding: Path, directory: Path) -> Iterator[FaultyS3]:
    """A proxy between ``server`` and whoever goes by this binding, for the length of a test."""
    originals = {name: (binding / name).read_text() for name in ("AWS_ENDPOINT_URL", "ca.crt")}
    with faulty_s3(server, directory) as proxy:
        (binding / "AWS_ENDPOINT_URL").write_text(proxy.url)
        (binding / "ca.crt").write_text(proxy.ca)
        try:
            yield proxy
        finally:
            for name, text in originals.items():
                (binding / name).write_text(text)


def _named(body: bytes) -> list[tuple[str, str | None]]:
    """The objects of a bulk deletion: key and version."""
    found = [
        {each.tag.rpartition("}")[2]: each.text or "" for each in wanted} for wanted in ElementTree.fromstring(body)
    ]
    return [(each["Key"], each.get("VersionId")) for each in found if "Key" in each]


def _refusals(objects: list[tuple[str, str | None]]) -> bytes:
    """A 200 in which the store says of these objects that it could not delete them; it did not try."""
    answer = ElementTree.Element("DeleteResult", xmlns=_NAMESPACE)
    for key, version in objects:
        error = ElementTree.SubElement(answer, "Error")
        ElementTree.SubElement(error, "Key").text = key
        if version is not None:
            ElementTree.SubElement(error, "VersionId").text = version
        ElementTree.SubElement(error, "Code").text = "InternalError"
        ElementTree.SubElement(error, "Message").text = "We encountered an internal error. Please try again."
    return ElementTree.tostring(answer)
