"""DataStoreClass: where stores come from, like a StorageClass (PROVISIONING.md section 1)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tenant_retention.api.v1alpha1 import store_rules
from tenant_retention.api.v1alpha1.common import (
    ApiModel,
    ApiObject,
    Column,
    Condition,
    DnsName,
    KopfProgress,
    LabelSelector,
    Quantity,
    Region,
    Resource,
    Rule,
    StatusModel,
    StoreType,
)
from tenant_retention.api.v1alpha1.serverclasses import Backup, CloudNativePG, Resources
from tenant_retention.api.v1alpha1.thresholds import Thresholds

Provisioner = Literal["Embedded", "CloudNativePG", "Existing"]
IN_NAMESPACE = frozenset({"Embedded", "CloudNativePG"})
"""Provisioners whose servers the operator makes in the tenant's namespace, one for all databases of a policy."""
Iam = Literal["AWS", "MinIO", "Static"]
StaticRole = Literal["App", "Reader", "Enforcer", "Observer"]

_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
ENDPOINT_PATTERN = (
    rf"^https://[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*(:{_PORT})?$"
)
"""A host and a port that exists: no client can even be made for another one."""


class Limits(ApiModel):
    """What one namespace may take."""

    stores_per_namespace: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Stores of this class in one namespace; absent: no limit.",
        examples=[20],
    )
    storage_per_store: Quantity | None = Field(
        default=None,
        description="Largest storage a policy may ask for, in bytes; absent: no limit.",
        examples=["100Gi"],
    )


class Embedded(ApiModel):
    """A server that the operator runs in the tenant's namespace."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image of the server; absent: the operator's own default.",
        examples=["registry.example.com/postgres:17.11"],
    )
    storage: Quantity = Field(
        default="10Gi", description="Size of the volume, in bytes, where the policy asks for none.", examples=["50Gi"]
    )
    storage_class_name: DnsName | None = Field(
        default=None, description="StorageClass of the volume; absent: the cluster's default.", examples=["fast-ssd"]
    )
    resources: Resources | None = Field(
        default=None,
        description="CPU and memory of the server; absent: the operator's measured defaults.",
        examples=[{"requests": {"cpu": "100m", "memory": "256Mi"}}],
    )


class SecretRef(ApiModel):
    """Names a Secret in the operator's own namespace."""

    name: DnsName = Field(description="Name of the Secret in the operator's namespace.", examples=["pg-emea-admin"])


class CaSecretRef(ApiModel):
    """Names the Secret with the certificate authority of a server."""

    name: DnsName = Field(description="Name of the Secret in the operator's namespace.", examples=["pg-emea-ca"])
    key: str = Field(
        default="ca.crt", max_length=253, description="Key with the PEM certificates.", examples=["ca.crt"]
    )


class Tls(ApiModel):
    """How the server proves who it is."""

    mode: Literal["verify-full"] = Field(
        default="verify-full",
        description="Certificate and host name are always verified; no other mode is offered.",
        examples=["verify-full"],
    )
    ca_secret_ref: CaSecretRef | None = Field(
        default=None,
        description="The server's certificate authority; absent: the system's own list.",
        examples=[{"name": "pg-emea-ca"}],
    )


class StaticCredential(ApiModel):
    """An S3 identity made by hand, for one role."""

    role: StaticRole = Field(description="Role that uses the identity.", examples=["App"])
    secret_ref: SecretRef = Field(
        description="Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.", examples=[{"name": "s3-acme-app"}]
    )


class Existing(ApiModel):
    """A server or an S3 endpoint that already runs, owned by the platform or the customer (D6)."""

    host: DnsName | None = Field(
        default=None, description="PostgreSQL and Redis: host name or IPv4 address.", examples=["pg.emea.example.com"]
    )
    port: int = Field(
        default=5432, ge=1, le=65535, description="PostgreSQL: TCP port; Redis: the TLS port.", examples=[5432]
    )
    endpoint: Annotated[str, StringConstraints(pattern=ENDPOINT_PATTERN, max_length=300)] | None = Field(
        default=None,
        description="S3: address, https only, without a path.",
        examples=["https://s3.eu-central-1.amazonaws.com"],
    )
    s3_region: Region | None = Field(
        default=None, description="S3: the region that requests are signed for.", examples=["eu-central-1"]
    )
    iam: Iam | None = Field(
        default=None,
        description=(
            "S3: how identities are made. AWS: the IAM dialect of AWS, SeaweedFS and Ceph. MinIO: its admin API. "
            "Static: not at all, `staticCredentials` are handed out."
        ),
        examples=["AWS"],
    )
    static_credentials: tuple[StaticCredential, ...] = Field(
        default=(),
        max_length=4,
        description="S3 with iam Static: one identity a role. Restrict such a class to one customer's namespace.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["role"]},
    )
    tls: Tls = Field(
        default_factory=Tls,
        description="How the server proves who it is.",
        examples=[{"mode": "verify-full", "caSecretRef": {"name": "pg-emea-ca"}}],
    )
    admin_secret_ref: SecretRef = Field(
        description=(
            "Secret in the operator's namespace with the administrator: `username` and `password` for PostgreSQL "
            "(CREATEDB and CREATEROLE, no superuser) and for Redis (ACL, CLIENT KILL, INFO, CONFIG), `AWS_ACCESS_KEY_ID` and "
            "`AWS_SECRET_ACCESS_KEY` for S3."
        ),
        examples=[{"name": "pg-emea-admin"}],
    )


class DataStoreClassSpec(ApiModel):
    """Where stores come from."""

    type: StoreType = Field(
        description="What kind of store; Redis: a cache that speaks its protocol, such as Valkey. Immutable.",
        examples=["PostgreSQL"],
    )
    provisioner: Provisioner = Field(
        description=(
            "Embedded: a server in the tenant's namespace. CloudNativePG: a highly available PostgreSQL there, run by "
            "CloudNativePG. Existing: a dedicated database or bucket on a server that already runs. Immutable."
        ),
        examples=["Embedded"],
    )
    region: Region | None = Field(
        default=None, description="Region that the stores lie in; immutable.", examples=["EMEA"]
    )
    default: bool = Field(
        default=False,
        description="Whether policies that name no class get this one; one default a type.",
        examples=[True],
    )
    allowed_namespaces: LabelSelector | None = Field(
        default=None,
        description="Namespaces that may use the class, by their labels; absent: all.",
        examples=[{"matchLabels": {"stores": "emea"}}],
    )
    limits: Limits | None = Field(
        default=None, description="What one namespace may take.", examples=[{"storesPerNamespace": 20}]
    )
    encryption_at_rest: Literal["Declared"] | None = Field(
        default=None,
        description=(
            "Databases and caches: Declared states that the server or its volumes encrypt what they store, which the operator cannot "
            "see; absent: not known, and the condition EncryptionVerified of its policies says so. Buckets are tried."
        ),
        examples=["Declared"],
    )
    thresholds: Thresholds | None = Field(
        default=None,
        description="From where on a measured figure of a store is called bad; absent: the defaults.",
        examples=[{"latencyMilliseconds": 1000, "freeSessions": 10}],
    )
    embedded: Embedded | None = Field(
        default=None, description="Settings of provisioner Embedded; absent: defaults.", examples=[{"storage": "10Gi"}]
    )
    cloud_native_pg: CloudNativePG | None = Field(
        default=None,
        alias="cloudNativePG",
        description="Settings of provisioner CloudNativePG; absent: defaults.",
        examples=[{"instances": 3, "storage": "50Gi"}],
    )
    existing: Existing | None = Field(
        default=None,
        description="Settings of provisioner Existing.",
        examples=[{"host": "pg.emea.example.com", "port": 5432, "adminSecretRef": {"name": "pg-emea-admin"}}],
    )
    backup: Backup | None = Field(
        default=None,
        description="Backups of the databases of this class; absent: none.",
        examples=[{"schedule": "Daily", "keep": "P14D"}],
    )
    rules: ClassVar[tuple[Rule, ...]] = store_rules.CLASS_SPEC


class DataStoreClassStatus(StatusModel):
    """What the operator found."""

    observed_generation: int = Field(
        default=-1, description="Generation of the spec that the status is about; -1: never looked at.", examples=[1]
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Conditions; `Ready` says whether stores can be made.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    stores: int | None = Field(default=None, ge=0, description="Number of stores of this class.", examples=[6])
    kopf: KopfProgress = None


class DataStoreClass(ApiObject):
    """Where stores come from: a server in the tenant's namespace, or one that already runs."""

    resource: ClassVar[Resource] = Resource(
        kind="DataStoreClass",
        plural="datastoreclasses",
        short_name="dsc",
        scope="Cluster",
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "string", "Whether stores can be made."),
            Column("Type", ".spec.type", "string", "Kind of store."),
            Column("Provisioner", ".spec.provisioner", "string", "Where the stores come from."),
            Column("Region", ".spec.region", "string", "Region of the stores."),
            Column("Default", ".spec.default", "boolean", "Whether policies that name no class get it."),
            Column("Stores", ".status.stores", "integer", "Number of stores."),
            Column("Host", ".spec.existing.host", "string", "Host of an existing PostgreSQL server.", 1),
            Column("Endpoint", ".spec.existing.endpoint", "string", "Address of an existing S3 server.", 1),
            Column(
                "Reason", '.status.conditions[?(@.type=="Ready")].reason', "string", "Why it is or is not ready.", 1
            ),
            Column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
        ),
        selectable=(".spec.type", ".spec.provisioner"),
    )

    spec: DataStoreClassSpec = Field(description="Where stores come from.")
    status: DataStoreClassStatus = Field(
        default_factory=DataStoreClassStatus, description="What the operator found; never written by users."
    )
