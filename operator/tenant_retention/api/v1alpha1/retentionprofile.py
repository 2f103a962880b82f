"""RetentionProfile: the vendor's catalogue of categories, bounds, tables, columns and clocks (M1-M11, T1-T4, P1)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tenant_retention.api.v1alpha1 import profile_rules
from tenant_retention.api.v1alpha1.common import (
    ApiModel,
    ApiObject,
    Column,
    Condition,
    DnsLabel,
    Duration,
    Identifier,
    KopfProgress,
    LabelSelector,
    Resource,
    Rule,
    StatusModel,
)
from tenant_retention.api.v1alpha1.profile_cache import CacheLink
from tenant_retention.api.v1alpha1.profile_consent import Consent, Quarantine
from tenant_retention.api.v1alpha1.profile_tables import Table

Channel = Literal["Phone", "Chat", "Email", "Task", "Text", "WhatsApp"]
DatabasePurpose = Literal["Analytical", "Dialogue"]
EarlyDeletion = Literal["Allowed", "Refused"]
Ground = Literal["Statutory", "Contract"]
ClockEvent = Literal["Created", "Closed", "Terminated", "ObjectLastModified"]


class Deadlines(ApiModel):
    """Days that a request or a termination may take until every copy is gone (T1-T4)."""

    request: Duration = Field(default="P30D", description="From a request to gone in every copy.", examples=["P30D"])
    termination: Duration = Field(
        default="P30D", description="From a termination to gone in every copy.", examples=["P30D"]
    )


class Channels(ApiModel):
    """Channels that the vendor's product serves."""

    default: tuple[Channel, ...] = Field(
        default=(),
        max_length=6,
        description="Channels of a policy that names none.",
        examples=[["Phone", "Chat", "Email"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Clock(ApiModel):
    """What an item's age counts from (X9: in UTC)."""

    event: ClockEvent = Field(
        description=(
            "Created: the table's `bornAt`. Closed: the Timestamp column `column`; NULL means not started, so keep. "
            "Terminated: kept until termination, no age. ObjectLastModified: files below `objects.prefix`."
        ),
        examples=["Created"],
    )
    column: Identifier | None = Field(
        default=None,
        description="The Timestamp column that says when, in every table of the category; only for Closed.",
        examples=["closed_at"],
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_rules.CLOCK


class ObjectLink(ApiModel):
    """Where a category's files lie and which rows point to them (P3, P4)."""

    bucket: Literal["Content"] = Field(default="Content", description="Purpose of the bucket.", examples=["Content"])
    table: Identifier | None = Field(
        default=None,
        description="Table whose rows point to the objects; absent for log files.",
        examples=["recordings"],
    )
    key_column: Identifier | None = Field(
        default=None, description="Column with the object's key.", examples=["object_key"]
    )
    version_column: Identifier | None = Field(
        default=None, description="Column with the object's version id.", examples=["object_version"]
    )
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9/]*/$", max_length=100)] | None = Field(
        default=None, description="Key prefix of files that go by last modification.", examples=["logs/"]
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_rules.OBJECTS


class Category(ApiModel):
    """One kind of data with one retention rule."""

    name: DnsLabel = Field(description="Name of the category.", examples=["general-information"])
    description: str | None = Field(
        default=None, max_length=500, description="What it is, for people.", examples=["The record of each request."]
    )
    database: DatabasePurpose | None = Field(
        default=None,
        description="Database of its tables; absent: that of its record, else Analytical.",
        examples=["Analytical"],
    )
    content_of: DnsLabel | None = Field(
        default=None,
        description="The record category that this content belongs to; content never outlives its record (P4).",
        examples=["general-information"],
    )
    min: Duration | None = Field(
        default=None, description="No deletion by schedule before this age (M8).", examples=["P1Y"]
    )
    default: Duration | None = Field(
        default=None,
        description="Keep of a policy that does not name the category; required unless `clock.event` is Terminated.",
        examples=["P180D"],
    )
    max: Duration | None = Field(
        default=None,
        description="Gone in every copy by this age (M10); required unless `clock.event` is Terminated.",
        examples=["P5Y"],
    )
    early_deletion: EarlyDeletion = Field(
        default="Allowed",
        description="Whether a request or a termination may delete before `min` (M9, EFD).",
        examples=["Refused"],
    )
    ground: Ground | None = Field(
        default=None,
        description="Why early deletion is refused; required with Refused, absent with Allowed.",
        examples=["Contract"],
    )
    extended_max: Duration | None = Field(
        default=None, description="Total age that bought storage may reach (T5).", examples=["P2Y"]
    )
    clock: Clock = Field(description="What the age counts from.", examples=[{"event": "Created"}])
    tables: tuple[Identifier, ...] = Field(
        default=(),
        max_length=16,
        description="Tables of the category, each declared in `spec.tables` and in one category only.",
        examples=[["requests", "surveys"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    objects: ObjectLink | None = Field(default=None, description="Files of the category, if it has any.")
    cache: CacheLink | None = Field(
        default=None,
        description=(
            "Keys of the category in the tenant's cache, where the policy names one (`spec.stores`, purpose Cache); absent: "
            "nothing of it is cached (T1, T6)."
        ),
        examples=[{"prefix": "agents", "table": "agents", "keyColumn": "staff_id"}],
    )
    consent: Consent | None = Field(
        default=None,
        description="Flags of the record that keep this content from being stored; absent: it needs no consent (P10).",
        examples=[{"table": "requests", "refusedColumn": "deny_recording"}],
    )
    quarantine: Quarantine | None = Field(
        default=None,
        description="How long media waits for the customer's approval; absent: it needs none (M7).",
        examples=[{"approvedColumn": "approved_at", "keep": "P30D"}],
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_rules.CATEGORY


class RetentionProfileSpec(ApiModel):
    """The catalogue."""

    allowed_namespaces: LabelSelector | None = Field(
        default=None,
        description="Namespaces whose policies may use the profile, by their labels; absent: all.",
        examples=[{"matchLabels": {"retention-profile": "puzzel"}}],
    )
    deadlines: Deadlines = Field(
        default_factory=Deadlines,
        description="How long requests and terminations may take.",
        examples=[{"request": "P30D", "termination": "P30D"}],
    )
    channels: Channels | None = Field(
        default=None, description="Channels of the product.", examples=[{"default": ["Phone", "Chat"]}]
    )
    categories: tuple[Category, ...] = Field(
        min_length=1,
        max_length=32,
        description="Categories with their bounds.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    tables: tuple[Table, ...] = Field(
        default=(),
        max_length=48,
        description="Tables of the categories.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_rules.SPEC

    def category(self, name: str) -> Category | None:
        """Return the category of that name, or None."""
        return next((category for category in self.categories if category.name == name), None)

    def table(self, name: str) -> Table | None:
        """Return the table of that name, or None."""
        return next((table for table in self.tables if table.name == name), None)

    def database_of(self, category: Category) -> DatabasePurpose:
        """Return where the category's tables lie: its own choice, else its record's, else Analytical."""
        if category.database is not None:
            return category.database
        record = self.category(category.content_of) if category.content_of else None
        return record.database or "Analytical" if record else "Analytical"


class RetentionProfileStatus(StatusModel):
    """What the operator found."""

    observed_generation: int = Field(
        default=-1, description="Generation of the spec that the status is about; -1: never looked at.", examples=[1]
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Conditions; `Ready` says whether policies can use the profile.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    categories: int | None = Field(default=None, ge=0, description="Number of categories.", examples=[3])
    policies: int | None = Field(
        default=None, ge=0, description="Number of policies that name the profile.", examples=[12]
    )
    kopf: KopfProgress = None


class RetentionProfile(ApiObject):
    """A vendor's catalogue of data categories: bounds, clocks, tables and files."""

    resource: ClassVar[Resource] = Resource(
        kind="RetentionProfile",
        plural="retentionprofiles",
        short_name="rprof",
        scope="Cluster",
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "string", "Whether policies can use it."),
            Column("Categories", ".status.categories", "integer", "Number of categories."),
            Column("Policies", ".status.policies", "integer", "Number of policies that name it."),
            Column(
                "Reason", '.status.conditions[?(@.type=="Ready")].reason', "string", "Why it is or is not ready.", 1
            ),
            Column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
        ),
    )

    spec: RetentionProfileSpec = Field(description="The catalogue.")
    status: RetentionProfileStatus = Field(
        default_factory=RetentionProfileStatus, description="What the operator found; never written by users."
    )
