"""What the status of a TenantRetentionPolicy says: stores, schedule, runs, and every category's state (X4, X6)."""

from typing import Literal

from pydantic import Field

from tenant_retention.api.v1alpha1.common import (
    Condition,
    Digest,
    DnsLabel,
    DnsName,
    Duration,
    Instant,
    KopfProgress,
    LocalRef,
    Purpose,
    Region,
    StatusModel,
    StoreType,
)
from tenant_retention.api.v1alpha1.runsummary import RunSummary

CategoryState = Literal["Enforced", "CountedOnly", "ApprovalRequired", "NotEnforced"]
BindingRole = Literal["App", "Reader", "Enforcer", "Observer"]


class Enforced(StatusModel):
    """Which rules the stores hold now; with an invalid spec, the last good ones."""

    generation: int = Field(description="Generation of the policy.", examples=[3])
    profile_generation: int = Field(description="Generation of the profile.", examples=[1])
    rules_digest: Digest = Field(description="Digest of the effective rules.", examples=["sha256:" + "0" * 64])


class CategoryStatus(StatusModel):
    """One category of the policy."""

    name: DnsLabel = Field(description="Name of the category.", examples=["recordings"])
    state: CategoryState = Field(
        description=(
            "Enforced: runs delete what is due. CountedOnly: DryRun or suspended, debt counts on. ApprovalRequired: "
            "the guard holds the surplus back. NotEnforced: this version does not act on its clock, or it left the "
            "profile and its data stays."
        ),
        examples=["Enforced"],
    )
    message: str | None = Field(
        default=None,
        max_length=1024,
        description="Why the state is not Enforced, why the keep was shortened, or which times cannot be; the next step.",
        examples=["clock event Terminated is not acted on by this version"],
    )
    rows: int | None = Field(default=None, ge=0, description="Rows now; absent: not counted.", examples=[200000])
    objects: int | None = Field(default=None, ge=0, description="Objects now; absent: not counted.", examples=[2000])
    objects_counted_at: Instant | None = Field(
        default=None,
        description=(
            "When a run last counted the files that go by their last modification; due and overdue are counted on from then by "
            "time. Absent: no such files, or no run yet."
        ),
        examples=["2026-11-22T01:37:12Z"],
    )
    oldest: Instant | None = Field(
        default=None, description="Clock of the oldest item.", examples=["2026-11-08T01:37:12Z"]
    )
    min: Duration | None = Field(default=None, description="The profile's min.", examples=["P1Y"])
    max: Duration | None = Field(default=None, description="The profile's max.", examples=["P5Y"])
    keep: Duration | None = Field(
        default=None, description="The tenant's keep, or the profile's default.", examples=["P14D"]
    )
    effective_keep: str | None = Field(
        default=None,
        max_length=64,
        description="Keep that is enforced; shorter than `keep` where max leaves no room for runs and copies.",
        examples=["P14D"],
    )
    extended_keep: Duration | None = Field(
        default=None, description="Keep that was bought (T5); while it lasts it is the one in force.", examples=["P2Y"]
    )
    extended_until: Instant | None = Field(
        default=None,
        description="When the bought time ends; absent: nothing is bought, or for as long as the policy says so.",
        examples=["2027-12-31T00:00:00Z"],
    )
    next_deadline: Instant | None = Field(
        default=None, description="When the oldest item must be gone in every copy.", examples=["2031-11-08T01:37:12Z"]
    )
    due: int | None = Field(default=None, ge=0, description="Items that the next run deletes.", examples=[120])
    overdue: int | None = Field(
        default=None, ge=0, description="Items past their deadline (deletion debt).", examples=[0]
    )
    held: int | None = Field(default=None, ge=0, description="Items that a hold keeps.", examples=[0])
    anomalies: int | None = Field(
        default=None, ge=0, description="Items without a usable time; never deleted by age (X8).", examples=[0]
    )
    anomalies_since: Instant | None = Field(
        default=None,
        description="When items without a usable time were first seen; absent: there are none.",
        examples=["2026-11-22T01:37:12Z"],
    )
    last_run_time: Instant | None = Field(
        default=None,
        description=(
            "When the last run ended that worked on this category, whatever its outcome (see `jobs`); interrupted ones do not "
            "count. Absent: none yet."
        ),
        examples=["2026-11-22T01:37:12Z"],
    )
    anonymize_after: Duration | None = Field(
        default=None, description="The tenant's age at which rows lose the person.", examples=["P90D"]
    )
    anonymize_due: int | None = Field(
        default=None, ge=0, description="Rows that the next run anonymizes; absent: no such rule.", examples=[120]
    )
    next_anonymization: Instant | None = Field(
        default=None,
        description="When the oldest row that still tells of a person is due to lose it; past: by the next run.",
        examples=["2027-02-06T01:37:12Z"],
    )
    against_consent: int | None = Field(
        default=None,
        ge=0,
        description="Content without consent that the last run found; the next takes it away (P10). Absent: not looked for.",
        examples=[0],
    )
    unmasked: int | None = Field(
        default=None,
        ge=0,
        description="Rows with unmasked digits that the last run found; the next blanks them (P11). Absent: not looked for.",
        examples=[0],
    )
    cached_keys: int | None = Field(
        default=None,
        ge=0,
        description="Keys of the category that the last run left in the cache; absent: it is not cached, or not looked for yet.",
        examples=[240],
    )
    unapproved: int | None = Field(
        default=None,
        ge=0,
        description="Media without approval past its time that the last run found; the next takes it away (M7). Absent: not looked for.",
        examples=[0],
    )
    missing_objects: int | None = Field(
        default=None,
        ge=0,
        description="Rows whose object is missing, as the nights found; absent: not looked for yet.",
        examples=[0],
    )


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
    binding: LocalRef | None = Field(
        default=None,
        description="The default Secret, as servicebinding.io asks of a provisioned service.",
        examples=[{"name": "acme-analytical-app"}],
    )
    kopf: KopfProgress = None
