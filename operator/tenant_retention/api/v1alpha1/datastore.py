"""DataStore: the ledger, like a PersistentVolume; facts in spec, rebuildable from the markers in the stores (X5)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tenant_retention.api.v1alpha1 import store_rules
from tenant_retention.api.v1alpha1.common import (
    ApiModel,
    ApiObject,
    Column,
    Condition,
    Digest,
    DnsLabel,
    DnsName,
    KopfProgress,
    ObjectRef,
    Purpose,
    Region,
    Resource,
    Rule,
    StatusModel,
    StoreType,
)
from tenant_retention.api.v1alpha1.datastoreclass import Embedded, Existing, Provisioner
from tenant_retention.api.v1alpha1.serverclasses import CloudNativePG

ReclaimPolicy = Literal["Retain"]
StorePhase = Literal["Pending", "Bound", "Released"]


class ClassSnapshot(ApiModel):
    """The class as it was when the store was made; a class that changes or goes leaves its stores working."""

    uid: str = Field(max_length=36, description="UID of the class.", examples=["b6c5c5a2-3b5e-4e43-9d37-0a7b8f2f1f10"])
    generation: int = Field(description="Generation of the class.", examples=[1])
    embedded: Embedded | None = Field(
        default=None, description="Its settings for Embedded.", examples=[{"storage": "10Gi"}]
    )
    cloud_native_pg: CloudNativePG | None = Field(
        default=None,
        alias="cloudNativePG",
        description="Its settings for CloudNativePG.",
        examples=[{"instances": 3, "storage": "50Gi"}],
    )
    existing: Existing | None = Field(
        default=None,
        description="Its settings for Existing.",
        examples=[{"host": "pg.emea.example.com", "port": 5432, "adminSecretRef": {"name": "pg-emea-admin"}}],
    )


class DataStoreSpec(ApiModel):
    """The facts about one store; written before the store is made."""

    installation: str = Field(
        min_length=1,
        max_length=63,
        description="Installation of the operator that owns the store; immutable.",
        examples=["2b8f0d4e-6f0e-4c43-8a43-3c1f8f7a9b55"],
    )
    type: StoreType = Field(description="Kind of store; immutable.", examples=["PostgreSQL"])
    provisioner: Provisioner = Field(description="Where it comes from; immutable.", examples=["Embedded"])
    class_name: DnsName = Field(description="Name of the DataStoreClass; immutable.", examples=["embedded-postgresql"])
    class_snapshot: ClassSnapshot = Field(
        description="The class as it was when the store was made; immutable.",
        examples=[{"uid": "b6c5c5a2-3b5e-4e43-9d37-0a7b8f2f1f10", "generation": 1, "embedded": {"storage": "10Gi"}}],
    )
    namespace: DnsName = Field(description="Namespace of the tenant; immutable.", examples=["customer-acme"])
    namespace_uid: str = Field(
        max_length=36,
        description=(
            "UID of that namespace, as in the store's own marker: a recreated namespace is another tenant until confirmed. "
            "Written by the operator only."
        ),
        examples=["0d6e2c0f-8f52-4c29-8b3f-2a9c62d1f2e7"],
    )
    policy_ref: ObjectRef = Field(
        description=(
            "The policy that had the store last, by the UID in the store's own marker: a policy made anew under its name is "
            "another one until confirmed. Name and namespace are immutable, the UID is written by the operator only."
        ),
        examples=[{"namespace": "customer-acme", "name": "acme"}],
    )
    purpose: Purpose = Field(description="What the store is for; immutable.", examples=["Analytical"])
    region: Region | None = Field(default=None, description="Region of the store; immutable.", examples=["EMEA"])
    unit: DnsLabel | None = Field(
        default=None, description="Unit that has the store to itself; immutable.", examples=["clinic"]
    )
    store_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{8,36}$")] = Field(
        max_length=36,
        description="Identity of the store, also in the marker inside it; immutable.",
        examples=["4f6a1f0b9c"],
    )
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=63)] = Field(
        description="Name of the database (at most 48) or of the bucket; immutable.",
        examples=["customer_acme_acme_analytical_4f6a1f0b9c"],
    )
    volumes: tuple[DnsName, ...] = Field(
        default=(),
        max_length=16,
        description="PersistentVolumes that hold the data of an Embedded or CloudNativePG store; set to Retain.",
        examples=[["pvc-1c2d3e4f-0000-4000-8000-000000000001"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    reclaim_policy: ReclaimPolicy = Field(
        default="Retain",
        description="What becomes of the data when the policy is gone: it stays (X5).",
        examples=["Retain"],
    )
    claim_ref: ObjectRef | None = Field(
        default=None,
        description=(
            "The policy that has the store; absent: nobody. An administrator sets it to bind a released store again."
        ),
        examples=[{"namespace": "customer-acme", "name": "acme", "uid": "6f1c7f0e-64a5-4f8e-9f43-1f0b3c5d7a90"}],
    )
    rules: ClassVar[tuple[Rule, ...]] = store_rules.STORE_SPEC


class EvidenceHead(StatusModel):
    """The newest entry of the store's chain of evidence (X6)."""

    run_id: str = Field(
        max_length=64, description="Run of the entry.", examples=["1f6d2a5e-2f0f-4c0e-9c5a-6a3c5e0c1b11"]
    )
    hash: str = Field(max_length=71, description="Hash of the entry.", examples=["sha256:" + "0" * 64])
    time: str | None = Field(
        default=None,
        max_length=40,
        description="When the entry was made, UTC.",
        examples=["2026-11-22T01:37:12Z"],
        json_schema_extra={"format": "date-time"},
    )


class Debt(StatusModel):
    """What is still there although its deadline has passed, of one category (X4)."""

    category: DnsLabel = Field(description="Name of the category.", examples=["recordings"])
    rows: int = Field(default=0, ge=0, description="Overdue rows.", examples=[0])
    objects: int = Field(default=0, ge=0, description="Overdue objects.", examples=[0])
    next_deadline: str | None = Field(
        default=None,
        max_length=40,
        description="When its oldest item must be gone, as last counted, UTC; absent: nothing in it has a deadline.",
        examples=["2026-11-29T01:37:12Z"],
        json_schema_extra={"format": "date-time"},
    )


class Measurement(StatusModel):
    """One measured figure of the store beside its limit (D6, D7)."""

    name: Literal[
        "Latency", "Version", "ClockSkew", "Sessions", "Size", "ReplicationLag", "ReadOnly", "EvictedKeys", "CopyOnDisk"
    ] = Field(
        description=(
            "Latency: median round trip. Version: of the server; its limit is the oldest supported. ClockSkew: to the "
            "operator's clock. Sessions: of all the server's clients. Size: of the database, of a cache its memory. "
            "ReplicationLag: of the slowest standby. ReadOnly: whether it takes no writes. EvictedKeys: that a cache lost "
            "since its start. CopyOnDisk: age of the oldest copy in a cache's files."
        ),
        examples=["Latency"],
    )
    value: str | None = Field(
        default=None,
        max_length=32,
        description="What was measured; small movements are left out. Absent: it cannot be seen.",
        examples=["3 ms"],
    )
    limit: str | None = Field(
        default=None, max_length=32, description="The limit of the class; absent: not judged.", examples=["1.0 s"]
    )
    state: Literal["Met", "Exceeded", "Unknown", "NotJudged"] = Field(
        description="Whether the limit is met; it changes after three measurements in a row. Unknown: cannot be seen.",
        examples=["Met"],
    )
    message: str | None = Field(
        default=None,
        max_length=1024,
        description="What the store's owner has to do, or why nothing can be seen.",
        examples=["runs will be slow: put the server nearer or relieve it"],
    )


class DataStoreStatus(StatusModel):
    """What the operator found."""

    observed_generation: int = Field(
        default=-1, description="Generation of the spec that the status is about; -1: never looked at.", examples=[1]
    )
    phase: StorePhase | None = Field(
        default=None,
        description="Pending: being made. Bound: a policy has it. Released: no policy has it; data stays, debt counts on.",
        examples=["Bound"],
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Conditions; `Ready` says whether the store answers and is as wanted.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    evidence_head: EvidenceHead | None = Field(
        default=None,
        description="Newest entry of the chain of evidence in the store.",
        examples=[{"runId": "1f6d2a5e-2f0f-4c0e-9c5a-6a3c5e0c1b11", "hash": "sha256:" + "0" * 64}],
    )
    overdue: int | None = Field(
        default=None, ge=0, description="Overdue rows and objects of all categories; absent: not counted.", examples=[0]
    )
    empty: bool | None = Field(
        default=None, description="Whether nothing is left in it; absent: not counted.", examples=[False]
    )
    debt: tuple[Debt, ...] = Field(
        default=(),
        max_length=64,
        description="Overdue rows and objects by category.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["category"]},
    )
    counted_at: str | None = Field(
        default=None,
        max_length=40,
        description="When the debt was last counted, UTC.",
        examples=["2026-11-22T01:37:12Z"],
        json_schema_extra={"format": "date-time"},
    )
    version: str | None = Field(
        default=None, max_length=64, description="What the server says of its version.", examples=["17.6"]
    )
    measurements: tuple[Measurement, ...] = Field(
        default=(),
        max_length=8,
        description="What was measured at the store while a policy has it; absent: nothing within half an hour.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    rules_digest: Digest | None = Field(
        default=None, description="Digest of the rules that the store holds.", examples=["sha256:" + "0" * 64]
    )
    kopf: KopfProgress = None


class DataStore(ApiObject):
    """The ledger entry of one store: whose it is, where it is, and what happens to it."""

    resource: ClassVar[Resource] = Resource(
        kind="DataStore",
        plural="datastores",
        short_name="dst",
        scope="Cluster",
        columns=(
            Column("Phase", ".status.phase", "string", "Pending, Bound or Released."),
            Column("Type", ".spec.type", "string", "Kind of store."),
            Column("Purpose", ".spec.purpose", "string", "What it is for."),
            Column("Namespace", ".spec.namespace", "string", "Namespace of the tenant."),
            Column("Policy", ".spec.policyRef.name", "string", "Policy that it was made for."),
            Column("Overdue", ".status.overdue", "integer", "Overdue rows and objects."),
            Column("Reclaim", ".spec.reclaimPolicy", "string", "What becomes of the data.", 1),
            Column("Class", ".spec.className", "string", "Its class.", 1),
            Column("Store", ".spec.name", "string", "Name of the database or bucket.", 1),
            Column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
        ),
        selectable=(".spec.namespace", ".spec.policyRef.name", ".spec.className", ".spec.purpose", ".status.phase"),
    )

    spec: DataStoreSpec = Field(description="The facts about the store.")
    status: DataStoreStatus = Field(
        default_factory=DataStoreStatus, description="What the operator found; never written by users."
    )
