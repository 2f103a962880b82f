"""Real S3 servers for the store tests: SeaweedFS as CLUSTER.md section 6 runs it, and MinIO as a second opinion.

Both speak TLS only, with a throwaway authority. Fixtures (session scope): ``seaweedfs``, ``minio_server`` and, over
both, ``s3_server``.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from tenant_retention.domain.bucket_identities import AccessKey, Iam
from tenant_retention.domain.buckets import S3Endpoint
from tenant_retention.domain.ports.stores import BucketServer
from tests.stores.servers.certificates import ThrowawayAuthority
from tests.stores.servers.directories import throwaway_directory
from tests.support.ports import free_port, free_ports
from tests.support.waiting import eventually

HOST = "localhost"
REGION = "eu-test-1"
_ROOT = Path(__file__).resolve().parents[3]
_START_SECONDS = 180
_STOP_SECONDS = 3
"""Then killed: SeaweedFS waits long for its own parts, and its data is thrown away anyway."""


@dataclass(frozen=True)
class S3Server:
    """A running server with its administrator. ``ca_file``: what clients that read files must believe."""

    iam: Iam
    endpoint: S3Endpoint
    administrator: AccessKey
    ca_file: Path
    pid: int
    log_file: Path

    def bucket_server(self) -> BucketServer:
        """The server as the reconcile names it."""
        return BucketServer(self.endpoint.url, self.endpoint.region, self.iam, self.administrator, self.endpoint.ca)

    def log(self) -> str:
        """Everything the server logged so far."""
        return self.log_file.read_text(errors="replace")


@contextmanager
def running_seaweedfs() -> Iterator[S3Server]:
    """Starts master, volume, filer and S3 in one process; only S3 is meant for clients, the rest stays on loopback."""
    with throwaway_directory("seaweedfs") as directory:
        authority = ThrowawayAuthority.create()
        certificate, key = _certificate_files(authority, directory, "tls.crt", "tls.key")
        administrator = AccessKey("administrator", secrets.token_urlsafe(24))
        ports = free_ports(8)
        s3 = ports[0]
        names: tuple[str, ...] = ("s3.port", "s3.port.grpc", "filer.port", "filer.port.grpc")
        names += ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
        (directory / "data").mkdir()
        arguments = [
            str(Path(sys.executable).parent / "weed"),
            "server",
            f"-dir={directory / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.volumeSizeLimitMB=64",
            # Each bucket takes seven volumes at its first object, and buckets with locked objects cannot be removed.
            "-volume.max=8000",
            "-filer",
            "-s3",
            "-s3.iam.readOnly=false",
            "-s3.allowDeleteBucketNotEmpty=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.cert.file={certificate}",
            f"-s3.key.file={key}",
            f"-s3.localSocket={directory / 's3.sock'}",
            f"-filer.localSocket={directory / 'filer.sock'}",
            *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
        ]
        environment = {
            "AWS_ACCESS_KEY_ID": administrator.key_id,
            "AWS_SECRET_ACCESS_KEY": administrator.secret,
            "WEED_S3_SSE_KEK": secrets.token_hex(32),
        }
        endpoint = S3Endpoint(f"https://{HOST}:{s3}", REGION, authority.pem().decode())
        try:
            with _process(arguments, environment, directory, f"{endpoint.url}/healthz", authority) as (pid, log):
                yield S3Server(Iam.AWS, endpoint, administrator, directory / "ca.crt", pid, log)
        finally:
            # Always there, whatever TMPDIR says, and left behind by a server that is killed.
            for port in ports:
                for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
                    left.unlink()


@contextmanager
def running_minio() -> Iterator[S3Server]:
    """Starts one MinIO with a key for default encryption."""
    with throwaway_directory("minio") as directory:
        authority = ThrowawayAuthority.create()
        (directory / "certs").mkdir()
        _certificate_files(authority, directory / "certs", "public.crt", "private.key")
        (directory / "ca.crt").write_bytes(authority.pem())
        administrator = AccessKey("administrator", secrets.token_urlsafe(24))
        port = free_port()
        (directory / "data").mkdir()
        arguments = [
            str(minio_binary()),
            "server",
            f"--address=127.0.0.1:{port}",
            f"--certs-dir={directory / 'certs'}",
            str(directory / "data"),
        ]
        environment = {
            "MINIO_ROOT_USER": administrator.key_id,
            "MINIO_ROOT_PASSWORD": administrator.secret,
            "MINIO_KMS_SECRET_KEY": "tests:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "MINIO_SITE_REGION": REGION,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        endpoint = S3Endpoint(f"https://{HOST}:{port}", REGION, authority.pem().decode())
        with _process(arguments, environment, directory, f"{endpoint.url}/minio/health/live", authority) as (pid, log):
            yield S3Server(Iam.MINIO, endpoint, administrator, directory / "ca.crt", pid, log)


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[S3Server]:
    """SeaweedFS: the server of ``Embedded`` classes, and the IAM dialect of AWS."""
    with running_seaweedfs() as server:
        yield server


@pytest.fixture(scope="session")
def minio_server() -> Iterator[S3Server]:
    """MinIO: a server that a customer may own, with an admin API of its own."""
    with running_minio() as server:
        yield server


@pytest.fixture(scope="session", params=["seaweedfs", "minio_server"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Both servers, one after the other."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


def minio_binary() -> Path:
    """MinIO built by the development cluster's parts (MINIO_BINARY overrides); built once, then up to date at once."""
    named = os.environ.get("MINIO_BINARY")
    if named:
        return Path(named)
    done = subprocess.run(
        [sys.executable, "-m", "devcluster", "part", "minio"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    if done.returncode != 0:
        raise RuntimeError(f"MinIO could not be built:\n{done.stdout}\n{done.stderr}")
    return Path(done.stdout.strip().splitlines()[-1])


def _certificate_files(authority: ThrowawayAuthority, directory: Path, certificate: str, key: str) -> tuple[Path, Path]:
    chain, private = authority.issue([HOST])
    (directory / "ca.crt").write_bytes(authority.pem())
    (directory / certificate).write_bytes(chain)
    (directory / key).write_bytes(private)
    (directory / key).chmod(0o600)
    return directory / certificate, directory / key


@contextmanager
def _process(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    health: str,
    authority: ThrowawayAuthority,
) -> Iterator[tuple[int, Path]]:
    log_file = directory / "log"
    # A killed test run must not leave a server behind: it is told when its parent dies.
    drop = ["setpriv", "--pdeathsig=TERM"] if shutil.which("setpriv") else []
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*drop, *arguments],
            cwd=directory,
            # Its own folder for logs and sockets too: a killed server leaves them behind.
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(directory), "TMPDIR": str(directory), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_healthy(process, health, authority, log_file)
        yield process.pid, log_file
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(
    process: subprocess.Popen[bytes], url: str, authority: ThrowawayAuthority, log_file: Path
) -> None:
    context = ssl.create_default_context(cadata=authority.pem().decode())

    def log() -> str:
        return log_file.read_text(errors="replace")

    with urllib3.PoolManager(ssl_context=context, retries=False, timeout=2) as pool:

        def healthy() -> bool:
            assert process.poll() is None, f"the server ended with {process.returncode}:\n{log()}"
            try:
                return pool.request("GET", url).status == 200
            except urllib3.exceptions.HTTPError:
                return False

        eventually(healthy, f"{url} is healthy", _START_SECONDS, log=log)
