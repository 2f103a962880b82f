"""The embedded PostgreSQL server of a policy (PROVISIONING.md section 1): everything it needs in the tenant's namespace.

The tenant's namespace holds the server's TLS key and the administrator's SCRAM verifier, never the password: whoever
reads that namespace's Secrets cannot log in with them.
"""

from __future__ import annotations

from typing import Final

from tenant_retention.domain.manifests.inputs import Amounts, EmbeddedPostgres, Resources
from tenant_retention.domain.manifests.metadata import (
    SECRET_MODE,
    Manifest,
    container_security,
    digest,
    labels,
    manifest,
    packaged_file,
    resource_requirements,
    secret,
    server_name,
)
from tenant_retention.domain.manifests.networking import server_network_policy
from tenant_retention.domain.manifests.servers import (
    DATA_MOUNT,
    TLS_MOUNT,
    scratch,
    secret_volume,
    service,
    stateful_set,
    tls_secret,
)

ADMINISTRATOR: Final = "tro_admin"
"""CREATEDB and CREATEROLE, no superuser; made by the start script."""
PORT: Final = 5432
COMPONENT: Final = "postgresql"
USER: Final = 26
CONFIG_MOUNT: Final = "/etc/tenant-retention"
VERIFIER_MOUNT: Final = "/verifier"
SOCKET_MOUNT: Final = "/run/postgresql"
VERIFIER_KEY: Final = "scram-verifier"
CONFIG_FILES: Final = ("start-postgresql.sh", "postgresql.conf", "pg_hba.conf", "pg_ident.conf", "passwd")
# Measured on the embedded node (17.12, cgroup after start and 100,000 rows): 35 MiB resident, 147 MiB with page cache;
# shared_buffers fills up to 128 MiB more under load.
DEFAULT_RESOURCES: Final = Resources(
    requests=Amounts(cpu="50m", memory="160Mi"),
    limits=Amounts(memory="1Gi"),
)

_READY = f"pg_isready -q -h {SOCKET_MOUNT} -U postgres -d postgres -t 3"


def embedded_postgresql(server: EmbeddedPostgres) -> tuple[Manifest, ...]:
    """All objects of the server in the order in which they are applied; none is owned by the policy (X5)."""
    name = server_name(server.policy, COMPONENT)
    labelled = labels(server.policy, COMPONENT, name=COMPONENT, purpose=server.purpose, store=server.store)
    return (
        tls_secret(server, name, labelled),
        secret(f"{name}-verifier", server.policy.namespace, labelled, "Opaque", {VERIFIER_KEY: server.verifier}),
        _configuration(server, name, labelled),
        service(server, name, COMPONENT, labelled, PORT),
        server_network_policy(server.policy, server.operator, name, COMPONENT, labelled, PORT),
        _stateful_set(server, name, labelled),
    )


def _configuration(server: EmbeddedPostgres, name: str, labelled: dict[str, str]) -> Manifest:
    found = manifest("v1", "ConfigMap", f"{name}-config", server.policy.namespace, labelled)
    return found | {"data": {file: packaged_file(file) for file in CONFIG_FILES}}


def _stateful_set(server: EmbeddedPostgres, name: str, labelled: dict[str, str]) -> Manifest:
    return stateful_set(
        server,
        name,
        COMPONENT,
        labelled,
        user=USER,
        # A fast shutdown writes one checkpoint; two minutes are for a slow disk.
        grace_seconds=120,
        digests={
            "certificate": digest(server.certificate.certificate),
            "configuration": digest(*(packaged_file(file) for file in CONFIG_FILES)),
            "credentials": digest(server.verifier),
        },
        container=_container(server),
        volumes=[
            {"name": "config", "configMap": {"name": f"{name}-config", "defaultMode": 0o444}},
            secret_volume("tls", f"{name}-tls", SECRET_MODE),
            secret_volume("verifier", f"{name}-verifier", SECRET_MODE),
            scratch("run", "16Mi"),
            scratch("tmp", "256Mi"),
            # The runtime's own /dev/shm is 64 MiB: parallel queries fail with it.
            scratch("shm", "256Mi", medium="Memory"),
        ],
    )


def _container(server: EmbeddedPostgres) -> Manifest:
    environment = {
        "TRO_DATA": DATA_MOUNT,
        "TRO_CONFIG": CONFIG_MOUNT,
        "TRO_TLS": TLS_MOUNT,
        "TRO_RUN": SOCKET_MOUNT,
        "TRO_VERIFIER": f"{VERIFIER_MOUNT}/{VERIFIER_KEY}",
        "HOME": "/tmp",
    }
    return {
        "name": COMPONENT,
        "image": server.image.name,
        "imagePullPolicy": server.image.pull_policy,
        "command": ["/bin/sh", f"{CONFIG_MOUNT}/start-postgresql.sh"],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "ports": [{"name": COMPONENT, "containerPort": PORT, "protocol": "TCP"}],
        "resources": resource_requirements(server.resources or DEFAULT_RESOURCES),
        "securityContext": container_security(),
        # SIGTERM alone waits until every client has gone (smart shutdown).
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "kill -INT 1"]}}},
        # Crash recovery over a gigabyte of WAL is no reason to start again: an hour.
        "startupProbe": _probe(_READY, period=5, failures=720),
        # 1 is "alive and refusing for now" (recovery): restarting would only begin it anew.
        "livenessProbe": _probe(f"{_READY}; [ $? -le 1 ]", period=20, failures=6),
        "readinessProbe": _probe(_READY, period=5, failures=2),
        "volumeMounts": [
            {"name": "data", "mountPath": DATA_MOUNT},
            {"name": "config", "mountPath": CONFIG_MOUNT, "readOnly": True},
            # initdb and peer ask who user 26 is; images number their postgres user differently.
            {"name": "config", "mountPath": "/etc/passwd", "subPath": "passwd", "readOnly": True},
            {"name": "tls", "mountPath": TLS_MOUNT, "readOnly": True},
            {"name": "verifier", "mountPath": VERIFIER_MOUNT, "readOnly": True},
            {"name": "run", "mountPath": SOCKET_MOUNT},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
    }


def _probe(command: str, *, period: int, failures: int) -> Manifest:
    return {
        "exec": {"command": ["/bin/sh", "-c", command]},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
