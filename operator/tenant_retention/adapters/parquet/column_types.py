"""How a profile's column types are written in Parquet: as the type of that meaning, so that any reader understands them.

Numeric is text, because PostgreSQL's has no fixed scale, up to 131,072 digits, and NaN; everything else has its own type.
"""

from __future__ import annotations

import pyarrow as pa

from tenant_retention.domain.archive_files import ArchivedColumn

TYPE_KEY = b"tenantretention.type"
_TYPES: dict[str, pa.DataType] = {
    "Text": pa.string(),
    "Integer": pa.int32(),
    "BigInteger": pa.int64(),
    "Numeric": pa.string(),
    "Boolean": pa.bool_(),
    "Timestamp": pa.timestamp("us", tz="UTC"),
    "Date": pa.date32(),
    "Uuid": pa.uuid(),
    "Json": pa.json_(pa.string()),
    "Bytes": pa.binary(),
}
_SPELLED: dict[str, pa.DataType] = {
    "Integer": pa.int32(),
    "BigInteger": pa.int64(),
    "Boolean": pa.bool_(),
    "Timestamp": pa.int64(),
    "Date": pa.int32(),
}


def field_of(column: ArchivedColumn) -> pa.Field:
    """The column in a file, with the profile's type beside it. KeyError for a type that no profile has."""
    return pa.field(column.name, _TYPES[column.type], metadata={TYPE_KEY: column.type.encode()})


def spelled_type(column_type: str) -> pa.DataType:
    """The type of a column's cells on their way (``domain.archive_files``)."""
    return _SPELLED.get(column_type, pa.string())


def to_file(column_type: str, cells: pa.Array) -> pa.Array:
    """Cells as spelled to the column's own type. Raises ValueError for hexadecimal digits that are none."""
    if column_type in ("Timestamp", "Date"):
        return cells.view(_TYPES[column_type])
    if column_type in ("Uuid", "Bytes"):
        storage = pa.binary(16) if column_type == "Uuid" else pa.binary()
        values = [None if cell is None else bytes.fromhex(cell) for cell in cells.to_pylist()]
        cells = pa.array(values, storage)
    wanted = _TYPES[column_type]
    return pa.ExtensionArray.from_storage(wanted, cells) if isinstance(wanted, pa.BaseExtensionType) else cells


def from_file(column_type: str, cells: pa.Array) -> list[object]:
    """The cells as they were spelled."""
    if isinstance(cells, pa.ExtensionArray):
        cells = cells.storage
    if column_type in ("Timestamp", "Date"):
        cells = cells.view(_SPELLED[column_type])
    values: list[object] = cells.to_pylist()
    if column_type in ("Uuid", "Bytes"):
        return [value.hex() if isinstance(value, bytes) else value for value in values]
    return values
