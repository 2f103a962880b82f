"""Archived rows as files: what a file is called, what its manifest says, and how each column type is written down.

A cell has one spelling between database and file, so that nothing is rounded on the way: Timestamp as microseconds and Date as
days since 1970 UTC (infinity: the largest number of 64 and 32 bits, -infinity: its negative), Uuid and Bytes as hexadecimal
digits, Numeric and Json as PostgreSQL writes them.
"""

from __future__ import annotations

import json
from datetime import date, datetime

from pydantic import ValidationError

from tenant_retention.domain.definition import Value
from tenant_retention.domain.errors import Invalid

MANIFEST_SUFFIX = ".manifest.json"
SCHEMA_VERSION = 1
"""Of the manifest and of how column types are written; a reader refuses one that it does not know."""
LARGEST_FILE = 48 * 1024 * 1024
"""Bytes of a file: it is in memory as a whole while it is written and checked, in a pod of 256 MiB."""


class ArchivedColumn(Value):
    """A column of an archived table; ``type`` as in the profile. What the profile does not know is archived as Text."""

    name: str
    type: str


class FileManifest(Value):
    """What is told of a file beside it: counts, times and digest; nothing of any person (X6).

    ``born_from``, ``born_to``: births between which those of its rows lie, both included.
    """

    schema_version: int = SCHEMA_VERSION
    key: str
    category: str
    table: str
    day: date
    rows: int
    bytes: int
    sha256: str
    born_from: datetime
    born_to: datetime
    columns: tuple[ArchivedColumn, ...]

    def text(self) -> str:
        """Its one spelling: read back, it is the same to the byte."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"))


def manifest_key(key: str) -> str:
    """Where the manifest of a file is."""
    return key + MANIFEST_SUFFIX


def read_manifest(text: str) -> FileManifest:
    """The manifest as it was written. Raises Invalid (ArchiveFileBroken) for anything else."""
    try:
        manifest = FileManifest.model_validate_json(text)
    except ValidationError as error:
        raise Invalid("a manifest of the archive cannot be read", reason="ArchiveFileBroken") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise Invalid(
            f"a manifest of the archive has version {manifest.schema_version}, this program knows {SCHEMA_VERSION}; "
            "use the program that wrote it",
            reason="ArchiveFileBroken",
        )
    return manifest
