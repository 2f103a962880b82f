"""``tenant-retention archive search`` and ``archive restore``: what lies in a policy's archive, and back for a while (D3, T5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from psycopg import Cursor, sql

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.adapters.postgres.connections import connect, errors_of
from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.cli.siblings import sibling
from tenant_retention.domain.databases import Group
from tenant_retention.domain.definition import ARCHIVE, CategoryDefinition, TableDefinition
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.enforcement.opening import APPLICATION_NAME, server_access

_ROWS_AT_ONCE = 2_000


@dataclass(frozen=True)
class Wanted:
    """Which rows: of a category, born from ``born_from`` on and before ``born_to`` (UTC, None: any), with ``equals`` in ``column``."""

    category: str
    column: str | None = None
    equals: str | None = None
    born_from: datetime | None = None
    born_to: datetime | None = None


@dataclass(frozen=True)
class Found:
    """The table of the record with its columns, and rows in the order of their birth; ``more``: there are others."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    more: bool


@dataclass(frozen=True)
class Restored:
    """Rows that are in the live database now, and those that are not: past their keep, or their key is used again."""

    restored: int
    refused: int


def search(plan: PlanDocument, base: Path, wanted: Wanted, limit: int) -> Found:
    """The rows of the category's record table that lie in the archive, ``limit`` at most. Raises Invalid or Unavailable."""
    category = _category(plan, wanted.category)
    table = plan.definition.table(category.tables[-1])
    columns = (*dict.fromkeys((*table.primary_key, table.born_at, *(column.name for column in table.columns))),)
    if wanted.column is not None and wanted.column not in columns:
        raise _wrong("column", f"table {table.name} has no column {wanted.column!r}; it has {', '.join(columns)}")
    if _in_files(plan):
        # Imported here: pyarrow, which only an archive of files needs.
        from tenant_retention.cli import archived_files

        return archived_files.search(plan, base, category, columns, wanted, limit)
    names = sql.SQL(", ").join(sql.Identifier(name) for name in columns)
    with _reading(plan, base, names, table, wanted) as cursor:
        rows = tuple(islice(cursor, limit + 1))
    return Found(columns, rows[:limit], len(rows) > limit)


def restore(plan: PlanDocument, base: Path, wanted: Wanted, keep_for: Period, now: datetime) -> Restored:
    """Brings the rows of a span of births back into their live database for ``keep_for``; a record with all its tables.

    They stay in the archive too, and a night after that time takes them out of the live database again. Killed on the way it
    is simply run again. Raises Invalid or Unavailable.
    """
    category = _category(plan, wanted.category)
    if wanted.born_from is None or wanted.born_to is None or wanted.born_from >= wanted.born_to:
        raise _wrong("to", "must be later than --from")
    until = end_of_period(now, keep_for)
    if _in_files(plan):
        from tenant_retention.cli import archived_files

        return archived_files.restore(plan, base, category, wanted, until)
    live = server_access(read_postgres_binding(_directory(plan, base, category.database)))
    opened = partial(connect, live, application_name=APPLICATION_NAME)
    restored = total = 0
    with closing(PostgresEnforcementDatabase(opened)) as database:
        # Before the first row, or a night in between would take it away again.
        database.pause_archiving(category.name, wanted.born_from, wanted.born_to, until)
        for name in reversed(category.tables):
            whole = sql.SQL("to_jsonb(r)::text")
            with _reading(plan, base, whole, plan.definition.table(name), wanted) as cursor:
                for batch in _batches(row for (row,) in cursor):
                    total += len(batch)
                    restored += database.bring_back(category.name, name, batch)
    return Restored(restored, total - restored)


def parse_time(text: str | None, option: str) -> datetime | None:
    """An instant; one without an offset is in UTC. Raises Invalid naming the option."""
    try:
        found = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        raise _wrong(option, f"{text} is no time; write one such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)


def _in_files(plan: PlanDocument) -> bool:
    """Whether the plan's archive is a bucket."""
    return any(store.purpose == ARCHIVE for store in plan.buckets)


def _category(plan: PlanDocument, name: str) -> CategoryDefinition:
    known = {each.name: each for each in plan.definition.categories if each.archivable}
    if name not in known:
        raise _wrong("category", f"nothing of {name!r} is archived; {', '.join(sorted(known)) or 'no category'} may be")
    return known[name]


def _directory(plan: PlanDocument, base: Path, place: str) -> Path:
    found = next((base / store.binding for store in plan.databases if store.place.name == place), None)
    if found is None:
        raise Invalid(f"databases: the plan names no database {place}", reason="InvalidPlan", field="databases")
    return found


@contextmanager
def _reading(
    plan: PlanDocument, base: Path, what: sql.Composable, table: TableDefinition, wanted: Wanted
) -> Iterator[Cursor[Any]]:
    """A cursor over the archive's rows of one table, in the order of their birth."""
    born_at = sql.Identifier(table.born_at)
    conditions: list[tuple[sql.Composed, object]] = [
        (sql.SQL("r.{} >= %s").format(born_at), wanted.born_from),
        (sql.SQL("r.{} < %s").format(born_at), wanted.born_to),
    ]
    if wanted.column is not None:
        conditions.append((sql.SQL("r.{} = %s").format(sql.Identifier(wanted.column)), wanted.equals))
    asked = [(condition, value) for condition, value in conditions if value is not None]
    query = sql.SQL("SELECT {what} FROM public.{table} AS r WHERE {where} ORDER BY r.{born_at}").format(
        what=what,
        table=sql.Identifier(table.name),
        where=sql.SQL(" AND ").join([sql.SQL("true"), *(condition for condition, _ in asked)]),
        born_at=born_at,
    )
    access = server_access(read_postgres_binding(sibling(_directory(plan, base, ARCHIVE), Group.APP)))
    opened = partial(connect, access, application_name=APPLICATION_NAME)
    with errors_of(access), opened() as connection, connection.transaction(), connection.cursor("archive") as cursor:
        # As the functions of the databases spell times.
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        connection.execute("SET LOCAL DateStyle = 'ISO'")
        cursor.itersize = _ROWS_AT_ONCE
        yield cursor.execute(query, [value for _, value in asked])


def _batches(rows: Iterator[str]) -> Iterator[Sequence[str]]:
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield batch


def _wrong(option: str, text: str) -> Invalid:
    return Invalid(f"--{option}: {text}", reason="InvalidPlan", field=option)
