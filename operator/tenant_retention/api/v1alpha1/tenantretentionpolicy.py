"""TenantRetentionPolicy: one tenant's choice for one product, inside the bounds of a profile (P1, X1, X2)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tenant_retention.api.v1alpha1 import policy_rules
from tenant_retention.api.v1alpha1.common import (
    UTC_PATTERN,
    ApiModel,
    ApiObject,
    Column,
    DnsLabel,
    DnsName,
    Duration,
    Instant,
    LocalRef,
    Mode,
    Purpose,
    Quantity,
    Region,
    Resource,
    Rule,
    WindowDuration,
)
from tenant_retention.api.v1alpha1.policystatus import TenantRetentionPolicyStatus
from tenant_retention.api.v1alpha1.retentionprofile import Channel

DeletionPolicy = Literal["Retain"]
UnitDatabase = Literal["Shared", "Dedicated"]
# Keys of a list need a default, as an entry without one must be addressable too.
RegionOrNone = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)?$", max_length=32)]
UnitOrNone = Annotated[str, StringConstraints(pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", max_length=40)]


class Window(ApiModel):
    """When the nightly run may start and how long it may take."""

    start: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)] = Field(
        default="01:00", description="Start, HH:MM on the clock of `spec.timeZone`.", examples=["01:00"]
    )
    duration: WindowDuration = Field(
        default="PT4H",
        description="Length; the run starts at a minute of it that the operator draws.",
        examples=["PT4H"],
    )


class StoreRequest(ApiModel):
    """Which class a store comes from."""

    purpose: Purpose = Field(description="What the store is for.", examples=["Analytical"])
    region: RegionOrNone = Field(
        default="", description="Region that the class must be in; empty: any, for the home store.", examples=["EMEA"]
    )
    unit: UnitOrNone = Field(
        default="", description="Unit that has the store to itself; empty: none.", examples=["clinic"]
    )
    class_name: DnsName | None = Field(
        default=None,
        description=(
            "DataStoreClass; absent: the default class of the type. For purpose Archive: a class of type PostgreSQL makes a "
            "database (absent: the default one), one of type S3 a bucket with Parquet files."
        ),
        examples=["postgres-emea"],
    )
    storage: Quantity | None = Field(
        default=None,
        description="Size of an embedded store's volume, in bytes; absent: the class's.",
        examples=["50Gi"],
    )


class Unit(ApiModel):
    """A part of the customer, a department or an office, and whose database its call records lie in (D3, D4)."""

    name: DnsLabel = Field(description="Name of the unit, as in columns with the role Unit.", examples=["helpdesk"])
    region: Region | None = Field(
        default=None,
        description="Region it lies in; absent: that of the home stores. `database` is required with it.",
        examples=["APAC"],
    )
    database: UnitDatabase | None = Field(
        default=None,
        description=(
            "Shared (absent: the same): with the units of its region. Dedicated: its call records have a database of "
            "their own; in a further region its messages, too."
        ),
        examples=["Dedicated"],
    )
    shared_with: DnsLabel | None = Field(
        default=None,
        description="Dedicated unit whose databases it uses; then no `region` and no `database`.",
        examples=["clinic"],
    )
    rules: ClassVar[tuple[Rule, ...]] = policy_rules.UNIT


class CategoryRetention(ApiModel):
    """The tenant's choice for one category."""

    category: DnsLabel = Field(description="Category of the profile.", examples=["recordings"])
    keep: Duration = Field(
        description="Deleted by the first run after this age; between the profile's min and max.", examples=["P14D"]
    )
    anonymize_after: Duration | None = Field(
        default=None,
        description=(
            "Age at which its rows lose the person and stay for statistics, by the methods of the profile's columns; between "
            "min and keep, and not before its content is gone. Absent: never."
        ),
        examples=["P90D"],
    )
    archive_after: Duration | None = Field(
        default=None,
        description=(
            "Age at which its rows move to the policy's archive, where keep, max, holds and anonymizeAfter go on; at least min "
            "and shorter than keep. Only records without objects, by clock Created. Absent: never."
        ),
        examples=["P1Y"],
    )
    rules: ClassVar[tuple[Rule, ...]] = policy_rules.CATEGORY_RETENTION


class ExtendedStorage(ApiModel):
    """Longer storage of one category that the tenant bought or tries (T5)."""

    category: DnsLabel = Field(
        description="Category of the profile; one that has `extendedMax`.", examples=["recordings"]
    )
    keep: Duration = Field(
        description=(
            "Total age while it is bought; between the profile's default and extendedMax. It replaces a shorter keep of "
            "`retention`, and extendedMax replaces max."
        ),
        examples=["P2Y"],
    )
    until: Annotated[Instant, StringConstraints(pattern=UTC_PATTERN)] | None = Field(
        default=None,
        description=(
            "When the bought time ends (UTC), announced 30 days before; then keep and max hold again. Absent: it lasts until "
            "the entry is removed."
        ),
        examples=["2027-12-31T00:00:00Z"],
    )


class Guard(ApiModel):
    """Stops a run that would delete surprisingly much and asks for an approval."""

    max_deleted_percent: int = Field(
        default=25,
        ge=1,
        le=100,
        description=(
            "Percent of a category's rows that may become newly due between two runs by anything but the passing "
            "of time; 100: never stop."
        ),
        examples=[25],
    )


class TenantRetentionPolicySpec(ApiModel):
    """The tenant's choice; the platform writes all but `retention`, `timeZone` and `window` (X2)."""

    profile_ref: LocalRef = Field(
        description="The RetentionProfile with categories and bounds; immutable.", examples=[{"name": "puzzel-archive"}]
    )
    mode: Mode = Field(
        default="Enforce",
        description="Enforce: delete what is due. DryRun: count and report it, delete nothing; debt counts on.",
        examples=["DryRun"],
    )
    suspend: bool = Field(
        default=False,
        description="True stops the runs until it is false again; debt counts on (X4).",
        examples=[True],
    )
    time_zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")] = Field(
        default="Etc/UTC",
        max_length=64,
        description="IANA name of the time zone of `window`; ages are always counted in UTC (X9).",
        examples=["Europe/Amsterdam"],
    )
    window: Window = Field(
        default_factory=Window,
        description="When the nightly run may start.",
        examples=[{"start": "01:00", "duration": "PT4H"}],
    )
    phone_default_region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$", max_length=2)] | None = Field(
        default=None,
        description=(
            "Country whose phone numbers are written without one, in the stores and in requests: two letters of ISO 3166. "
            "Absent: numbers in requests need their country (+31 ...), and national forms are not looked for."
        ),
        examples=["NL"],
    )
    channels: tuple[Channel, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=6,
        description=(
            "Channels in use; absent: the profile's `channels.default`. Chat, Email, Text and WhatsApp need the Dialogue "
            "database. Turned off, its rows go on expiring; then it is Released."
        ),
        examples=[["Phone", "Chat"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    units: tuple[Unit, ...] = Field(
        default=(),
        max_length=500,
        description="Units of the customer; each further region and each Dedicated unit has databases of its own.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    stores: tuple[StoreRequest, ...] = Field(
        default=(),
        max_length=64,
        description="Which classes the stores come from; absent: the default classes.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["purpose", "region", "unit"],
        },
    )
    retention: tuple[CategoryRetention, ...] = Field(
        default=(),
        max_length=32,
        description="Keep times; a category that is not named gets the profile's default (X1).",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["category"]},
    )
    extended_storage: tuple[ExtendedStorage, ...] = Field(
        default=(),
        max_length=32,
        description="Longer storage that the tenant bought or tries (T5); the platform's to write.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["category"]},
    )
    guard: Guard = Field(
        default_factory=Guard,
        description="When a run stops and asks for an approval.",
        examples=[{"maxDeletedPercent": 25}],
    )
    deletion_policy: DeletionPolicy = Field(
        default="Retain",
        description="What becomes of the stores when the policy is deleted: they stay, released (X5).",
        examples=["Retain"],
    )
    rules: ClassVar[tuple[Rule, ...]] = policy_rules.POLICY_SPEC

    def keep(self, category: str) -> str | None:
        """Return the tenant's keep for a category, or None where it made no choice."""
        return next((choice.keep for choice in self.retention if choice.category == category), None)

    def anonymize_after(self, category: str) -> str | None:
        """Return the age at which the tenant has a category anonymized, or None where it has not."""
        return next((choice.anonymize_after for choice in self.retention if choice.category == category), None)

    def archive_after(self, category: str) -> str | None:
        """Return the age at which the tenant has a category archived, or None where it has not."""
        return next((choice.archive_after for choice in self.retention if choice.category == category), None)


class TenantRetentionPolicy(ApiObject):
    """One tenant's retention policy for one product: dedicated stores, nightly removal, evidence."""

    rules: ClassVar[tuple[Rule, ...]] = policy_rules.POLICY_NAME
    resource: ClassVar[Resource] = Resource(
        kind="TenantRetentionPolicy",
        plural="tenantretentionpolicies",
        short_name="trp",
        scope="Namespaced",
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "string", "Whether all is as wanted."),
            Column("Status", '.status.conditions[?(@.type=="Ready")].reason', "string", "What it does, or why not."),
            Column("Databases", ".status.databases", "string", "Databases ready of wanted."),
            Column("Buckets", ".status.buckets", "string", "Buckets ready of wanted."),
            Column("Overdue", ".status.overdue", "integer", "Rows and objects past their deadline."),
            Column("Last-Run", ".status.lastRunTime", "date", "Time since the last run ended."),
            # A string: date columns print <invalid> for the future.
            Column("Next-Run", ".status.nextRun", "string", "When the next run starts, UTC."),
            Column("Profile", ".spec.profileRef.name", "string", "Its profile.", 1),
            Column("Mode", ".spec.mode", "string", "Enforce or DryRun.", 1),
            Column("Compliant", '.status.conditions[?(@.type=="Compliant")].status', "string", "No deletion debt.", 1),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', "string", "The next step.", 1),
            Column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
        ),
        selectable=(".spec.profileRef.name", ".spec.mode"),
    )

    spec: TenantRetentionPolicySpec = Field(description="The tenant's choice.")
    status: TenantRetentionPolicyStatus = Field(
        default_factory=TenantRetentionPolicyStatus, description="What is so; never written by users."
    )
