"""A real Kubernetes API server with its etcd and nothing else, on free ports of this machine: for schema and admission."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.ports import free_ports
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
ADMINISTRATOR = "administrator"
USERS = {
    ADMINISTRATOR: "system:masters",
    "tenant": "tenants",
    "platform": "platforms",
    "legal": "legals",
    "privacy": "officers",
}
START_SECONDS = 180


def part(name: str) -> str:
    """Path of a program that the project builds for itself; built now if it is missing."""
    done = subprocess.run(
        [sys.executable, "-m", "devcluster", "part", name], cwd=ROOT, text=True, capture_output=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


@dataclass
class ApiServer:
    """A running API server below `folder`; `stop` ends both processes."""

    folder: Path
    program: str
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = ADMINISTRATOR,
        impersonate: str = "",
        content_type: str = "application/json",
        **query: str,
    ) -> requests.Response:
        """One request as one of USERS, or as a service account that the administrator impersonates."""
        headers = {"Authorization": f"Bearer token-{user}", "Content-Type": content_type}
        if impersonate:
            headers["Impersonate-User"] = impersonate
        return requests.request(
            method,
            self.url + path,
            data=None if body is None else json.dumps(body),
            params=query,
            headers=headers,
            verify=str(self.folder / "certificates" / "apiserver.crt"),
            timeout=60,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of kubectl as the administrator; fails with its error text."""
        done = subprocess.run(
            [self.program, "kubectl", f"--kubeconfig={self.folder / 'kubeconfig'}", *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        """End both processes: the API server hangs on a polite signal once etcd is gone."""
        for process in reversed(self.processes):
            process.kill()
            process.wait(timeout=60)
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)


def start(folder: Path) -> ApiServer:
    """Start etcd and the API server; returns once it is ready."""
    client_port, peer_port, port = free_ports(3)
    server = ApiServer(folder, part("node"), port)
    _write_files(server)
    _run(
        server,
        "etcd",
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls=http://127.0.0.1:{client_port}",
        f"--advertise-client-urls=http://127.0.0.1:{client_port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
        f"--initial-cluster=default=http://127.0.0.1:{peer_port}",
    )
    _run(
        server,
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{client_port}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'accounts.pub'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--service-cluster-ip-range=10.97.0.0/16",
        "--disable-admission-plugins=ServiceAccount",
    )
    try:
        eventually(lambda: _ready(server), "the API server is not ready", START_SECONDS)
    except BaseException:
        server.stop()
        raise
    return server


def _ready(server: ApiServer) -> bool:
    for process in server.processes:
        assert process.poll() is None, f"a process ended with {process.returncode}; see the logs in {server.folder}"
    try:
        return server.request("GET", "/readyz").status_code == 200
    except (requests.ConnectionError, OSError):
        return False


def _run(server: ApiServer, name: str, *arguments: str) -> None:
    with (server.folder / f"{name}.log").open("wb") as log:
        server.processes.append(subprocess.Popen([server.program, name, *arguments], stdout=log, stderr=log))


def _write_files(server: ApiServer) -> None:
    folder = server.folder
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "accounts.key").write_bytes(private)
    (folder / "accounts.pub").write_bytes(public)
    (folder / "tokens.csv").write_text(
        "".join(f'token-{name},{name},{name},"{group}"\n' for name, group in USERS.items())
    )
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [
            {"name": "it", "context": {"cluster": "it", "user": ADMINISTRATOR}},
            *({"name": user, "context": {"cluster": "it", "user": user}} for user in USERS),
        ],
        "clusters": [
            {
                "name": "it",
                "cluster": {
                    "server": server.url,
                    "certificate-authority": str(folder / "certificates" / "apiserver.crt"),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": f"token-{user}"}} for user in USERS],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(configuration))
