"""The embedded SeaweedFS server of a policy (CLUSTER.md section 6): S3 over TLS on one port, everything else on loopback.

The tenant's namespace holds the S3 administrator's keys and the key that encrypts the objects' keys, because the server
reads both at its start. The tenant's own role must not read Secrets other than its bindings (the trust table in the docs).
"""

from __future__ import annotations

import re
from typing import Final

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.inputs import Amounts, EmbeddedS3, PolicyRef, Resources
from tenant_retention.domain.manifests.metadata import (
    SECRET_MODE,
    Manifest,
    container_security,
    digest,
    labels,
    resource_requirements,
    secret,
    server_host,
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

PORT: Final = 8333
COMPONENT: Final = "s3"
USER: Final = 10001
ACCESS_KEY: Final = "AWS_ACCESS_KEY_ID"
SECRET_KEY: Final = "AWS_SECRET_ACCESS_KEY"
KEK_KEY: Final = "WEED_S3_SSE_KEK"
REGION: Final = "us-east-1"
"""The region that requests are signed for; SeaweedFS has no regions of its own."""
# Measured on the embedded node (4.48, cgroup after start and a few objects): 32 MiB anonymous, 88 MiB mapped program.
DEFAULT_RESOURCES: Final = Resources(
    requests=Amounts(cpu="50m", memory="160Mi"),
    limits=Amounts(memory="1Gi"),
)
# The filer, master, volume and gRPC ports know no authentication: only the S3 port leaves loopback, and with the
# certificate given by -s3.cert.file it speaks nothing but TLS (-s3.port.https would leave plain HTTP open).
ARGUMENTS: Final = (
    # Otherwise it writes log files, too, until the scratch volume is full and the pod is evicted.
    "-logtostderr=true",
    "server",
    f"-dir={DATA_MOUNT}",
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.volumeSizeLimitMB=64",
    "-volume.max=0",
    # One server alone: there is nobody else to be told before it stops.
    "-volume.preStopSeconds=1",
    "-filer",
    "-s3",
    "-s3.ip.bind=0.0.0.0",
    f"-s3.port={PORT}",
    f"-s3.cert.file={TLS_MOUNT}/tls.crt",
    f"-s3.key.file={TLS_MOUNT}/tls.key",
    "-s3.iam.readOnly=false",
    "-s3.allowDeleteBucketNotEmpty=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)
_KEK = re.compile(r"[0-9a-f]{64}")


def endpoint(policy: PolicyRef) -> str:
    """``AWS_ENDPOINT_URL`` of the policy's embedded server."""
    return f"https://{server_host(policy, COMPONENT)}:{PORT}"


def embedded_s3(server: EmbeddedS3) -> tuple[Manifest, ...]:
    """All objects of the server in the order in which they are applied; none is owned by the policy (X5).

    Raises Invalid if ``kek`` is not 64 hex digits: the server would start without encryption.
    """
    if _KEK.fullmatch(server.kek) is None:
        raise Invalid("the key that encrypts objects' keys is not 64 hex digits", reason="SecretInvalid")
    name = server_name(server.policy, COMPONENT)
    labelled = labels(server.policy, COMPONENT, name="seaweedfs", purpose=server.purpose, store=server.store)
    credentials = {ACCESS_KEY: server.access_key, SECRET_KEY: server.secret_key, KEK_KEY: server.kek}
    return (
        tls_secret(server, name, labelled),
        secret(f"{name}-admin", server.policy.namespace, labelled, "Opaque", credentials),
        service(server, name, COMPONENT, labelled, PORT),
        server_network_policy(server.policy, server.operator, name, COMPONENT, labelled, PORT),
        stateful_set(
            server,
            name,
            COMPONENT,
            labelled,
            user=USER,
            grace_seconds=60,
            digests={
                "certificate": digest(server.certificate.certificate),
                "credentials": digest(server.access_key, server.secret_key, server.kek),
            },
            container=_container(server, name),
            volumes=[secret_volume("tls", f"{name}-tls", SECRET_MODE), scratch("tmp", "1Gi")],
        ),
    )


def _container(server: EmbeddedS3, name: str) -> Manifest:
    references = [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": f"{name}-admin", "key": key}}}
        for key in (ACCESS_KEY, SECRET_KEY, KEK_KEY)
    ]
    return {
        "name": COMPONENT,
        "image": server.image.name,
        "imagePullPolicy": server.image.pull_policy,
        "command": ["weed"],
        "args": list(ARGUMENTS),
        "env": [{"name": "HOME", "value": "/tmp"}, *references],
        "ports": [{"name": COMPONENT, "containerPort": PORT, "protocol": "TCP"}],
        "resources": resource_requirements(server.resources or DEFAULT_RESOURCES),
        "securityContext": container_security(),
        # Ready after about 4 s; loading the index of a full volume takes longer.
        "startupProbe": _probe(period=3, failures=200) | {"initialDelaySeconds": 4},
        "livenessProbe": _probe(period=20, failures=6),
        "readinessProbe": _probe(period=5, failures=2),
        "volumeMounts": [
            {"name": "data", "mountPath": DATA_MOUNT},
            {"name": "tls", "mountPath": TLS_MOUNT, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _probe(*, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": "/healthz", "port": COMPONENT, "scheme": "HTTPS"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
