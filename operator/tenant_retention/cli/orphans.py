"""``tenant-retention orphans``: objects that no row names and rows whose object is missing; reported, never deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from psycopg import sql

from tenant_retention.adapters.bindings import read_postgres_binding, read_s3_binding
from tenant_retention.adapters.postgres.archive_files import PostgresArchiveFiles
from tenant_retention.adapters.postgres.connections import connect, errors_of
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.adapters.s3.listing import stored_objects
from tenant_retention.cli.output import table
from tenant_retention.cli.siblings import sibling
from tenant_retention.domain.archive_files import manifest_key
from tenant_retention.domain.bucket_identities import AccessKey
from tenant_retention.domain.buckets import S3Endpoint
from tenant_retention.domain.databases import Group
from tenant_retention.domain.definition import ARCHIVE, ObjectsDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import purpose_of
from tenant_retention.domain.orphans import SETTLING, ObjectRow, OrphanReport, find_orphans
from tenant_retention.domain.plan_document import PlanDocument, StoreBinding
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.enforcement.opening import APPLICATION_NAME, open_stores, server_access
from tenant_retention.enforcement.orphans import named_nowhere
from tenant_retention.enforcement.world import Stores

_HEADS = ("BUCKET", "OBJECTS", "ROWS", "OBJECTS-WITHOUT-ROW", "ROWS-WITHOUT-OBJECT", "DELETE-MARKERS", "UNSETTLED")
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class BucketComparison:
    """One bucket compared with all rows that should name what is in it."""

    purpose: str
    report: OrphanReport

    @property
    def clean(self) -> bool:
        """Whether nothing is without its other half."""
        return not (self.report.objects_without_row or self.report.rows_without_object)


def compare(plan: PlanDocument, base: Path, now: datetime) -> tuple[BucketComparison, ...]:
    """Compares every bucket of the plan. Rows are read by the app's login, objects by the enforcer's key; what seems to lack
    its other half is asked for by its key, as every night does.

    Raises Invalid or Unavailable; needs memory for a digest of every row that names an object (16 bytes and its place).
    """
    return tuple(_compare(plan, base, store, now - SETTLING) for store in plan.buckets)


def document(comparisons: Sequence[BucketComparison], *, keys: bool) -> dict[str, Any]:
    """Counts, and samples of keys only where they were asked for: a key may hold personal data."""
    return {
        "version": 1,
        "buckets": [
            {
                "purpose": each.purpose,
                "objects": each.report.objects,
                "rows": each.report.rows,
                "objectsWithoutRow": each.report.objects_without_row,
                "rowsWithoutObject": each.report.rows_without_object,
                "deleteMarkers": each.report.delete_markers,
                "unsettled": each.report.unsettled,
            }
            | (_samples(each.report) if keys else {})
            for each in comparisons
        ],
    }


def print_comparisons(comparisons: Sequence[BucketComparison], stream: TextIO, *, keys: bool) -> None:
    """The counts as a table, samples of keys below it where they were asked for."""
    rows = [
        (
            each.purpose,
            each.report.objects,
            each.report.rows,
            each.report.objects_without_row,
            each.report.rows_without_object,
            each.report.delete_markers,
            each.report.unsettled,
        )
        for each in comparisons
    ]
    table(_HEADS, rows, stream)
    if keys:
        found = [(each.purpose, kind, key) for each in comparisons for kind, key in _named(each.report)]
        table(("BUCKET", "KIND", "KEY"), found, stream)


def _compare(plan: PlanDocument, base: Path, bucket: StoreBinding, settled_before: datetime) -> BucketComparison:
    binding = read_s3_binding(base / bucket.binding)
    endpoint = S3Endpoint(url=binding.endpoint, region=binding.region, ca=binding.ca)
    databases = plan.model_copy(update={"buckets": ()})
    with (
        open_stores(databases, base) as stores,
        S3Connection(endpoint, AccessKey(binding.access_key, binding.secret_key)) as connection,
    ):
        # Files that go by their last modification need no row.
        prefixes = tuple(each.files.prefix for each in plan.definition.categories if each.files is not None)
        stored = stored_objects(connection, binding.bucket)
        kept, passing = _archive_keys(stores) if bucket.purpose == ARCHIVE else ((), frozenset())
        report = find_orphans(
            (each for each in stored if not each.key.startswith(prefixes) and each.key not in passing),
            chain(_rows(plan, base, bucket.purpose), (ObjectRow(key, None) for key in kept)),
            settled_before,
            unnamed=lambda objects: named_nowhere(stores.databases.values(), objects),
            missing=S3ContentBucket(connection, binding.bucket).missing_objects,
        )
    return BucketComparison(bucket.purpose, report)


def _archive_keys(stores: Stores) -> tuple[tuple[str, ...], frozenset[str]]:
    """The keys of files and manifests that must be in an archive bucket, and of those that may be: on their way in or out."""
    kept: list[str] = []
    passing: list[str] = []
    for database in stores.databases.values():
        if isinstance(database, PostgresArchiveFiles):
            for key, state in database.archive_file_states().items():
                (kept if state == "Kept" else passing).extend((key, manifest_key(key)))
    return tuple(kept), frozenset(passing)


def _rows(plan: PlanDocument, base: Path, purpose: str) -> Iterator[ObjectRow]:
    directories = {store.place.name: base / store.binding for store in plan.databases}
    for category in plan.definition.categories:
        if category.objects is None or category.objects.bucket != purpose:
            continue
        names = [name for name in plan.definition.database_names() if purpose_of(name) == category.database]
        missing = sorted({*names, *([] if names else [category.database])} - directories.keys())
        if missing:
            raise Invalid(
                f"databases: {missing[0]!r} of category {category.name!r} is not named; without its rows every "
                "object would look like an orphan",
                reason="InvalidPlan",
                field="databases",
            )
        for name in names:
            access = server_access(read_postgres_binding(sibling(directories[name], Group.APP)))
            yield from _rows_of(access, category.objects)


def _rows_of(access: ServerAccess, objects: ObjectsDefinition) -> Iterator[ObjectRow]:
    query = sql.SQL("SELECT {key}, nullif({version}, '') FROM public.{table} WHERE {key} IS NOT NULL").format(
        key=sql.Identifier(objects.key_column),
        version=sql.Identifier(objects.version_column),
        table=sql.Identifier(objects.table),
    )
    opened = partial(connect, access, application_name=APPLICATION_NAME)
    # A cursor on the server needs a transaction; it keeps the memory of this process small.
    with errors_of(access), opened() as connection, connection.transaction(), connection.cursor("orphans") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        for key, version in cursor.execute(query):
            yield ObjectRow(key, version)


def _samples(report: OrphanReport) -> dict[str, list[str]]:
    return {
        "objectsWithoutRowKeys": [each.key for each in report.object_sample],
        "rowsWithoutObjectKeys": [each.key for each in report.row_sample],
    }


def _named(report: OrphanReport) -> Iterator[tuple[str, str]]:
    for stored in report.object_sample:
        yield "ObjectWithoutRow", stored.key
    for row in report.row_sample:
        yield "RowWithoutObject", row.key
