"""Rows into files of the archive bucket: the product, against a bare COPY of the same rows to a file and their DELETE."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.plan_document import Mode, StoreBinding
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.benchmarks.report import Comparison, Steps, timed
from tests.benchmarks.rows import Bench, Stopwatch
from tests.benchmarks.tables import bare_copy, definition, fill
from tests.stores.enforcement_archive import LiveArchive, live_archive, real_world, write_binding

_COPY = "COPY (SELECT * FROM bare.calls) TO STDOUT WITH (FORMAT csv)"


def archiving(bench: Bench, rows: int, steps: Steps) -> list[Comparison]:
    """Half of ``rows``, of whole months, move; once each side, as neither varies much."""
    archive = live_archive(bench.server.administrator, bench.s3, bench.directory / "archive", rules())
    _bucket(archive)
    with steps.step(f"fill a tenant and a bare copy with {rows // 2:,} rows each"):
        bare_copy(archive, "calls")
        for schema in ("public", "bare"):
            fill(archive, schema, "calls", rows, due_only=True)
    bench.settle(archive)
    target = bench.directory / "bare.csv"
    with bench.superuser(archive) as session:

        def by_hand() -> None:
            with target.open("wb") as file, session.cursor() as cursor, cursor.copy(_COPY.encode()) as copy:
                for block in copy:
                    file.write(block)
            session.execute("DELETE FROM bare.calls")

        with steps.step("bare COPY to a file, then DELETE"):
            theirs = timed(by_hand)
        with steps.step("product, Parquet files in the bucket"):
            ours = _product(archive)
        kept = session.execute(
            "SELECT coalesce(sum(rows), 0) FROM retention.archive_file WHERE state = 'Kept'"
        ).fetchone()
    if kept != (rows // 2,):
        raise RuntimeError(f"{kept} of {rows // 2} rows were archived")
    return [Comparison(f"archive {rows // 2:,} rows", "Parquet, checked", ours, "COPY csv + DELETE", theirs, 4.0)]


def rules() -> RetentionDefinition:
    """Calls that are kept for four years and archived after ten months."""
    made = definition("calls")
    categories = (made.categories[0].model_copy(update={"keep": "P4Y", "archive_after": "P10M"}),)
    return made.model_copy(update={"categories": categories}).placed_in(["Analytical"])


def _bucket(archive: LiveArchive) -> None:
    name = f"{archive.bucket[:50]}-archive"
    archive.client.make_bucket(name)
    write_binding(
        archive.directory / "acme-archive-enforcer",
        type="s3",
        BUCKET_NAME=name,
        AWS_ENDPOINT_URL=archive.s3.endpoint.url,
        AWS_DEFAULT_REGION=archive.s3.endpoint.region,
        AWS_ACCESS_KEY_ID=archive.s3.administrator.key_id,
        AWS_SECRET_ACCESS_KEY=archive.s3.administrator.secret,
        **{"ca.crt": archive.s3.endpoint.ca or ""},
    )


def _product(archive: LiveArchive) -> float:
    """Seconds from the first file's name to the last one's rows; counting before and after is not compared."""
    buckets = (StoreBinding(purpose=ARCHIVE, binding="acme-archive-enforcer"),)
    plan = archive.plan(Mode.ENFORCE, ("calls",)).model_copy(update={"buckets": buckets})
    with open_stores(plan, archive.directory) as stores:
        watch = Stopwatch(stores.databases["Analytical"], prefixes=("name_archive_file", "keep_archive_file"))
        if stores.archive is None:
            raise RuntimeError("the plan has no archive")
        databases = {"Analytical": watch}
        result = expire(
            plan, Stores(databases, {}, archive=replace(stores.archive, databases=databases)), uuid4(), real_world()
        )
    if result.outcome is not Outcome.SUCCEEDED:
        raise RuntimeError(f"the run ended as {result.outcome}: {result.stores}")
    return watch.last - watch.first
