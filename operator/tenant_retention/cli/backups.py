"""``tenant-retention backup`` and ``restore``: the nightly backup from a shell, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID, uuid4

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.adapters.postgres.connections import Timeouts, connect
from tenant_retention.adapters.postgres.restoring import PostgresRestoreTarget
from tenant_retention.cli.installing import identity
from tenant_retention.cli.output import table, visible
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode, PlanDocument, Task
from tenant_retention.enforcement.backing_up import back_up
from tenant_retention.enforcement.backup_results import BackupResult, backup_document
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.files_after_restore import NO_FILES
from tenant_retention.enforcement.opening import APPLICATION_NAME, open_stores, server_access
from tenant_retention.enforcement.opening_backups import open_backup_bucket, open_backup_stores
from tenant_retention.enforcement.restoring import Restored, RestoreStores, restore
from tenant_retention.enforcement.results import RunResult
from tenant_retention.enforcement.world import World

_TIMEOUTS = Timeouts(statement=timedelta(hours=4), lock=timedelta(seconds=30))
"""One statement loads a whole month; whoever writes at the beginning is waited for."""


def make(plan: PlanDocument, base: Path, world: World) -> BackupResult:
    """One night's backup. Raises Invalid for a plan or a binding that cannot be meant."""
    with open_backup_stores(plan, base) as stores:
        return back_up(plan, stores, uuid4(), world)


def bring_back(
    plan: PlanDocument,
    base: Path,
    administrator: Path,
    backup_id: str | None,
    databases: Sequence[str],
    world: World,
    *,
    beside: bool = False,
) -> Restored:
    """Restores a backup (None: the newest) into these databases of the plan (none named: all); see ``restoring.restore``.
    ``beside``: rows that are there already stay."""
    known = {store.place.name: store.place for store in plan.databases}
    unknown = [name for name in databases if name not in known]
    if unknown:
        raise Invalid(f"--database: the plan has no {unknown[0]!r}, only {', '.join(known)}", reason="InvalidPlan")
    plan = plan.model_copy(update={"mode": Mode.ENFORCE, "task": Task.EXPIRE, "categories": ()})
    server = server_access(read_postgres_binding(administrator))
    with ExitStack() as closing:
        bucket, key = open_backup_bucket(plan, base, closing, reading=True)
        targets = {}
        for name, place in known.items():
            if databases and name not in databases:
                continue
            database = identity(plan.definition, place).database()
            # On a cluster host and authority are from a Secret of the tenant's namespace.
            connection = connect(
                replace(server, database=database),
                application_name=APPLICATION_NAME,
                timeouts=_TIMEOUTS,
                to_this_server=True,
            )
            closing.callback(connection.close)
            tables = [table.name for table in plan.definition.tables_of(place.purpose)]
            targets[name] = PostgresRestoreTarget(connection, database, name, tables, beside=beside)

        def replay(run_id: UUID) -> RunResult:
            with open_stores(plan, base) as stores:
                return expire(plan, stores, run_id, world)

        archive = closing.enter_context(open_stores(plan, base)).archive
        stores = RestoreStores(targets, bucket, key, archive.bucket if archive is not None else None)
        return restore(plan, stores, replay, backup_id, world)


def print_restored(result: Restored, stream: TextIO) -> None:
    """What came back, in two sentences."""
    places = ", ".join(result.places)
    stream.write(
        f"restored {places} from {result.backup_id}: {result.rows} rows and {result.holds} holds in {result.files} files\n"
        f"today's rules removed {result.removed} of them and anonymized {result.anonymized}; open to applications again\n"
    )
    since = result.since
    if since != NO_FILES:
        stream.write(
            f"archive: {since.taken_back} rows came back from files that were made after the backup, {since.left} such files could "
            f"not be read and stay; {since.lost} rows were in files that have gone since, past their keep or brought back into a table\n"
        )
    if result.holds:
        stream.write("holds came back as they were: release those again that were released since\n")


def document(result: BackupResult) -> dict[str, Any]:
    """Everything of the run, and every backup that can be restored, oldest first."""
    backups = [
        {"id": each.backup_id, "takenAt": instant(each.taken_at), "bytes": each.size} for each in result.complete()
    ]
    return backup_document(result) | {"backups": backups}


def print_made(result: BackupResult, stream: TextIO) -> None:
    """The backups that can be restored, oldest first, and what this run did."""
    if complete := result.complete():
        rows = [(each.backup_id, instant(each.taken_at), len(each.objects) - 1, each.size) for each in complete]
        table(("BACKUP", "TAKEN", "FILES", "BYTES"), rows, stream)
    for problem in result.problems:
        stream.write(f"{visible(problem.message)}\n")
    made = result.made.backup_id if result.made else "none"
    stream.write(f"made {made}, removed {result.removed}: {result.outcome.value}\n")
