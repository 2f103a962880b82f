"""A TCP proxy in front of a store that a test can cut: connections die at a chosen request or reply, or the store is away for a
while."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path


class Side(StrEnum):
    """What passes a proxy: a request that is cut never reaches the store, a reply that is cut was already true there."""

    REQUESTS = "Requests"
    REPLIES = "Replies"


class Proxy:
    """Forwards ``localhost:port`` to a store. ``counts``: what it sent (``Replies``) and what was sent to it (``Requests``); ``cut``
    kills the connection instead of passing that one on; ``away`` refuses everything until it is False again; ``delay``: seconds
    that each reply is held."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self.port = int(self._listener.getsockname()[1])
        self.counts = dict.fromkeys(Side, 0)
        self.cut: tuple[Side, int] | None = None
        self.cuts = 0
        self.away = False
        self.delay = 0.0
        self._closed = False
        self._spawn(self._accept)

    def go_away(self) -> None:
        """Cuts every connection and lets no new one come through."""
        self.away = True
        self._cut_all()

    def close(self) -> None:
        """Ends everything."""
        self._closed = True
        # shutdown wakes the accepting thread, close alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.away:
                client.close()
                continue
            server = socket.create_connection(self._target)
            with self._lock:
                self._pairs.append((client, server))
            self._spawn(self._pump, client, server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while True:
                ready, _, _ = select.select([client, server], [], [], 1.0)
                if self._closed or client.fileno() < 0:
                    return
                for source in ready:
                    data = source.recv(65536)
                    if not data or self._cuts_now(Side.REPLIES if source is server else Side.REQUESTS):
                        return
                    if source is server and self.delay:
                        time.sleep(self.delay)
                    (client if source is server else server).sendall(data)
        except (OSError, ValueError):
            return
        finally:
            client.close()
            server.close()

    def _cuts_now(self, side: Side) -> bool:
        with self._lock:
            self.counts[side] += 1
            cut = (side, self.counts[side]) == self.cut
            self.cuts += cut
            return cut

    def _cut_all(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def _spawn(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


@contextmanager
def proxy_to(host: str, port: int) -> Iterator[Proxy]:
    """A proxy for the length of a test."""
    proxy = Proxy((host, port))
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def proxied(file: Path) -> Iterator[Proxy]:
    """A proxy between a store and whoever reads its port, or its address, from this file of a binding."""
    original = file.read_text()
    before, colon, port = original.rpartition(":")
    with proxy_to("127.0.0.1", int(port)) as proxy:
        file.write_text(f"{before}{colon}{proxy.port}")
        try:
            yield proxy
        finally:
            file.write_text(original)


def cut_along(proxy: Proxy, side: Side, whole: int, stride: int) -> Iterator[tuple[int, str]]:
    """Each turn of the loop is cut off once, at another one of about ``whole`` pieces; gives its number and where that is.

    A call is three of each, BEGIN, the function and COMMIT: a stride that three does not divide meets them all.
    """
    for turn, number in enumerate(range(1, whole + 1, stride)):
        proxy.counts[side], proxy.cut, cuts = 0, (side, number), proxy.cuts
        where = f"cut at {side} {number} of about {whole}"
        yield turn, where
        # Some nights end earlier: what is sent in two pieces once comes in one at another time, and two sessions share their work
        # as they come. The last are the goodbye.
        assert proxy.cuts == cuts + 1 or number > whole - max(7, whole // 6), f"never {where}"
    proxy.cut = None
