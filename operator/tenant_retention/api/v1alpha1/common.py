"""What all kinds share: the model base, references, labels, conditions, metadata, and the description of a resource."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from tenant_retention.api.v1alpha1.durations import Duration, WindowDuration

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "ApiModel",
    "ApiObject",
    "Column",
    "Condition",
    "Duration",
    "LabelRequirement",
    "LabelSelector",
    "LedgerRow",
    "LocalRef",
    "ObjectMeta",
    "Resource",
    "Rule",
    "StatusModel",
    "WindowDuration",
]

GROUP = "tenantretention.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "tenantretention"

DNS_LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
IDENTIFIER_PATTERN = r"^[a-z][a-z0-9_]*$"
QUANTITY_PATTERN = r"^([1-9][0-9]*)(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"

Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN, max_length=40)]
"""A table or column name as the profile writes it: lower case, at most 40, so that partition suffixes fit 63 bytes."""
DnsLabel = Annotated[str, StringConstraints(pattern=DNS_LABEL_PATTERN, max_length=40)]
DnsName = Annotated[str, StringConstraints(pattern=DNS_NAME_PATTERN, max_length=253)]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$", max_length=32)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY_PATTERN, max_length=20)]
UTC_PATTERN = r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$"
"""The API server's date-time takes a small ``z``, the year 0 and offsets such as +99:99, which nobody else can read."""
Instant = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
"""A point in time, RFC 3339, UTC."""
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
KopfProgress = Annotated[
    dict[str, Any] | None,
    Field(
        description="Progress of the operator's own framework.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    ),
]
"""Where Kopf keeps its state: in the status, which a tenant who can edit the object still cannot write."""
Mode = Literal["Enforce", "DryRun"]
Purpose = Literal["Analytical", "Dialogue", "Content", "Cache", "Backups", "Archive"]
StoreType = Literal["PostgreSQL", "S3", "Redis"]
ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Rule:
    """One CEL rule of a model: `field_path` is relative to the model and is what the refusal names."""

    rule: str
    message: str
    field_path: str | None = None
    # FieldValueDuplicate is left out: the API server drops its message.
    reason: Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"] = "FieldValueInvalid"


@dataclass(frozen=True)
class Column:
    """One printer column; priority 0 is shown by `kubectl get`, 1 only with `-o wide`."""

    name: str
    json_path: str
    type: Literal["string", "integer", "date", "boolean"]
    description: str
    priority: int = 0


@dataclass(frozen=True)
class Resource:
    """How a kind is served: names, scope, printer columns and selectable fields."""

    kind: str
    plural: str
    short_name: str
    scope: Literal["Namespaced", "Cluster"]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    categories: tuple[str, ...] = (CATEGORY,)

    @property
    def singular(self) -> str:
        """The singular name, lower case."""
        return self.kind.lower()


class ApiModel(BaseModel):
    """Base of everything users write: frozen, camelCase outside, unknown fields refused by name."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=False
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def from_object(cls, data: dict[str, Any]) -> Self:
        """Read the camelCase form. Raises `pydantic.ValidationError`, whose locations are field paths."""
        return cls.model_validate(data)

    def to_object(self) -> dict[str, Any]:
        """Return the camelCase JSON form without absent fields, as the API server stores it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(ApiModel):
    """Base of what the operator writes; reading ignores fields that another version wrote."""

    model_config = ConfigDict(extra="ignore")


class LabelRequirement(ApiModel):
    """One requirement of a label selector, as in Kubernetes."""

    key: str = Field(max_length=317, description="Label key.", examples=["tier"])
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the label's value relates to `values`.", examples=["In"]
    )
    values: tuple[Annotated[str, Field(max_length=63)], ...] = Field(
        default=(), max_length=32, description="Values for In and NotIn; absent otherwise.", examples=[["gold"]]
    )


class LabelSelector(ApiModel):
    """Selects by labels; an empty selector selects everything."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict,
        max_length=16,
        description="Labels that must all be present with exactly these values.",
        examples=[{"retention-profile": "puzzel"}],
    )
    match_expressions: tuple[LabelRequirement, ...] = Field(
        default=(), max_length=16, description="Requirements that must all hold, in addition to `matchLabels`."
    )

    def matches(self, labels: dict[str, str]) -> bool:
        """Tell whether an object with these labels is selected."""
        if any(labels.get(key) != value for key, value in self.match_labels.items()):
            return False
        return all(_requirement_holds(requirement, labels) for requirement in self.match_expressions)


def _requirement_holds(requirement: LabelRequirement, labels: dict[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


class LocalRef(ApiModel):
    """Names another object; its namespace follows from where the reference stands."""

    name: DnsName = Field(description="Name of the object.", examples=["puzzel-archive"])


class ObjectRef(ApiModel):
    """Names one exact object: an object of the same name made later has another UID."""

    namespace: DnsName = Field(description="Namespace of the object.", examples=["customer-acme"])
    name: DnsName = Field(description="Name of the object.", examples=["acme"])
    uid: str | None = Field(
        default=None,
        max_length=36,
        description="UID of the object; absent: the object of that name, whichever it is.",
        examples=["6f1c7f0e-64a5-4f8e-9f43-1f0b3c5d7a90"],
    )


class Condition(StatusModel):
    """One condition in the form of `metav1.Condition`."""

    type: str = Field(max_length=316, description="Type of the condition in CamelCase.", examples=["Ready"])
    status: ConditionStatus = Field(description="True, False or Unknown.", examples=["True"])
    reason: str = Field(
        max_length=1024, description="Why, from the closed list of reasons in the reference.", examples=["Enforcing"]
    )
    message: str = Field(
        default="",
        max_length=32768,
        description="For people: what is so, and the next step.",
        examples=["2/2 databases ready"],
    )
    last_transition_time: Instant = Field(description="When `status` last changed.", examples=["2026-11-22T01:37:00Z"])
    observed_generation: int = Field(
        default=-1, description="Generation of the spec that this condition is about.", examples=[3]
    )


class LedgerRow(StatusModel):
    """One database of the ledger, in the status of what is placed in several of them."""

    data_store: DnsName = Field(
        description="Its DataStore (ledger entry).", examples=["customer-acme-acme-analytical-4f6a1f0b9c"]
    )
    policy: DnsName = Field(description="Policy that has it.", examples=["acme"])
    place: str = Field(max_length=120, description="Purpose, region and unit.", examples=["Analytical/APAC:clinic"])
    message: str | None = Field(
        default=None, max_length=1024, description="What is so, and the next step.", examples=["db does not answer"]
    )


class ObjectMeta(StatusModel):
    """The part of an object's metadata that the operator reads."""

    name: str = Field(description="Name of the object.")
    namespace: str | None = Field(default=None, description="Namespace of the object; absent for cluster kinds.")
    uid: str | None = Field(default=None, description="UID of the object.")
    generation: int = Field(default=0, description="Generation of the spec.")
    resource_version: str | None = Field(default=None, description="Version for optimistic locking.")
    creation_timestamp: str | None = Field(default=None, description="When it was created.")
    deletion_timestamp: str | None = Field(default=None, description="When its deletion was asked for.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations.")
    finalizers: tuple[str, ...] = Field(default=(), description="Finalizers.")


class ApiObject(StatusModel):
    """Base of the seven kinds: `api_version`, `kind`, `metadata`; subclasses add `spec` and `status`."""

    resource: ClassVar[Resource]

    api_version: str = Field(default=API_VERSION, description="Always `tenantretention.io/v1alpha1`.")
    kind: str = Field(description="Kind of the object.")
    metadata: ObjectMeta = Field(description="Standard metadata.")
