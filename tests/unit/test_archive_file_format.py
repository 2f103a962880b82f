"""One archived file: what any reader sees in it, and what our own reader refuses (T6)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow.parquet as pq
import pytest

from tenant_retention.adapters.parquet.reading import check_file, read_rows
from tenant_retention.adapters.parquet.writing import SUMS, write_file
from tenant_retention.domain.archive_files import ArchivedColumn, FileManifest, read_manifest
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.archive_files import WrittenFile

FOREVER = 2**63 - 1
COLUMNS = tuple(
    ArchivedColumn(name=name, type=column_type)
    for name, column_type in (
        ("id", "BigInteger"),
        ("started_at", "Timestamp"),
        ("remarks", "Text"),
        ("score", "Integer"),
        ("price", "Numeric"),
        ("accepted", "Boolean"),
        ("day", "Date"),
        ("ticket", "Uuid"),
        ("raw", "Json"),
        ("voice", "Bytes"),
    )
)
ORDINARY = {
    "id": "1",
    "started_at": "1767225600000001",
    "remarks": "calls back",
    "score": "-3",
    "price": "12.50",
    "accepted": "t",
    "day": "20454",
    "ticket": "00112233445566778899aabbccddeeff",
    "raw": '{"a": [1, "ü"]}',
    "voice": "00ff",
}


def as_csv(*rows: Mapping[str, str | None]) -> io.BytesIO:
    """As COPY writes it: NULL is nothing, everything else stands in quotes where it must."""
    text = io.StringIO()
    for row in rows:
        cells = [row.get(column.name) for column in COLUMNS]
        quoted = ["" if cell is None else '"' + cell.replace('"', '""') + '"' for cell in cells]
        text.write(",".join([*quoted, "7", "11"]) + "\n")
    return io.BytesIO(text.getvalue().encode())


def written(*rows: Mapping[str, str | None]) -> WrittenFile:
    """A file with these rows."""
    return write_file(COLUMNS, as_csv(*rows))


def seen_by_duckdb(content: bytes, folder: Path, question: str) -> list[tuple[object, ...]]:
    """What a reader that shares no code with the writer makes of the file."""
    path = folder / "archived.parquet"
    path.write_bytes(content)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"{question} FROM read_parquet(?)", [str(path)]).fetchall()


def test_another_reader_sees_every_column_in_the_type_that_the_profile_gave_it__T6(tmp_path: Path) -> None:
    content = written(ORDINARY).content
    types = {str(row[0]): row[1] for row in seen_by_duckdb(content, tmp_path, "DESCRIBE SELECT *")}
    assert types == {
        "id": "BIGINT",
        "started_at": "TIMESTAMP WITH TIME ZONE",
        "remarks": "VARCHAR",
        "score": "INTEGER",
        "price": "VARCHAR",
        "accepted": "BOOLEAN",
        "day": "DATE",
        "ticket": "UUID",
        "raw": "JSON",
        "voice": "BLOB",
    }
    [row] = seen_by_duckdb(content, tmp_path, "SELECT epoch_us(started_at), * EXCLUDE (started_at)")
    assert row[0] == 1767225600000001
    assert row[1:] == (
        1, "calls back", -3, "12.50", True, date(2026, 1, 1), UUID(ORDINARY["ticket"]), '{"a": [1, "ü"]}', b"\x00\xff",
    )  # fmt: skip


def test_null_and_the_empty_text_stay_apart__T6(tmp_path: Path) -> None:
    content = written(ORDINARY | {"remarks": ""}, {"id": "2"}).content
    rows = seen_by_duckdb(content, tmp_path, "SELECT id, remarks, score, ticket, voice")
    assert rows == [(1, "", -3, UUID(ORDINARY["ticket"]), b"\x00\xff"), (2, None, None, None, None)]


HOSTILE = {
    "quotes, commas and lines": {"remarks": 'a "b", c\r\nd\\n\n\n"'},
    "text that reads like null": {"remarks": "NULL"},
    "text beyond the basic plane": {"remarks": "\U0001f600\u202e\ufeff\x01"},
    "a formula": {"remarks": "=1+1"},
    "a number of 131,072 digits": {"price": "9" * 131072},
    "not a number": {"price": "NaN"},
    "the end of time": {"started_at": str(FOREVER), "day": str(2**31 - 1)},
    "before all time": {"started_at": str(-FOREVER), "day": str(-(2**31 - 1))},
    "the largest numbers": {"id": str(2**63 - 1), "score": str(-(2**31))},
    "deep JSON": {"raw": "[" * 500 + "]" * 500},
    "a megabyte": {"remarks": "x" * 1_000_000},
    "no bytes": {"voice": ""},
}


@pytest.mark.parametrize("odd", HOSTILE.values(), ids=HOSTILE)
def test_an_odd_value_comes_back_as_it_was__T6(odd: dict[str, str]) -> None:
    row = ORDINARY | odd
    file = written(row)
    [[back]] = list(read_rows(file.content, COLUMNS))
    spelled = {name: str(value) for name, value in back.items() if name != "accepted"}
    assert spelled == {name: value for name, value in row.items() if name != "accepted"}
    assert back["accepted"] is True


def test_times_without_end_are_so_for_another_reader_too__T6(tmp_path: Path) -> None:
    file = written(ORDINARY | HOSTILE["the end of time"], ORDINARY | HOSTILE["before all time"])
    ends = [("infinity", "infinity"), ("-infinity", "-infinity")]
    assert seen_by_duckdb(file.content, tmp_path, "SELECT started_at::varchar, day::varchar") == ends


def test_a_day_without_rows_makes_a_file_without_rows__T6() -> None:
    file = written()
    check_file(file.content, file.sha256, 0, COLUMNS)
    assert (file.rows, file.sums) == (0, (0, 0))


def test_many_rows_leave_in_groups_so_that_they_are_never_in_memory_together__T6() -> None:
    rows = 100_000
    line = as_csv(ORDINARY | {"remarks": "r" * 200}).getvalue()

    file = write_file(COLUMNS, io.BufferedReader(Repeated(line, rows)))

    assert (file.rows, file.sums) == (rows, (7 * rows, 11 * rows))
    assert pq.ParquetFile(io.BytesIO(file.content)).num_row_groups > 2
    check_file(file.content, file.sha256, rows, COLUMNS)


class Repeated(io.RawIOBase):
    """One line, many times, made while it is read."""

    def __init__(self, line: bytes, times: int) -> None:
        self._line = line
        self._left = len(line) * times

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = min(len(buffer) // len(self._line) * len(self._line), self._left)
        buffer[:size] = self._line * (size // len(self._line))
        self._left -= size
        return size


def test_a_file_that_grows_too_large_is_refused_before_it_is_whole__T6() -> None:
    with pytest.raises(NotReady) as refused:
        write_file(COLUMNS, as_csv(ORDINARY), largest=100)
    assert refused.value.reason == "FileTooLarge"


@pytest.mark.parametrize(
    "column, cell", [("score", "many"), ("score", str(2**31)), ("ticket", "xyz"), ("started_at", "now")]
)
def test_a_value_of_another_type_is_refused_and_not_bent__T6(column: str, cell: str) -> None:
    with pytest.raises(Invalid) as refused:
        written(ORDINARY | {column: cell})
    assert refused.value.reason == "NotArchivable"
    assert cell not in refused.value.message


def test_what_fails_while_rows_are_read_is_what_is_raised__T6() -> None:
    class Cut(io.RawIOBase):
        def read(self, _size: int = -1) -> bytes:
            raise NotReady("the connection is gone", reason="Cut")

    with pytest.raises(NotReady, match="the connection is gone"):
        write_file(COLUMNS, Cut())  # type: ignore[arg-type]


def damaged(content: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "cut off": content[:-1],
        "one bit": bytes([*content[:40], content[40] ^ 1, *content[41:]]),
        "longer": content + b"\0",
        "another file": written(ORDINARY | {"id": "2"}).content,
    }


@pytest.mark.parametrize("how", damaged(b"x" * 50))
def test_a_damaged_file_is_never_believed__T6(how: str) -> None:
    file = written(ORDINARY)
    with pytest.raises(Invalid) as refused:
        check_file(damaged(file.content)[how], file.sha256, 1, COLUMNS)
    assert refused.value.reason == "ArchiveFileBroken"


def test_a_file_with_other_rows_or_columns_than_its_manifest_says_is_never_believed__T6() -> None:
    file = written(ORDINARY)
    others = (*COLUMNS[:-1], ArchivedColumn(name="voice", type="Text"))
    for rows, columns in ((2, COLUMNS), (0, COLUMNS), (1, COLUMNS[:-1]), (1, others)):
        with pytest.raises(Invalid, match="broken"):
            check_file(file.content, file.sha256, rows, columns)


def manifest() -> FileManifest:
    at = datetime(2026, 1, 1, 12, 30, 15, 123456, UTC)
    return FileManifest(
        key="acme/requests/2026-01-01/x.parquet", category="general-information", table="requests", day=at.date(), rows=1,
        bytes=10, sha256="00", born_from=at, born_to=at, columns=COLUMNS,
    )  # fmt: skip


def test_a_manifest_is_read_as_it_was_written_and_says_nothing_of_a_person__X6() -> None:
    text = manifest().text()
    assert read_manifest(text) == manifest()
    assert read_manifest(text).text() == text
    assert set(json.loads(text)) == {
        "schemaVersion", "key", "category", "table", "day", "rows", "bytes", "sha256", "bornFrom", "bornTo", "columns",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"schemaVersion":1'])
def test_a_manifest_that_is_none_is_refused__T6(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_manifest(text)
    assert refused.value.reason == "ArchiveFileBroken"


def test_a_manifest_of_a_later_version_is_refused_with_the_way_out__T6() -> None:
    with pytest.raises(Invalid, match="use the program that wrote it"):
        read_manifest(manifest().model_copy(update={"schema_version": 2}).text())


def test_statistics_of_columns_stay_inside_the_file__X6() -> None:
    """Whoever lists the bucket sees a key, a size and a time; smallest and largest numbers are in the file, encrypted with it."""
    file = written(ORDINARY | {"remarks": "+31201234567"})
    meta = pq.ParquetFile(io.BytesIO(file.content)).metadata
    assert meta.row_group(0).column(2).compression == "ZSTD"
    assert b"+31201234567" not in json.dumps(manifest().model_dump(mode="json")).encode()
    assert set(meta.metadata or {}) == {b"ARROW:schema"}


def test_the_sums_follow_the_columns_and_are_in_no_file__T6() -> None:
    names = pq.ParquetFile(io.BytesIO(written(ORDINARY).content)).schema_arrow.names
    assert names == [column.name for column in COLUMNS]
    assert not set(SUMS) & set(names)
