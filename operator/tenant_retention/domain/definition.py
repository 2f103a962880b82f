"""What a policy means for its stores, as one value: the rules, the tables and the objects (JSON for the plan document).

Built by ``rules.define`` from profile and policy; written into every tenant database by the operator (which alone may),
and read there by the enforcement functions; carried by the plan document so that a run refuses a digest it was not made for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Value(BaseModel):
    """A frozen, comparable value of the domain with camelCase JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


def _identifier(name: str) -> str:
    """PostgreSQL would cut a longer name without a word, and two tables could become one."""
    size = len(name.encode(errors="surrogatepass"))
    if not 1 <= size <= IDENTIFIER_BYTES or "\0" in name:
        raise ValueError(f"a name has 1 to {IDENTIFIER_BYTES} bytes and no NUL; change the profile")
    return name


IDENTIFIER_BYTES = 63
"""The longest name that PostgreSQL keeps whole."""
Identifier = Annotated[str, AfterValidator(_identifier)]


class CategoryState(StrEnum):
    """Whether this version acts on a category; NotEnforced is shown and never called compliant."""

    ENFORCED = "Enforced"
    NOT_ENFORCED = "NotEnforced"


class ClockEvent(StrEnum):
    """What starts a category's clock."""

    CREATED = "Created"
    CLOSED = "Closed"
    TERMINATED = "Terminated"
    OBJECT_LAST_MODIFIED = "ObjectLastModified"


class AnonymizeDefinition(Value):
    """How a column loses the person: a method of the API's closed list, and the constant of method Constant."""

    method: str
    value: str | None = None


class RangeDefinition(Value):
    """Numbers that a column takes, both ends included."""

    minimum: int
    maximum: int


class OnlyWithDefinition(Value):
    """Rows are stored only for sessions whose row in ``table`` has one of ``values`` in ``column`` (P5)."""

    table: Identifier
    column: Identifier
    values: tuple[str, ...]


class ColumnDefinition(Value):
    """One column: ``type`` of the closed list of the API (Text, Integer, Timestamp ...).
    ``visible_digits``: decimal digits that a value of a masked column may show (P11); None: not masked. ``person``: whose it is,
    of a row's persons (``column_persons``); empty: whoever the row is about; None: nobody's. It decides no deletion by age.
    """

    name: Identifier
    type: str
    nullable: bool = True
    role: str | None = None
    anonymize: AnonymizeDefinition | None = None
    visible_digits: int | None = None
    range: RangeDefinition | None = None
    person: str | None = None


class TableDefinition(Value):
    """One managed table, partitioned by month over ``born_at`` (NOT NULL, finite, write-once), UTC months.

    ``back`` and ``ahead``: durations; partitions exist for that long before and after now.
    ``columns`` exclude ``born_at``; the database's primary key is ``primary_key`` plus ``born_at``.
    ``clock_columns``: further nullable timestamp columns that a category counts from (write-once when set).
    ``session_column``: the column that names the call, chat or task (role SessionId), None if there is none.
    ``unit_column``: the column with role Unit, None if there is none. ``only_with``: None: every session may have rows.
    """

    name: Identifier
    primary_key: tuple[Identifier, ...]
    born_at: Identifier
    back: str
    ahead: str
    columns: tuple[ColumnDefinition, ...]
    clock_columns: tuple[str, ...] = ()
    session_column: str | None = None
    unit_column: str | None = None
    only_with: OnlyWithDefinition | None = None


class ObjectsDefinition(Value):
    """Where a content category's objects are: bucket purpose, and the table and columns that name key and version."""

    bucket: str
    table: str
    key_column: str
    version_column: str


class FilesDefinition(Value):
    """Where a category's files are that go by their last modification (M5): bucket purpose, and what their keys begin with."""

    bucket: str
    prefix: str


class ConsentDefinition(Value):
    """Which Boolean columns of the record's ``table`` deny content: refused, or forced and not accepted (P10)."""

    table: str
    refused_column: str
    forced_column: str | None = None
    accepted_column: str | None = None


class ExtendedDefinition(Value):
    """Bought storage (T5): until ``until`` (UTC; None: no end) keep and max are these, afterwards the category's own."""

    keep: str
    maximum: str
    until: datetime | None = None


class CacheDefinition(Value):
    """Which keys of the tenant's cache belong to a category: ``<prefix>:<value>`` and what follows it after a colon.

    ``table`` and ``key_column``: whose values these are (``cached_keys``); None: the keys are about no row.
    """

    prefix: str
    table: str | None = None
    key_column: str | None = None


class QuarantineDefinition(Value):
    """Rows wait for their approval until ``keep`` from birth; only those whose ``only_column`` is ``only_value``, if given (M7)."""

    approved_column: str
    keep: str
    only_column: str | None = None
    only_value: str | None = None


class CategoryDefinition(Value):
    """One category's effective rule. Durations as in the API; None where the profile has none.

    ``keep``: the tenant's choice or the profile's default. ``clock_column``: the column counted from, None for a clock
    this version does not act on. ``tables``: in deletion order, children first. ``content_of``: the record category.
    ``database``: the purpose of the database that holds its tables; a content category's is its record's.
    ``consent``: None where its content needs none.
    ``anonymize_after``: the age at which rows lose the person and stay (X1); None: never. ``archive_after``: the age at which
    they move to the policy's archive, where the same rules go on (D3, T5); None: never.
    """

    name: str
    state: CategoryState
    database: str = "Analytical"
    content_of: str | None = None
    minimum: str | None = None
    keep: str | None = None
    maximum: str | None = None
    early_deletion: bool = True
    clock_event: ClockEvent = ClockEvent.CREATED
    clock_column: str | None = None
    tables: tuple[str, ...] = ()
    objects: ObjectsDefinition | None = None
    consent: ConsentDefinition | None = None
    quarantine: QuarantineDefinition | None = None
    extended: ExtendedDefinition | None = None
    anonymize_after: str | None = None
    archive_after: str | None = None
    cache: CacheDefinition | None = None
    files: FilesDefinition | None = None

    @property
    def archivable(self) -> bool:
        """Whether its rows may lie in an archive: records that count from their birth and name no objects."""
        enforced = self.state is CategoryState.ENFORCED and self.clock_event is ClockEvent.CREATED
        return enforced and bool(self.tables) and (self.content_of, self.objects, self.files) == (None, None, None)

    def lies_in(self, purpose: str) -> bool:
        """Whether a database of this purpose has its tables; an archive has those of every category that may be archived, so
        that what lies in it expires also after ``archive_after`` was taken away."""
        return self.database == purpose or (purpose == ARCHIVE and self.archivable)


ARCHIVE = "Archive"
"""The purpose of the store that rows past their ``archive_after`` move to."""


class RetentionDefinition(Value):
    """Everything a tenant's databases must know; each database makes only the tables of its own purpose.

    ``margin_seconds``: one run interval plus the life of every copy (X1).
    ``guard_percent``: the share of a category's rows, 1 to 100, that may become newly due between two runs.
    ``databases``: the names of all databases of the policy; None: one for every purpose of its categories.
    """

    installation: str
    namespace: str
    policy: str
    policy_uid: str
    policy_generation: int
    profile_generation: int
    margin_seconds: int
    guard_percent: int
    tables: tuple[TableDefinition, ...]
    categories: tuple[CategoryDefinition, ...]
    databases: tuple[str, ...] | None = None

    def placed_in(self, databases: Iterable[str]) -> RetentionDefinition:
        """The definition for these databases, all that the policy has: a run lets no shared object go without them (M8)."""
        names = tuple(sorted(databases))
        return self.model_copy(update={"databases": None if set(names) == self._purposes() else names})

    def database_names(self) -> tuple[str, ...]:
        """The names of all databases of the policy (D2, D3)."""
        return self.databases if self.databases is not None else tuple(sorted(self._purposes()))

    def _purposes(self) -> set[str]:
        archive = {ARCHIVE} if any(category.archive_after is not None for category in self.categories) else set()
        return archive | {category.database for category in self.categories if category.tables or category.files}

    def rules_digest(self) -> str:
        """``sha256:<hex>`` over what decides deletion: bounds, keeps, clocks, tables, links and guard; not names or generations."""
        deciding = self.model_dump(
            mode="json", by_alias=True, include={"margin_seconds", "guard_percent", "categories"}
        )
        for category in deciding["categories"]:
            # A rule that came later is no change for whoever does not use it.
            for later in ("consent", "quarantine", "extended", "anonymizeAfter", "archiveAfter", "cache", "files"):
                if category[later] is None:
                    del category[later]
        # Which rows belong together, from when they count, and when a month is dropped; a new column changes none of that.
        columns = {"name", "primary_key", "born_at", "back", "clock_columns", "session_column", "unit_column"}
        deciding["tables"] = [
            table.model_dump(mode="json", by_alias=True, include=columns)
            for table in sorted(self.tables, key=lambda each: each.name)
        ]
        if self.databases is not None:
            # Left out where it is the default: the digest of a policy that names no channel or unit must not change.
            deciding["databases"] = self.databases
        if methods := self._anonymizing():
            deciding["anonymize"] = methods
        text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def _anonymizing(self) -> dict[str, Any]:
        """What becomes of which column, by ``table.column``, of the categories that are anonymized at an age."""
        names = {name for each in self.categories if each.anonymize_after is not None for name in each.tables}
        return {
            f"{table.name}.{column.name}": column.anonymize.model_dump(mode="json")
            for table in self.tables
            for column in table.columns
            if table.name in names and column.anonymize is not None
        }

    def category(self, name: str) -> CategoryDefinition:
        """The category called ``name``; KeyError if there is none."""
        return {category.name: category for category in self.categories}[name]

    def tables_of(self, database: str) -> tuple[TableDefinition, ...]:
        """The tables that live in the database of this purpose, in the profile's order."""
        names = {name for category in self.categories if category.lies_in(database) for name in category.tables}
        return tuple(table for table in self.tables if table.name in names)

    def scanned_tables(self, category: str) -> tuple[str, ...]:
        """The category's tables in which a run looks for what may not stay: no consent (P10), digits (P11), no approval (M7)."""
        found = self.category(category)
        masked = {table.name for table in self.tables if any(each.visible_digits is not None for each in table.columns)}
        whole = found.consent is not None or found.quarantine is not None
        return tuple(name for name in found.tables if whole or name in masked)

    def table(self, name: str) -> TableDefinition:
        """The table called ``name``; KeyError if there is none."""
        return {table.name: table for table in self.tables}[name]
