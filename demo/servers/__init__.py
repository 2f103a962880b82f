"""The third customer's own servers: made by the demo as the customer would, then named in a DataStoreClass."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo import ownership
from demo.kubectl import Kubectl
from tenant_retention.adapters.certificates import issue_server_certificate, make_authority

NAMESPACE = "initech-servers"
HOSTS = ("postgresql", "s3")
ADMINISTRATION = ("initech-ca", "initech-postgresql-admin", "initech-s3-admin")
"""Secrets of the operator's namespace that the classes name: authority, administrators."""


def start(kubectl: Kubectl, operator_namespace: str) -> None:
    """Starts the customer's PostgreSQL and S3 server and hands the platform what a class needs: authority and administrators."""
    folder = Path(__file__).parent
    ownership.create_marked(kubectl, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    if kubectl.attempt("-n", NAMESPACE, "get", "secret", "server-files", show=False).returncode:
        for secret in _secrets(operator_namespace):
            kubectl.apply([secret])
    kubectl.run("-n", NAMESPACE, "apply", "-f", str(folder / "servers.yaml"))
    for name in HOSTS:
        kubectl.run("-n", NAMESPACE, "rollout", "status", f"statefulset/{name}", "--timeout=180s", show=False)


def _secrets(operator_namespace: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    authority = make_authority(now)
    leaf = issue_server_certificate(authority, tuple(f"{host}.{NAMESPACE}.svc.cluster.local" for host in HOSTS), now)
    password, access_key, secret_key = (secrets.token_urlsafe(24) for _ in range(3))
    server = {
        "tls.crt": leaf.certificate,
        "tls.key": leaf.key,
        "administrator-password": password,
        "s3-access-key": access_key,
        "s3-secret-key": secret_key,
        "s3-encryption-key": secrets.token_hex(32),
    }
    administration = (
        {"ca.crt": authority.certificate},
        {"username": "platform_admin", "password": password},
        {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key},
    )
    return [
        _secret(NAMESPACE, "server-files", server),
        *(
            ownership.marked(_secret(operator_namespace, name, values))
            for name, values in zip(ADMINISTRATION, administration, strict=True)
        ),
    ]


def _secret(namespace: str, name: str, values: dict[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name}, "data": data}
