"""What the builders need to know, as small frozen values. No input is read from the world here, none is a default of time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Task

POLICY_NAME_LIMIT = 40
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class PolicyRef:
    """The policy an object is made for. Raises Invalid for names that Kubernetes or our label limits do not take."""

    namespace: str
    name: str
    uid: str

    def __post_init__(self) -> None:
        """Names that reach here past the CRD's schema (a restored object, a forged ledger) stop here."""
        _require_dns_label(self.namespace, 63, "metadata.namespace")
        _require_dns_label(self.name, POLICY_NAME_LIMIT, "metadata.name")


@dataclass(frozen=True)
class RunRef:
    """A RetentionRun that asked for a job: owner of that job and its plan, so that both go when the run's time is over."""

    name: str
    uid: str


@dataclass(frozen=True)
class RequestRef:
    """A DataSubjectRequest that asked for a job: owner of that job and its plan. ``secret``: who it is about."""

    name: str
    uid: str
    secret: str


@dataclass(frozen=True)
class HoldRef:
    """A LegalHold: owner of the Secret that says whose rows it holds."""

    name: str
    uid: str


@dataclass(frozen=True)
class OperatorRef:
    """Where the operator runs and how its pods are selected by NetworkPolicies."""

    namespace: str
    pod_labels: Mapping[str, str] = field(
        default_factory=lambda: {
            "app.kubernetes.io/name": "tenant-retention-operator",
            "app.kubernetes.io/component": "operator",
        }
    )
    service_account: str = "tenant-retention-operator"
    cluster_role: str = "tenant-retention-operator-tenant"


@dataclass(frozen=True)
class Image:
    """An image and how it is pulled; ``pull_secrets`` are names of Secrets in the tenant's namespace."""

    name: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Amounts:
    """CPU (cores) and memory (bytes) as Kubernetes quantities; None: not set."""

    cpu: str | None = None
    memory: str | None = None


@dataclass(frozen=True)
class Resources:
    """Requests and limits of one container."""

    requests: Amounts
    limits: Amounts


@dataclass(frozen=True)
class ServerCertificate:
    """A server's certificate and its key, PEM. The key appears in no ``repr``."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class EmbeddedPostgres:
    """An embedded PostgreSQL server. ``verifier``: SCRAM-SHA-256 verifier of ``tro_admin`` (never a password).

    ``storage``: size of the volume; give the pinned value of an existing server, Kubernetes refuses a change.
    ``purpose`` and ``store``: labels only (empty where one server carries several stores).
    """

    policy: PolicyRef
    operator: OperatorRef
    image: Image
    certificate: ServerCertificate
    verifier: str = field(repr=False)
    storage: str = "10Gi"
    storage_class_name: str | None = None
    resources: Resources | None = None
    purpose: str = ""
    store: str = ""


@dataclass(frozen=True)
class EmbeddedS3:
    """An embedded SeaweedFS server. ``kek``: 64 hex digits that encrypt the keys of SSE-S3; losing it loses the objects."""

    policy: PolicyRef
    operator: OperatorRef
    image: Image
    certificate: ServerCertificate
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    kek: str = field(repr=False)
    storage: str = "10Gi"
    storage_class_name: str | None = None
    resources: Resources | None = None
    purpose: str = ""
    store: str = ""


@dataclass(frozen=True)
class Endpoint:
    """A store outside the namespace that jobs must reach: host name or IP address, TCP port."""

    host: str
    port: int


@dataclass(frozen=True)
class DnsServers:
    """Where pods resolve names: DNS pods by namespace, and addresses of node-local caches. Ports after translation, too."""

    namespaces: tuple[str, ...] = ("kube-system", "openshift-dns")
    addresses: tuple[str, ...] = ("169.254.20.10/32",)
    ports: tuple[int, ...] = (53, 5353)


@dataclass(frozen=True)
class EnforcementPod:
    """What the pods of a policy's jobs run. ``bindings``: names of the Secrets mounted at ``/bindings/<name>``.

    ``plan``: name of the ConfigMap with ``plan.json`` (see ``jobs.plan_config_map``). ``subject``: name of the Secret that is
    mounted at ``/subject``; None: nobody is looked for.
    """

    policy: PolicyRef
    image: Image
    bindings: tuple[str, ...]
    plan: str
    task: Task = Task.EXPIRE
    resources: Resources | None = None
    subject: str | None = None


@dataclass(frozen=True)
class PostgresCredentials:
    """One login of one database, as a binding tells it. ``ca``: PEM bundle, None: the system's own list of authorities."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    ca: str | None = None
    provider: str = "embedded"


@dataclass(frozen=True)
class S3Credentials:
    """One identity of one bucket. ``endpoint``: https URL. ``ca``: PEM bundle, None: the system's own list."""

    endpoint: str
    region: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    ca: str | None = None
    provider: str = "embedded"


@dataclass(frozen=True)
class RedisCredentials:
    """One login of one cache. ``prefix``: what every key begins with. ``ca``: as of ``S3Credentials``."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    prefix: str
    ca: str | None = None
    provider: str = "existing"


def _require_dns_label(value: str, limit: int, path: str) -> None:
    if len(value) > limit or _DNS_LABEL.fullmatch(value) is None:
        raise Invalid(
            f"{path}: {value[:70]!r} is not a DNS label of at most {limit} characters; "
            "use lower-case letters, digits and hyphens",
            reason="InvalidName",
            field=path,
        )
