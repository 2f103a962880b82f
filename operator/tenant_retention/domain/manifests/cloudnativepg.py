"""A dedicated CloudNativePG ``Cluster`` in the tenant's namespace: high availability and failover are CloudNativePG's work.

The tenant's namespace holds only the SCRAM verifier of the administrator, who makes databases and roles and is no
superuser; nobody else can log in from outside. Standbys confirm every commit, so that a failover takes back neither a
deletion nor its evidence (X6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tenant_retention.domain.manifests.inputs import OperatorRef, PolicyRef, Resources
from tenant_retention.domain.manifests.metadata import (
    Manifest,
    cluster_name,
    labels,
    manifest,
    resource_requirements,
    secret,
)
from tenant_retention.domain.manifests.networking import cluster_network_policy

ADMINISTRATOR: Final = "tro_admin"
PORT: Final = 5432
COMPONENT: Final = "cloudnativepg"
API_VERSION: Final = "postgresql.cnpg.io/v1"
AUTHORITY_KEY: Final = "ca.crt"

_PARAMETERS: Final = {
    # No personal data in the log (X6): an ERROR's text and DETAIL repeat values, so they go to the client only.
    "log_min_error_statement": "panic",
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    # One statement may touch every monthly partition of several tables.
    "max_locks_per_transaction": "256",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_CLOSED: Final = (
    # PUBLIC may enter no database; only those that are named may enter this one.
    "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC",
    "GRANT CONNECT ON DATABASE postgres TO tro_admin",
    # CloudNativePG's own metrics come from there.
    "GRANT CONNECT ON DATABASE postgres TO pg_monitor",
    # CloudNativePG makes this role a little later. Without CONNECT a former primary could not become a standby (pg_rewind).
    "DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'streaming_replica') THEN "
    "CREATE ROLE streaming_replica LOGIN REPLICATION; END IF; END $do$",
    "GRANT CONNECT ON DATABASE postgres TO streaming_replica",
)


@dataclass(frozen=True)
class Catalogue:
    """An image catalogue of CloudNativePG; ``kind``: ``ImageCatalog`` or ``ClusterImageCatalog``."""

    kind: str
    name: str
    major: int


@dataclass(frozen=True)
class PostgresCluster:
    """A Cluster. ``verifier``: SCRAM-SHA-256 verifier of ``tro_admin`` (never a password). ``storage``: of each instance.

    ``image`` and ``catalogue`` None: what CloudNativePG takes itself. ``required``: commits wait for ``synchronous`` standbys
    even while there are too few of them. ``cnpg_namespace``: where CloudNativePG itself runs.
    """

    policy: PolicyRef
    operator: OperatorRef
    verifier: str = field(repr=False)
    cnpg_namespace: str = "cnpg-system"
    instances: int = 3
    storage: str = "10Gi"
    storage_class_name: str | None = None
    resources: Resources | None = None
    image: str | None = None
    catalogue: Catalogue | None = None
    pull_secrets: tuple[str, ...] = ()
    synchronous: int = 1
    required: bool = False


def cluster_host(policy: PolicyRef) -> str:
    """Where the primary answers, whichever instance that is."""
    return f"{cluster_name(policy)}-rw.{policy.namespace}.svc"


def authority_name(policy: PolicyRef) -> str:
    """The Secret in which CloudNativePG keeps the Cluster's certificate authority."""
    return f"{cluster_name(policy)}-ca"


def dedicated_cluster(server: PostgresCluster) -> tuple[Manifest, ...]:
    """All objects in the order in which they are applied; none is owned by the policy (X5)."""
    name = cluster_name(server.policy)
    labelled = labels(server.policy, COMPONENT, name="postgresql")
    return (
        _administrator(server, name, labelled),
        cluster_network_policy(server.policy, server.operator, server.cnpg_namespace, name, labelled),
        _cluster(server, name, labelled),
    )


def _administrator(server: PostgresCluster, name: str, labelled: dict[str, str]) -> Manifest:
    values = {"username": ADMINISTRATOR, "password": server.verifier}
    # With this label CloudNativePG follows a change at once.
    reloaded = {**labelled, "cnpg.io/reload": "true"}
    return secret(f"{name}-admin", server.policy.namespace, reloaded, "kubernetes.io/basic-auth", values)


def _cluster(server: PostgresCluster, name: str, labelled: dict[str, str]) -> Manifest:
    password = {"name": f"{name}-admin"}
    spec: Manifest = {
        "instances": server.instances,
        "enableSuperuserAccess": False,
        "storage": {"size": server.storage},
        "bootstrap": {
            "initdb": {
                # CloudNativePG always makes a database with an owner: the administrator's, so that nobody else can log in.
                "database": ADMINISTRATOR,
                "owner": ADMINISTRATOR,
                "secret": password,
                "dataChecksums": True,
                "encoding": "UTF8",
                "localeCollate": "C.UTF-8",
                "localeCType": "C.UTF-8",
                "postInitSQL": list(_CLOSED),
                "postInitApplicationSQL": ["REVOKE ALL ON DATABASE tro_admin FROM PUBLIC"],
            }
        },
        "managed": {
            "roles": [
                {
                    "name": ADMINISTRATOR,
                    "ensure": "present",
                    "login": True,
                    "createdb": True,
                    "createrole": True,
                    # The lag of its standbys is hidden from everybody else (D7).
                    "inRoles": ["pg_read_all_stats"],
                    "passwordSecret": password,
                }
            ]
        },
        "postgresql": {
            "parameters": dict(_PARAMETERS),
            "pg_hba": ["host all postgres all reject", "hostnossl all all all reject"],
        },
    }
    if server.instances > 1:
        spec["postgresql"]["synchronous"] = {
            "method": "any",
            "number": min(server.synchronous, server.instances - 1),
            "dataDurability": "required" if server.required else "preferred",
            # An instance that may lack a commit is not promoted by itself.
            "failoverQuorum": True,
        }
    spec |= _image(server)
    if server.storage_class_name is not None:
        spec["storage"]["storageClass"] = server.storage_class_name
    if server.resources is not None:
        spec["resources"] = resource_requirements(server.resources)
    return manifest(API_VERSION, "Cluster", name, server.policy.namespace, labelled) | {"spec": spec}


def _image(server: PostgresCluster) -> Manifest:
    found: Manifest = {}
    if server.catalogue is not None:
        found["imageCatalogRef"] = {
            "apiGroup": "postgresql.cnpg.io",
            "kind": server.catalogue.kind,
            "name": server.catalogue.name,
            "major": server.catalogue.major,
        }
    elif server.image is not None:
        found["imageName"] = server.image
    if server.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in server.pull_secrets]
    return found
