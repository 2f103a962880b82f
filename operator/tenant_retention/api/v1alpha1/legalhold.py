"""LegalHold: what it selects stays in every database of its policies, whatever is due, until it is released (X3)."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from tenant_retention.api.v1alpha1 import hold_rules
from tenant_retention.api.v1alpha1.common import (
    UTC_PATTERN,
    ApiModel,
    ApiObject,
    Column,
    Condition,
    DnsLabel,
    Instant,
    KopfProgress,
    LedgerRow,
    LocalRef,
    Resource,
    Rule,
    StatusModel,
)

MOST_STORES = 100
"""So many databases are told one by one; the totals are of all."""

Selected = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=256)]
"""A value as it stands in a column of roles SessionId or Unit."""
UtcInstant = Annotated[Instant, StringConstraints(pattern=UTC_PATTERN)]
_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}


class HeldSubject(ApiModel):
    """Whose rows, by a Secret: nothing of a person stands in the object."""

    secret_ref: LocalRef = Field(
        description="Secret of the same namespace with one or more of the keys phones, emails, chatIds and staffIds, one identifier "
        "a line. It is immutable, is this hold's own, has to stay as long as the hold, and is removed once it is released.",
        examples=[{"name": "case-19"}],
    )


class HoldSelection(ApiModel):
    """Which rows: every kind of selector that is given must match, and of a list any one value."""

    sessions: tuple[Selected, ...] = Field(
        default=(),
        max_length=10000,
        description="Sessions by their id: record, content and survey of each. Ids only, no number and no address of a person.",
        examples=[["7f3a", "9c11"]],
        json_schema_extra=_SET,
    )
    categories: tuple[DnsLabel, ...] = Field(
        default=(),
        max_length=32,
        description="Categories of the profile.",
        examples=[["recordings"]],
        json_schema_extra=_SET,
    )
    units: tuple[Selected, ...] = Field(
        default=(),
        max_length=1000,
        description="Units by their name. Where rows do not say their unit, all of the table are held.",
        examples=[["clinic"]],
        json_schema_extra=_SET,
    )
    from_: UtcInstant | None = Field(
        default=None,
        alias="from",
        description="Rows born at this instant or later, UTC: RFC 3339 with `Z`. Absent: since ever.",
        examples=["2026-01-01T00:00:00Z"],
    )
    to: UtcInstant | None = Field(
        default=None,
        description="Rows born before this instant, UTC: RFC 3339 with `Z`. Absent: also those still to come.",
        examples=["2026-07-01T00:00:00Z"],
    )


class HoldRelease(ApiModel):
    """Ends the hold; needs the verb `update` on the virtual subresource `legalholds/release`."""

    reason: str = Field(
        min_length=1,
        max_length=256,
        description="Why it is released. No personal data: everybody who may read the object reads it.",
        examples=["case 17/2026 closed"],
    )


class LegalHoldSpec(ApiModel):
    """What is held. Immutable, but for the one step `release`."""

    policy_refs: tuple[LocalRef, ...] = Field(
        default=(),
        max_length=32,
        description="Policies in the same namespace. Absent or empty: all of them, those that come later too.",
        examples=[[{"name": "acme"}]],
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    subject: HeldSubject | None = Field(
        default=None,
        description="Holds one person's rows, with their sessions; those too that are written later. Absent: whoever's.",
        examples=[{"secretRef": {"name": "case-19"}}],
    )
    select: HoldSelection = Field(
        default=HoldSelection(),
        description="Which rows are held, of the subject's where there is one; another selection is another LegalHold.",
        examples=[{"sessions": ["7f3a"], "from": "2026-01-01T00:00:00Z"}],
    )
    reference: str = Field(
        min_length=1,
        max_length=256,
        description="The case that asks for it. No personal data: it is copied into every database and status.",
        examples=["case 17/2026"],
    )
    release: HoldRelease | None = Field(
        default=None,
        description="Releases the hold for good: the next run applies the normal rules. It cannot be taken back.",
        examples=[{"reason": "case 17/2026 closed"}],
    )
    rules: ClassVar[tuple[Rule, ...]] = hold_rules.HOLD_SPEC


class HeldRows(StatusModel):
    """Rows of one category."""

    name: DnsLabel = Field(description="Name of the category.", examples=["recordings"])
    rows: int = Field(ge=0, description="Rows that the hold keeps there.", examples=[12])


class HeldStore(LedgerRow):
    """The hold in one database."""

    placed_at: Instant | None = Field(
        default=None,
        description="Since when it is in force there; absent: not yet, or not any more.",
        examples=["2026-11-22T10:00:00Z"],
    )
    rows: int | None = Field(
        default=None,
        ge=0,
        description="Rows that it keeps there, as last counted; absent: not counted, the message says why.",
        examples=[12],
    )
    categories: tuple[HeldRows, ...] = Field(
        default=(),
        max_length=64,
        description="The same by category; those without any are left out.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    reason: str | None = Field(
        default=None, max_length=1024, description="Why it is not as wanted there.", examples=["ServerUnreachable"]
    )


class LegalHoldStatus(StatusModel):
    """Where it is in force, and what it keeps."""

    observed_generation: int = Field(
        default=-1, description="Generation of the spec that the status is about; -1: never looked at.", examples=[1]
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Conditions; `Ready` is True once every database has the hold, or none has it any more after a release.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    policies: str | None = Field(
        default=None,
        max_length=16,
        description="Policies that have it as wanted, of those it is for.",
        examples=["2/2"],
    )
    databases: str | None = Field(
        default=None, max_length=16, description="Databases that have it as wanted, of all.", examples=["3/3"]
    )
    held: int | None = Field(
        default=None,
        ge=0,
        description="Rows that it keeps in all databases, as last counted; absent: not counted in one of them.",
        examples=[12],
    )
    categories: tuple[HeldRows, ...] = Field(
        default=(),
        max_length=64,
        description="The same by category.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    stores: tuple[HeldStore, ...] = Field(
        default=(),
        max_length=MOST_STORES,
        description="By database, those first that are not as wanted.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["dataStore"]},
    )
    kopf: KopfProgress = None


class LegalHold(ApiObject):
    """Keeps the rows that it selects from deletion, anonymization and the archive until it is released. Deleting it does not."""

    resource: ClassVar[Resource] = Resource(
        kind="LegalHold",
        plural="legalholds",
        short_name="lhold",
        scope="Namespaced",
        columns=(
            Column(
                "Ready", '.status.conditions[?(@.type=="Ready")].status', "string", "Whether all is as the spec asks."
            ),
            Column(
                "Status",
                '.status.conditions[?(@.type=="Ready")].reason',
                "string",
                "HoldPlaced, HoldReleased or why not.",
            ),
            Column("Policies", ".status.policies", "string", "Policies that have it as wanted, of all."),
            Column("Held", ".status.held", "integer", "Rows that it keeps."),
            Column("Reference", ".spec.reference", "string", "The case that asks for it."),
            Column("Databases", ".status.databases", "string", "Databases that have it as wanted, of all.", 1),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', "string", "The next step.", 1),
            Column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
        ),
    )

    spec: LegalHoldSpec = Field(description="What is held.")
    status: LegalHoldStatus = Field(
        default_factory=LegalHoldStatus, description="Where it is in force; never written by users."
    )
