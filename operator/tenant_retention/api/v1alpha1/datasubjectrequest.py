"""DataSubjectRequest: what a person asks for is done in every database of its policies, in time, and what waits is told (T7, M9)."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from tenant_retention.api.v1alpha1 import request_rules
from tenant_retention.api.v1alpha1.common import (
    ApiModel,
    ApiObject,
    Column,
    Condition,
    DnsLabel,
    DnsName,
    Instant,
    KopfProgress,
    LedgerRow,
    LocalRef,
    Resource,
    Rule,
    StatusModel,
)
from tenant_retention.api.v1alpha1.legalhold import MOST_STORES
from tenant_retention.api.v1alpha1.retentionprofile import Ground

Action = Literal["Anonymize", "DeleteContent", "Erase"]
_BY_NAME: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


class RequestSubject(ApiModel):
    """Whom the request is about, by a Secret: nothing of a person stands in the object."""

    secret_ref: LocalRef = Field(
        description="Secret of the same namespace with one or more of the keys phones, emails, chatIds and staffIds, one identifier "
        "a line. It is immutable, is this request's own, and is removed once the request is done.",
        examples=[{"name": "req-4711"}],
    )


class DataSubjectRequestSpec(ApiModel):
    """What is asked for. Immutable: another request is another object."""

    policy_refs: tuple[LocalRef, ...] = Field(
        default=(),
        max_length=32,
        description="Policies in the same namespace. Absent or empty: all that there are when the request starts.",
        examples=[[{"name": "acme"}]],
        json_schema_extra=_BY_NAME,
    )
    subject: RequestSubject = Field(
        description="Whom the request is about: one person.", examples=[{"secretRef": {"name": "req-4711"}}]
    )
    actions: tuple[Action, ...] = Field(
        min_length=1,
        max_length=2,
        description="Anonymize: the person's columns and free text are cleared. DeleteContent: recordings and chat logs go. Both "
        "together, or Erase alone: the records go too (P14).",
        examples=[["Anonymize", "DeleteContent"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    rules: ClassVar[tuple[Rule, ...]] = request_rules.REQUEST_SPEC


class RequestedRows(StatusModel):
    """What is left to do in one category, and what keeps it."""

    name: DnsLabel = Field(description="Name of the category.", examples=["general-information"])
    left: int = Field(ge=0, description="Rows that are yet to be deleted or cleared.", examples=[12])
    held: int = Field(default=0, ge=0, description="Of these: rows under a legal hold (X3).", examples=[2])
    deferred: int = Field(
        default=0, ge=0, description="Of these: rows below a minimum that binds requests too (M9).", examples=[3]
    )
    deferred_until: Instant | None = Field(
        default=None,
        description="When the last of them reaches its minimum; absent: none is deferred, or a clock has not started.",
        examples=["2027-01-01T00:00:00Z"],
    )
    ground: Ground | None = Field(
        default=None, description="Why the minimum binds requests; absent: none is deferred.", examples=["Statutory"]
    )
    due_since: Instant | None = Field(
        default=None,
        description="Since when there are rows that neither a hold nor a minimum keeps; absent: there are none.",
        examples=["2026-11-22T10:00:00Z"],
    )


class RequestedStore(LedgerRow):
    """The request in one database."""

    found_at: Instant | None = Field(
        default=None,
        description="Since when all rows are listed there; absent: not yet. What comes in later is not the request's matter.",
        examples=["2026-11-22T10:00:00Z"],
    )
    left: int | None = Field(
        default=None,
        ge=0,
        description="Rows that are left there; absent: not known, the message says why.",
        examples=[0],
    )
    categories: tuple[RequestedRows, ...] = Field(
        default=(), max_length=64, description="What is left by category.", json_schema_extra=_BY_NAME
    )
    reason: str | None = Field(
        default=None, max_length=1024, description="Why nothing is done there.", examples=["ServerUnreachable"]
    )


class DataSubjectRequestStatus(StatusModel):
    """How far it is, and by when it must be. Nothing of the person."""

    observed_generation: int = Field(
        default=-1, description="Generation of the spec that the status is about; -1: never looked at.", examples=[1]
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Conditions; `Ready` is True once nothing is left in any database. `DeadlineNear` is True after two thirds "
        "of the time, while something is left that could be done.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    policies: tuple[DnsName, ...] = Field(
        default=(),
        max_length=1000,
        description="Policies that it is for, as they were when it started.",
        examples=[["acme"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    databases: str | None = Field(
        default=None, max_length=16, description="Databases in which nothing is left, of all.", examples=["2/3"]
    )
    deadline: Instant | None = Field(
        default=None,
        description="By when it must be gone in every copy: `deadlines.request` of the profile after the creation of the object; "
        "of several policies the earliest.",
        examples=["2026-12-22T10:00:00Z"],
    )
    live_deadline: Instant | None = Field(
        default=None,
        description="By when it must be gone in the databases, so that the last backup with it is gone by the deadline.",
        examples=["2026-12-06T10:00:00Z"],
    )
    warn_at: Instant | None = Field(
        default=None, description="Two thirds of the way to `liveDeadline`.", examples=["2026-12-01T18:00:00Z"]
    )
    found_at: Instant | None = Field(
        default=None,
        description="Since when all rows are listed in all databases; absent: not yet. Before all databases of a policy have "
        "theirs nothing is done in them.",
        examples=["2026-11-22T10:01:00Z"],
    )
    done_at: Instant | None = Field(
        default=None,
        description="When nothing was left in any database; absent: something is.",
        examples=["2026-11-23T01:37:00Z"],
    )
    last_copy_gone_at: Instant | None = Field(
        default=None,
        description="When the last backup that may have it is gone; absent: not done yet.",
        examples=["2026-12-09T01:37:00Z"],
    )
    left: int | None = Field(
        default=None, ge=0, description="Rows that are left in all databases; absent: not known of one.", examples=[0]
    )
    held: int | None = Field(default=None, ge=0, description="Of these: rows under a legal hold (X3).", examples=[0])
    deferred: int | None = Field(
        default=None, ge=0, description="Of these: rows below a minimum that binds requests too (M9).", examples=[0]
    )
    deferred_until: Instant | None = Field(
        default=None,
        description="When the last of them reaches its minimum; absent: none is deferred, or a clock has not started.",
        examples=["2027-01-01T00:00:00Z"],
    )
    categories: tuple[RequestedRows, ...] = Field(
        default=(),
        max_length=64,
        description="What is left by category; those with nothing left are not listed.",
        json_schema_extra=_BY_NAME,
    )
    stores: tuple[RequestedStore, ...] = Field(
        default=(),
        max_length=MOST_STORES,
        description="By database, those first where something is wrong or left.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["dataStore"]},
    )
    kopf: KopfProgress = None


class DataSubjectRequest(ApiObject):
    """Anonymizes, deletes the content of, or erases one person. Nothing in the object says who it is: give it no such name either."""

    resource: ClassVar[Resource] = Resource(
        kind="DataSubjectRequest",
        plural="datasubjectrequests",
        short_name="dsr",
        scope="Namespaced",
        columns=(
            Column(
                "Ready", '.status.conditions[?(@.type=="Ready")].status', "string", "Whether nothing is left anywhere."
            ),
            Column(
                "Status", '.status.conditions[?(@.type=="Ready")].reason', "string", "RequestDone, or why it is open."
            ),
            # Not a date: those print <invalid> for the future.
            Column("Deadline", ".status.deadline", "string", "By when it must be gone in every copy."),
            Column("Left", ".status.left", "integer", "Rows that are yet to be deleted or cleared."),
            Column("Databases", ".status.databases", "string", "Databases in which nothing is left, of all.", 1),
            Column("Until", ".status.deferredUntil", "string", "When the last deferred row can go.", 1),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', "string", "The next step.", 1),
            Column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
        ),
    )

    spec: DataSubjectRequestSpec = Field(description="What is asked for.")
    status: DataSubjectRequestStatus = Field(
        default_factory=DataSubjectRequestStatus, description="How far it is; never written by users."
    )
