"""What the status of a TenantRetentionPolicy says: stores, schedule, runs, and what the guard asks (X4, X6)."""

from typing import Literal

from pydantic import Field

from tenant_retention.api.v1alpha1.backupstatus import BackupStatus
from tenant_retention.api.v1alpha1.categorystatus import CategoryStatus
from tenant_retention.api.v1alpha1.common import (
    Condition,
    Digest,
    DnsLabel,
    DnsName,
    Instant,
    KopfProgress,
    LocalRef,
    Purpose,
    Region,
    StatusModel,
    StoreType,
)
from tenant_retention.api.v1alpha1.runsummary import RunSummary

MOST_HOLDS = 50
"""So many names of holds are told."""
BindingRole = Literal["App", "Reader", "Enforcer", "Observer"]


class Enforced(StatusModel):
    """Which rules the stores hold now; with an invalid spec, the last good ones."""

    generation: int = Field(description="Generation of the policy.", examples=[3])
    profile_generation: int = Field(description="Generation of the profile.", examples=[1])
    rules_digest: Digest = Field(description="Digest of the effective rules.", examples=["sha256:" + "0" * 64])


class StoreStatus(StatusModel):
    """One store of the policy."""

    purpose: Purpose = Field(description="What it is for.", examples=["Analytical"])
    region: Region | None = Field(default=None, description="Region of the store.", examples=["EMEA"])
    unit: DnsLabel | None = Field(default=None, description="Unit that has the store to itself.", examples=["clinic"])
    class_name: DnsName | None = Field(default=None, description="Its class.", examples=["embedded-postgresql"])
    data_store: DnsName | None = Field(
        default=None, description="Its DataStore (ledger entry).", examples=["customer-acme-acme-analytical-4f6a1f0b9c"]
    )
    type: StoreType = Field(description="Kind of store.", examples=["PostgreSQL"])
    ready: bool = Field(default=False, description="Whether it answers and is as wanted.", examples=[True])
    reason: str | None = Field(
        default=None, max_length=1024, description="Why it is not ready.", examples=["ServerUnreachable"]
    )
    message: str | None = Field(
        default=None, max_length=1024, description="What is so, and the next step.", examples=["waiting for the volume"]
    )
    unnamed_objects: int | None = Field(
        default=None,
        ge=0,
        description="Objects of the bucket that no row names, as the nights found; absent: not looked for yet.",
        examples=[0],
    )
    overdue_objects: int | None = Field(
        default=None,
        ge=0,
        description="Versions in the bucket that no row names and no category could still keep (debt); absent: none found.",
        examples=[3],
    )
    oldest_overdue_object: Instant | None = Field(
        default=None, description="When the oldest of them was written.", examples=["2020-01-31T04:11:09Z"]
    )
    unfinished_uploads: int | None = Field(
        default=None,
        ge=0,
        description="Uploads to the bucket that nobody completed and that the last run ended; absent: not looked for yet.",
        examples=[0],
    )


class StoreCount(StatusModel):
    """How many stores of one purpose lie in one region, and how many of them are ready."""

    purpose: Purpose = Field(description="What they are for.", examples=["Analytical"])
    region: Region | None = Field(
        default=None, description="Their region; absent: their class has none.", examples=["APAC"]
    )
    wanted: int = Field(ge=0, description="How many there are to be.", examples=[301])
    ready: int = Field(ge=0, description="How many answer and are as wanted.", examples=[300])
    leaving: int | None = Field(
        default=None,
        ge=0,
        description="How many of them the policy asks for no more: their rows go on expiring. Absent: none.",
        examples=[1],
    )


class Schedule(StatusModel):
    """The effective schedule."""

    cron: str = Field(max_length=100, description="Five-field cron line.", examples=["37 1 * * *"])
    time_zone: str = Field(max_length=64, description="Its time zone.", examples=["Europe/Amsterdam"])


class ApprovalRequest(StatusModel):
    """What an approval must say; copy it into `spec.approves` of a RetentionRun."""

    rules_digest: Digest = Field(description="Digest of the rules to approve.", examples=["sha256:" + "0" * 64])
    rows: int = Field(ge=0, description="Items that would be newly deleted.", examples=[1200000])
    categories: tuple[DnsLabel, ...] = Field(
        default=(),
        max_length=32,
        description="Categories that the guard stopped.",
        examples=[["recordings"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class UncoveredStatus(StatusModel):
    """What somebody made in the policy's databases and the profile does not know; never touched (M11)."""

    tables: int = Field(default=0, ge=0, description="Tables, partitions of them not counted.", examples=[1])
    columns: int = Field(default=0, ge=0, description="Columns of the profile's own tables.", examples=[2])


class Binding(StatusModel):
    """A Secret for an application or a person's tool (servicebinding.io)."""

    name: DnsName = Field(description="Name of the Secret in the policy's namespace.", examples=["acme-analytical-app"])
    store: Purpose = Field(description="Purpose of the store it opens.", examples=["Analytical"])
    role: BindingRole = Field(description="What it may do there.", examples=["App"])
    region: Region | None = Field(default=None, description="Further region of the store.", examples=["APAC"])
    unit: DnsLabel | None = Field(default=None, description="Unit that has the store to itself.", examples=["clinic"])


class LiveHoldStatus(StatusModel):
    """What is in force under one name in databases of the policy, whatever became of the object that placed it (X3)."""

    name: DnsName | None = Field(
        default=None, description="Name of its LegalHold; absent: placed by hand in a database.", examples=["case-17"]
    )
    since: Instant = Field(description="When the first of it was placed.", examples=["2026-11-22T10:00:00Z"])
    reference: str | None = Field(
        default=None, max_length=256, description="The case that asked for it.", examples=["case 17/2026"]
    )
    object_missing: bool = Field(
        default=False,
        description="There is no LegalHold of that name: to release it apply one of that name again, with `spec.release`.",
        examples=[True],
    )


class TenantRetentionPolicyStatus(StatusModel):
    """What is so."""

    observed_generation: int = Field(
        default=-1, description="Generation of the spec that the status is about; -1: never looked at.", examples=[3]
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Conditions: Ready, Reconciling, Stalled, and what they are made of.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    enforced: Enforced | None = Field(
        default=None,
        description="Which rules the stores hold now.",
        examples=[{"generation": 3, "profileGeneration": 1, "rulesDigest": "sha256:" + "0" * 64}],
    )
    databases: str | None = Field(
        default=None, max_length=16, description="Databases ready of wanted.", examples=["2/2"]
    )
    buckets: str | None = Field(default=None, max_length=16, description="Buckets ready of wanted.", examples=["1/1"])
    overdue: int | None = Field(
        default=None, ge=0, description="Rows and objects past their deadline; absent: not counted yet.", examples=[0]
    )
    uncovered: UncoveredStatus | None = Field(
        default=None,
        description="Tables and columns that the profile does not know; absent: none. Condition `Uncovered` has the names.",
        examples=[{"tables": 1, "columns": 2}],
    )
    debt_expected: Instant | None = Field(
        default=None,
        description=(
            "When deletion debt begins, or began, if what keeps runs from deleting stays (condition DebtForeseen); absent: no "
            "deadline of the next week is in danger."
        ),
        examples=["2026-11-29T01:37:12Z"],
    )
    last_run_time: Instant | None = Field(
        default=None, description="When the last run ended.", examples=["2026-11-22T01:37:12Z"]
    )
    next_run: str | None = Field(
        default=None, max_length=40, description="When the next run starts, UTC.", examples=["2026-11-23T01:37Z"]
    )
    schedule: Schedule | None = Field(
        default=None,
        description="The effective schedule.",
        examples=[{"cron": "37 1 * * *", "timeZone": "Europe/Amsterdam"}],
    )
    categories: tuple[CategoryStatus, ...] = Field(
        default=(),
        max_length=64,
        description="Every category of the profile, then those that left it and still have data.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    stores: tuple[StoreStatus, ...] = Field(
        default=(),
        max_length=16,
        description=(
            "The home stores; of the others those that are not ready or have something to say. All: kubectl get datastore -l "
            "tenantretention.io/policy=NAME."
        ),
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    store_counts: tuple[StoreCount, ...] = Field(
        default=(),
        max_length=64,
        description="All stores, counted by purpose and region.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    jobs: tuple[RunSummary, ...] = Field(
        default=(),
        max_length=8,
        description="The last run of every task.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["task"]},
    )
    holds: tuple[LiveHoldStatus, ...] = Field(
        default=(),
        max_length=MOST_HOLDS,
        description="Legal holds that are in force in its databases, those first whose object is gone.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    approval: ApprovalRequest | None = Field(
        default=None,
        description="What the guard asks to be approved; absent: nothing.",
        examples=[{"rulesDigest": "sha256:" + "0" * 64, "rows": 1200000, "categories": ["recordings"]}],
    )
    bindings: tuple[Binding, ...] = Field(
        default=(),
        max_length=32,
        description="Secrets for applications, those of the home stores first; kubectl get secret -l finds all.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    backups: BackupStatus | None = Field(
        default=None,
        description="The backups; absent: no class of the policy's databases asks for them, or ever did.",
        examples=[{"schedule": "Daily", "keep": "P14D", "number": 14, "lastBackup": "2026-11-22T02:07:00Z"}],
    )
    binding: LocalRef | None = Field(
        default=None,
        description="The default Secret, as servicebinding.io asks of a provisioned service.",
        examples=[{"name": "acme-analytical-app"}],
    )
    kopf: KopfProgress = None
