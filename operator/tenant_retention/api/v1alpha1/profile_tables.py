"""A profile's tables: columns and what they mean, how they lose a person, and the partitions by birth (M11, P12)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tenant_retention.api.v1alpha1 import profile_table_rules
from tenant_retention.api.v1alpha1.common import ApiModel, Duration, Identifier, Rule

ColumnType = Literal[
    "Text", "Integer", "BigInteger", "Numeric", "Boolean", "Timestamp", "Date", "Uuid", "Json", "Bytes"
]
ColumnRole = Literal[
    "SessionId",
    "Unit",
    "PhoneNumber",
    "EmailAddress",
    "ChatIdentity",
    "PersonName",
    "StaffId",
    "Queue",
    "Agent",
    "Consent",
    "MaskedDigits",
    "FreeText",
    "ObjectKey",
]
MAX_BOUND = 1_000_000_000
"""Largest bound of a number's range, either way."""
AnonymizeMethod = Literal["SetNull", "Constant", "Mask", "Hash", "Generalize"]


class Anonymize(ApiModel):
    """How a column loses the person (P12)."""

    method: AnonymizeMethod = Field(
        description=(
            "SetNull: NULL. Constant: `value`. Mask: three asterisks and the last three digits. Hash: a keyed hash, which is a "
            "pseudonym until the key is destroyed. Generalize: the month, ten, prefix, domain or initial (docs/anonymization.md)."
        ),
        examples=["SetNull"],
    )
    value: str | None = Field(
        default=None, max_length=100, description="The constant; only for Constant.", examples=["removed"]
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_table_rules.ANONYMIZE


class Mask(ApiModel):
    """What a masked column may show of digits that were entered behind a mask (P11)."""

    visible_digits: int = Field(
        default=0,
        ge=0,
        le=8,
        description="How many decimal digits a value may show in all; the database refuses more. 0: none.",
        examples=[4],
    )


class Range(ApiModel):
    """Which numbers a column takes."""

    min: int = Field(ge=-MAX_BOUND, le=MAX_BOUND, description="Smallest number.", examples=[0])
    max: int = Field(ge=-MAX_BOUND, le=MAX_BOUND, description="Largest number.", examples=[10])
    rules: ClassVar[tuple[Rule, ...]] = profile_table_rules.RANGE


class OnlyWith(ApiModel):
    """What the record of a row's session must be for the row to be stored (P5)."""

    table: Identifier = Field(
        description="Table of the record, whose row of the same session is looked at; both have a SessionId column.",
        examples=["requests"],
    )
    column: Identifier = Field(description="Text column of it; NULL refuses nothing.", examples=["channel"])
    values: tuple[Annotated[str, StringConstraints(min_length=1, max_length=100)], ...] = Field(
        min_length=1,
        max_length=16,
        description="Its values in records that may have such rows.",
        examples=[["phone", "chat"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class TableColumn(ApiModel):
    """One column of a table."""

    name: Identifier = Field(description="Name of the column.", examples=["caller"])
    type: ColumnType = Field(
        description="Type of the column; Timestamp has a time zone (UTC), Numeric is exact.", examples=["Text"]
    )
    nullable: bool = Field(
        default=True, description="Whether NULL is allowed; a column added later must allow it.", examples=[True]
    )
    role: ColumnRole | None = Field(
        default=None,
        description="What the column means to search, requests and anonymization.",
        examples=["PhoneNumber"],
    )
    person: Identifier | None = Field(
        default=None,
        description=(
            "Whose the column is: columns of a table with the same word are one person's, and a request clears no others. "
            "Absent: number, address, chat identity and name are one person's where the table has one of each, else each is "
            "its own; a member of staff is another person (docs/anonymization.md)."
        ),
        examples=["caller"],
    )
    mask: Mask | None = Field(
        default=None,
        description="What a column with role MaskedDigits may show; only there. Absent: digits are neither refused nor blanked.",
        examples=[{"visibleDigits": 4}],
    )
    range: Range | None = Field(
        default=None,
        description="Numbers that the database takes, of types Integer, BigInteger and Numeric; absent: all.",
        examples=[{"min": 0, "max": 10}],
    )
    anonymize: Anonymize | None = Field(default=None, description="How anonymization treats the column; absent: not.")
    rules: ClassVar[tuple[Rule, ...]] = profile_table_rules.COLUMN

    @property
    def visible_digits(self) -> int | None:
        """How many digits a value may show; None where the column is not masked (P11)."""
        return self.mask.visible_digits if self.mask and self.role == "MaskedDigits" else None


class Partitions(ApiModel):
    """Partitions of a table by `bornAt`."""

    every: Literal["Month"] = Field(default="Month", description="Span of one partition.", examples=["Month"])
    back: Duration = Field(
        default="P7Y",
        description="How far back partitions are kept ready for late writers, at most P50Y.",
        examples=["P7Y"],
    )
    ahead: Duration = Field(
        default="P3M",
        description="How far ahead partitions are made before they are needed, at most P5Y.",
        examples=["P3M"],
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_table_rules.PARTITIONS


class Table(ApiModel):
    """One table of a tenant's database, partitioned by the record's birth."""

    name: Identifier = Field(description="Name of the table.", examples=["requests"])
    primary_key: tuple[Identifier, ...] = Field(
        min_length=1,
        max_length=8,
        description="Columns of the primary key; the operator appends `bornAt`, as PostgreSQL asks of a partition key.",
        examples=[["id"]],
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    born_at: Identifier = Field(
        description="Timestamp column with the record's birth: NOT NULL, finite, write-once; made if not in `columns`.",
        examples=["started_at"],
    )
    partitions: Partitions = Field(
        default_factory=Partitions,
        description="Partitions of the table.",
        examples=[{"every": "Month", "back": "P7Y", "ahead": "P3M"}],
    )
    only_with: OnlyWith | None = Field(
        default=None,
        description="Which records may have rows here: the database refuses those of others; absent: all may (P5).",
        examples=[{"table": "requests", "column": "channel", "values": ["phone"]}],
    )
    columns: tuple[TableColumn, ...] = Field(
        min_length=1,
        max_length=100,
        description="Columns of the table.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_table_rules.TABLE

    @property
    def all_columns(self) -> tuple[TableColumn, ...]:
        """All columns to create, `born_at` first if the profile does not declare it; key columns are NOT NULL."""
        declared = {column.name for column in self.columns}
        born = TableColumn(name=self.born_at, type="Timestamp", nullable=False)
        columns = self.columns if self.born_at in declared else (born, *self.columns)
        key = self.full_primary_key
        return tuple(
            column.model_copy(update={"nullable": False}) if column.name in key else column for column in columns
        )

    @property
    def full_primary_key(self) -> tuple[str, ...]:
        """The primary key including the partition key `born_at`."""
        return self.primary_key if self.born_at in self.primary_key else (*self.primary_key, self.born_at)
