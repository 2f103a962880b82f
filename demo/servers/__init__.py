"""Servers that the platform does not own: made by the demo as their owners would, then named in a DataStoreClass."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo import ownership
from demo.kubectl import Kubectl
from tenant_retention.adapters.certificates import issue_server_certificate, make_authority


@dataclass(frozen=True)
class Site:
    """One owner's servers in a namespace: each ``kind`` is a file beside this one, and the name of a host there."""

    owner: str
    kinds: tuple[str, ...]

    @property
    def namespace(self) -> str:
        """Where they run."""
        return f"{self.owner}-servers"

    @property
    def administration(self) -> tuple[str, ...]:
        """Secrets of the operator's namespace that the classes name: authority, administrators."""
        return (f"{self.owner}-ca", *(f"{self.owner}-{kind}-admin" for kind in self.kinds))


INITECH = Site("initech", ("postgresql", "s3"))
APAC = Site("apac", ("postgresql",))
UMBRELLA = Site("umbrella", ("cache",))
SITES = (INITECH, APAC, UMBRELLA)


def start(kubectl: Kubectl, operator_namespace: str, site: Site) -> None:
    """Starts the servers and hands the platform what a class needs: authority and administrators."""
    folder = Path(__file__).parent
    ownership.create_marked(kubectl, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": site.namespace}}])
    if kubectl.attempt("-n", site.namespace, "get", "secret", "server-files", show=False).returncode:
        for secret in _secrets(operator_namespace, site):
            kubectl.apply([secret])
    for kind in site.kinds:
        kubectl.run("-n", site.namespace, "apply", "-f", str(folder / f"{kind}.yaml"))
    for kind in site.kinds:
        kubectl.run("-n", site.namespace, "rollout", "status", f"statefulset/{kind}", "--timeout=180s", show=False)


def _secrets(operator_namespace: str, site: Site) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    authority = make_authority(now)
    hosts = tuple(f"{kind}.{site.namespace}.svc.cluster.local" for kind in site.kinds)
    leaf = issue_server_certificate(authority, hosts, now)
    password, access_key, secret_key = (secrets.token_urlsafe(24) for _ in range(3))
    server = {
        "tls.crt": leaf.certificate,
        "tls.key": leaf.key,
        "administrator-password": password,
        "s3-access-key": access_key,
        "s3-secret-key": secret_key,
        "s3-encryption-key": secrets.token_hex(32),
    }
    login = {"username": "platform_admin", "password": password}
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    administration = ({"ca.crt": authority.certificate}, *(keys if kind == "s3" else login for kind in site.kinds))
    return [
        _secret(site.namespace, "server-files", server),
        *(
            ownership.marked(_secret(operator_namespace, name, values))
            for name, values in zip(site.administration, administration, strict=True)
        ),
    ]


def _secret(namespace: str, name: str, values: dict[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name}, "data": data}
