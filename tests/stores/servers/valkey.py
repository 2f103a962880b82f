"""A real Valkey 8.1 for the store tests, from Debian 13: TLS only, nobody without a password, users in a file of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tenant_retention.adapters.cache.connection import CacheConnection
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.ports.caches import CacheServer
from tests.stores.servers.certificates import ThrowawayAuthority
from tests.stores.servers.install import UNPRIVILEGED, valkey_installation
from tests.support.ports import free_port
from tests.support.waiting import eventually

HOST = "localhost"
_START_SECONDS = 180
_STOP_SECONDS = 5


@dataclass(frozen=True)
class ValkeyProcess:
    """A running server with its administrator, and what it logged."""

    server: CacheServer
    directory: Path
    pid: int = 0

    def pause(self) -> None:
        """It hangs: connections stay, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        os.kill(self.pid, signal.SIGCONT)

    def login(self, user: str, password: str) -> CacheServer:
        """Another login at the same server."""
        return replace(self.server, user=user, password=password)

    @contextmanager
    def client(self, user: str | None = None, password: str = "") -> Iterator[CacheConnection]:
        """A connection as this user, the administrator if none is named."""
        connection = CacheConnection(self.server if user is None else self.login(user, password))
        try:
            yield connection
        finally:
            connection.close()

    def users_file(self) -> str:
        """What the server reads its users from when it starts."""
        return (self.directory / "users.acl").read_text()


@contextmanager
def running_valkey(settings: Sequence[str] = (), *, users_file: bool = True) -> Iterator[ValkeyProcess]:
    """Starts one. ``settings``: further options; ``users_file`` False: users live in memory only."""
    directory = Path(tempfile.mkdtemp(prefix="retention-valkey-"))
    try:
        authority = ThrowawayAuthority.create()
        chain, private = authority.issue([HOST])
        password = secrets.token_urlsafe(24)
        users = f"user default off\nuser administrator on >{password} ~* &* +@all\n"
        for name, content in (("tls.crt", chain), ("tls.key", private), ("ca.crt", authority.pem())):
            (directory / name).write_bytes(content)
        (directory / "users.acl").write_text(users)
        port = free_port()
        options = ["--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", f"{directory}/tls.crt", "--tls-key-file", f"{directory}/tls.key"]
        options += ["--dir", str(directory), "--save", "", "--appendonly", "no", *settings]
        options += ["--aclfile", f"{directory}/users.acl"] if users_file else _users_as_options(password)
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, UNPRIVILEGED, UNPRIVILEGED)
        server = CacheServer(HOST, port, "administrator", password, authority.pem().decode())
        with _process(options, directory, server) as pid:
            yield ValkeyProcess(server, directory, pid)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyProcess]:
    """One server for the whole session."""
    with running_valkey() as process:
        yield process


def _users_as_options(password: str) -> list[str]:
    return ["--user", "default", "off", "--user", "administrator", "on", "~*", "&*", "+@all", f">{password}"]


@contextmanager
def _process(options: list[str], directory: Path, server: CacheServer) -> Iterator[int]:
    command = valkey_installation().unprivileged(directory, "valkey-server", *options)
    log_file = directory / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{log_file.read_text()}"
        connection = CacheConnection(server)
        try:
            return bool(connection.command("ping", "PING"))
        except RetentionError:
            return False
        finally:
            connection.close()

    try:
        eventually(answers, "Valkey answers", _START_SECONDS, log=log_file.read_text)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
