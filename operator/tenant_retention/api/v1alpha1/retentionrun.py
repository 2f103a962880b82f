"""RetentionRun: one act now, DryRun or Enforce; carries an approval when the guard asks (X7)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tenant_retention.api.v1alpha1 import policy_rules
from tenant_retention.api.v1alpha1.common import (
    UTC_PATTERN,
    ApiModel,
    ApiObject,
    Column,
    Condition,
    Digest,
    Instant,
    KopfProgress,
    LocalRef,
    Mode,
    Resource,
    Rule,
    StatusModel,
)
from tenant_retention.api.v1alpha1.runsummary import CategoryCounts

RunPhase = Literal["Pending", "Running", "Succeeded", "Failed", "Stopped"]


class Approval(ApiModel):
    """Lets through what the guard stopped; needs the verb `approve` on `tenantretentionpolicies`."""

    rules_digest: Digest = Field(
        description="Digest from the policy's `status.approval`; other rules are not approved.",
        examples=["sha256:" + "0" * 64],
    )
    max_rows: int = Field(
        ge=1, le=1_000_000_000_000, description="Most items that may be newly deleted.", examples=[1200000]
    )
    until: Annotated[Instant, StringConstraints(pattern=UTC_PATTERN)] = Field(
        description="When the approval ends, UTC: RFC 3339 with `Z`.", examples=["2026-11-25T00:00:00Z"]
    )


class RetentionRunSpec(ApiModel):
    """What to do, once."""

    policy_ref: LocalRef = Field(description="Policy in the same namespace.", examples=[{"name": "acme"}])
    mode: Mode = Field(
        default="DryRun",
        description="DryRun: count and report what Enforce would delete. Enforce: delete it.",
        examples=["Enforce"],
    )
    approves: Approval | None = Field(
        default=None,
        description="Approval of what the guard stopped; only with mode Enforce.",
        examples=[{"rulesDigest": "sha256:" + "0" * 64, "maxRows": 1200000, "until": "2026-11-25T00:00:00Z"}],
    )
    ttl_seconds_after_finished: int = Field(
        default=86400,
        ge=0,
        le=31536000,
        description="Seconds after which the finished run is deleted; the evidence in the stores stays.",
        examples=[86400],
    )
    rules: ClassVar[tuple[Rule, ...]] = policy_rules.RUN_SPEC


class RetentionRunStatus(StatusModel):
    """What became of it."""

    observed_generation: int = Field(
        default=-1, description="Generation of the spec that the status is about; -1: never looked at.", examples=[1]
    )
    phase: RunPhase | None = Field(
        default=None,
        description="Pending, Running, Succeeded, Failed, or Stopped (the guard asks for an approval).",
        examples=["Succeeded"],
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Conditions; `Ready` is True once the run has succeeded.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    run_id: str | None = Field(
        default=None,
        max_length=64,
        description="Identity of the run in the evidence.",
        examples=["1f6d2a5e-2f0f-4c0e-9c5a-6a3c5e0c1b11"],
    )
    job_name: str | None = Field(
        default=None, max_length=63, description="Its Job in the same namespace.", examples=["acme-expire-run-5f2c"]
    )
    rules_digest: Digest | None = Field(
        default=None, description="Digest of the rules that ran.", examples=["sha256:" + "0" * 64]
    )
    started: Instant | None = Field(default=None, description="When it began.", examples=["2026-11-22T10:00:00Z"])
    finished: Instant | None = Field(default=None, description="When it ended.", examples=["2026-11-22T10:00:12Z"])
    deleted_rows: int | None = Field(
        default=None,
        ge=0,
        description="Rows deleted, those of deleted objects apart; in a dry run: that would be.",
        examples=[120],
    )
    deleted_objects: int | None = Field(
        default=None, ge=0, description="Objects deleted; in a dry run: that would be.", examples=[100]
    )
    categories: tuple[CategoryCounts, ...] = Field(
        default=(),
        max_length=32,
        description="Counts by category.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    kopf: KopfProgress = None


class RetentionRun(ApiObject):
    """One run now: a dry run, a real one, or the approval of what the guard stopped."""

    resource: ClassVar[Resource] = Resource(
        kind="RetentionRun",
        plural="retentionruns",
        short_name="rrun",
        scope="Namespaced",
        columns=(
            Column("Policy", ".spec.policyRef.name", "string", "Its policy."),
            Column("Mode", ".spec.mode", "string", "DryRun or Enforce."),
            Column("Phase", ".status.phase", "string", "How far it is."),
            Column("Rows", ".status.deletedRows", "integer", "Rows deleted, or that would be."),
            Column("Objects", ".status.deletedObjects", "integer", "Objects deleted, or that would be."),
            Column("Finished", ".status.finished", "date", "Time since it ended."),
            Column("Run", ".status.runId", "string", "Identity of the run in the evidence.", 1),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', "string", "The next step.", 1),
            Column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
        ),
        selectable=(".spec.policyRef.name", ".spec.mode", ".status.phase"),
    )

    spec: RetentionRunSpec = Field(description="What to do, once.")
    status: RetentionRunStatus = Field(
        default_factory=RetentionRunStatus, description="What became of it; never written by users."
    )
