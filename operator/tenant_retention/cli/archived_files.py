"""``archive search`` and ``archive restore`` where the archive is a bucket with files (D3, T5, T6)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from tenant_retention.adapters.parquet.reading import check_file, read_rows
from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.cli.archives import Found, Restored, Wanted
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.ports.archive_files import ArchiveBucket, ArchivedFile
from tenant_retention.enforcement.opening import open_stores

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def search(
    plan: PlanDocument, base: Path, category: CategoryDefinition, columns: tuple[str, ...], wanted: Wanted, limit: int
) -> Found:
    """These columns of the record's rows that lie in files, ``limit`` rows at most. Raises Invalid (ArchiveFileBroken) or
    Unavailable."""
    table = plan.definition.table(category.tables[-1])
    with _opened(plan, base, category) as (database, bucket):
        files = database.archive_files_of(category.name, wanted.born_from, wanted.born_to)
        found = (
            tuple(row.get(name) for name in columns)
            for file in files
            if file.table == table.name
            for row in _rows_of(bucket, file)
            if _fits(row, table.born_at, wanted)
        )
        rows = tuple(islice(found, limit + 1))
    return Found(columns, rows[:limit], len(rows) > limit)


def restore(plan: PlanDocument, base: Path, category: CategoryDefinition, wanted: Wanted, until: datetime) -> Restored:
    """Brings the files of a span of births back into their live database until then: whole files, of one UTC day each, and
    their rows leave the archive. Killed on the way it is simply run again. Raises Invalid or Unavailable."""
    restored = refused = 0
    with _opened(plan, base, category) as (database, bucket):
        files = database.archive_files_of(category.name, wanted.born_from, wanted.born_to)
        for file in files:
            # Before its first row, or a night in between would take it away again.
            database.pause_archiving(category.name, file.born_from, file.born_to + _MICROSECOND, until)
            try:
                came = database.restore_archive_file(file, [json.dumps(row) for row in _cells_of(bucket, file)])
            except Invalid as error:
                if error.reason != "ArchiveConflict":
                    raise
                came = None
            restored += came or 0
            refused += file.rows if came is None else 0
    return Restored(restored, refused)


@contextmanager
def _opened(
    plan: PlanDocument, base: Path, category: CategoryDefinition
) -> Iterator[tuple[PostgresEnforcementDatabase, ArchiveBucket]]:
    with open_stores(plan, base) as stores:
        database = stores.databases.get(category.database)
        if not isinstance(database, PostgresEnforcementDatabase) or stores.archive is None:
            text = f"databases: the plan names no database {category.database}"
            raise Invalid(text, reason="InvalidPlan", field="databases")
        yield database, stores.archive.bucket


def _cells_of(bucket: ArchiveBucket, file: ArchivedFile) -> Iterator[dict[str, object]]:
    """Every row of a file that is what was written, cells as they are spelled in it."""
    content = bucket.read_file(file.key)
    if content is None:
        raise Invalid(f"file {file.key} is not in the archive any more", reason="ArchiveFileBroken")
    check_file(content, file.sha256 or "", file.rows, file.columns)
    for rows in read_rows(content, file.columns):
        yield from rows


def _rows_of(bucket: ArchiveBucket, file: ArchivedFile) -> Iterator[dict[str, object]]:
    """The same for people."""
    types = {column.name: column.type for column in file.columns}
    for row in _cells_of(bucket, file):
        yield {name: _readable(types[name], cell) for name, cell in row.items()}


def _readable(kind: str, cell: object) -> object:
    if kind == "Timestamp" and isinstance(cell, int):
        try:
            return _EPOCH + cell * _MICROSECOND
        except OverflowError:
            return "infinity" if cell > 0 else "-infinity"
    if kind == "Date" and isinstance(cell, int):
        try:
            return date(1970, 1, 1) + timedelta(days=cell)
        except OverflowError:
            return "infinity" if cell > 0 else "-infinity"
    return UUID(cell) if kind == "Uuid" and isinstance(cell, str) else cell


def _fits(row: Mapping[str, object], born_at: str, wanted: Wanted) -> bool:
    born = row[born_at]
    if isinstance(born, datetime) and not (
        (wanted.born_from is None or born >= wanted.born_from) and (wanted.born_to is None or born < wanted.born_to)
    ):
        return False
    return wanted.column is None or (row.get(wanted.column) is not None and str(row[wanted.column]) == wanted.equals)
