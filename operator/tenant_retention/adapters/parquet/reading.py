"""Reading a file back: its digest, its columns and every row must be what the manifest says, else nothing of it is believed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from tenant_retention.adapters.parquet.column_types import TYPE_KEY, field_of, from_file
from tenant_retention.domain.archive_files import ArchivedColumn
from tenant_retention.domain.errors import Invalid


def check_file(content: bytes, sha256: str, rows: int, columns: Sequence[ArchivedColumn]) -> None:
    """Reads every row. Raises Invalid (ArchiveFileBroken) where digest, columns or count differ, or a page cannot be read."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _broken("its bytes are not those that were written")
    read = sum(batch.num_rows for batch in _batches(content, columns))
    if read != rows:
        raise _broken(f"it has {read} rows, {rows} were written")


def read_rows(content: bytes, columns: Sequence[ArchivedColumn]) -> Iterator[list[dict[str, object]]]:
    """The rows some thousand at a time, cells as ``domain.archive_files`` spells them. Raises Invalid (ArchiveFileBroken)."""
    for batch in _batches(content, columns):
        cells = [from_file(column.type, batch.column(place)) for place, column in enumerate(columns)]
        names = [column.name for column in columns]
        yield [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def _batches(content: bytes, columns: Sequence[ArchivedColumn]) -> Iterator[pa.RecordBatch]:
    wanted = [(column.name, field_of(column).type, column.type.encode()) for column in columns]
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        found = [(field.name, field.type, (field.metadata or {}).get(TYPE_KEY)) for field in file.schema_arrow]
        if found != wanted:
            raise _broken("its columns are not those of its manifest")
        yield from file.iter_batches(batch_size=5000)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(f"it cannot be read ({type(error).__name__})") from error


def _broken(why: str) -> Invalid:
    return Invalid(f"a file of the archive is broken: {why}", reason="ArchiveFileBroken")
