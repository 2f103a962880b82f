"""Writing one file: rows come as CSV from a COPY, are parsed block by block, and leave as row groups with zstd inside."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tenant_retention.adapters.parquet.column_types import field_of, spelled_type, to_file
from tenant_retention.domain.archive_files import LARGEST_FILE, ArchivedColumn
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.archive_files import WrittenFile

ROW_GROUP_BYTES = 8 * 1024 * 1024
"""Bytes in memory after which a row group is written."""
BLOCK_BYTES = 4 * 1024 * 1024
"""Bytes of CSV at once; a single row must fit."""
SUMS = ("sum 1", "sum 2")
"""Columns that follow those of the table: two digests of the whole row, 32 bits each. Not in the file; their sums are compared
with those of the rows that are deleted."""


def write_file(columns: Sequence[ArchivedColumn], rows: BinaryIO, largest: int = LARGEST_FILE) -> WrittenFile:
    """The rows as a Parquet file. ``rows``: CSV as PostgreSQL writes it (NULL: nothing, unquoted), then ``SUMS``.

    Raises NotReady (FileTooLarge) once the file passes ``largest`` bytes, Invalid (NotArchivable) where a row has no place in
    a file: one of over ``BLOCK_BYTES``, or a value that is not of its column's type. Errors of ``rows`` pass through.
    """
    target = io.BytesIO()
    schema = pa.schema([field_of(column) for column in columns])
    count, sums = 0, [0, 0]
    try:
        with pq.ParquetWriter(target, schema, compression="zstd", store_schema=True) as writer:
            for table in _groups(_batches(columns, rows)):
                count += table.num_rows
                for place, name in enumerate(SUMS):
                    sums[place] += pc.sum(table[name]).as_py()
                arrays = [to_file(each.type, table[each.name].combine_chunks()) for each in columns]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=table.num_rows)
                if target.tell() > largest:
                    raise NotReady(f"the rows of a file take over {largest} bytes", reason="FileTooLarge")
    except (pa.ArrowInvalid, ValueError) as error:
        raise Invalid(f"a row has no place in a file ({type(error).__name__})", reason="NotArchivable") from error
    content = target.getvalue()
    if len(content) > largest:
        raise NotReady(f"the rows of a file take over {largest} bytes", reason="FileTooLarge")
    return WrittenFile(content, hashlib.sha256(content).hexdigest(), count, (sums[0], sums[1]))


def _batches(columns: Sequence[ArchivedColumn], rows: BinaryIO) -> Iterator[pa.RecordBatch]:
    types = {column.name: spelled_type(column.type) for column in columns} | dict.fromkeys(SUMS, pa.int64())
    first = rows.read(BLOCK_BYTES)
    if not first:
        return
    yield from pyarrow.csv.open_csv(
        _Prefixed(first, rows),
        read_options=pyarrow.csv.ReadOptions(column_names=list(types), block_size=BLOCK_BYTES, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(each.nbytes for each in waiting) >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if rows := [batch for batch in waiting if batch.num_rows]:
        yield pa.Table.from_batches(rows)


class _Prefixed(io.RawIOBase):
    """A stream of which the beginning was read already: pyarrow refuses an empty one, and no row is no error."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes."""
        if self._first:
            taken = self._first if size < 0 else self._first[:size]
            self._first = self._first[len(taken) :]
            return taken
        return self._rest.read(size)
