"""The backups of a tenant of the model: made, taken away and read as the nightly Job does it, at the test's time."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from tenant_retention.adapters.postgres.copying import PostgresBackupSource
from tenant_retention.adapters.s3.backups import S3BackupBucket
from tenant_retention.adapters.sealing import unseal, verified
from tenant_retention.domain.backups import (
    KEY_BYTES,
    FileKind,
    Frequency,
    Manifest,
    key_of,
    manifest_key,
    stored_backups,
)
from tenant_retention.domain.plan_document import BackupPlan, Mode, Task
from tenant_retention.enforcement.backing_up import BackupStores, back_up
from tenant_retention.enforcement.backup_results import BackupResult
from tenant_retention.reconcile.observing import made_room
from tests.stores.model.rules import BACKUPS_KEEP
from tests.stores.simulated_tenant import SimulatedTenant
from tests.support.enforcement import RecordedWorld, plan_of

_LINKS = 1000
"""So many of the newest links of a chain are looked at."""


class SimulatedBackups:
    """A backup bucket of the tenant's own, and the key that seals what is in it."""

    def __init__(self, tenant: SimulatedTenant) -> None:
        self._tenant = tenant
        self._key = secrets.token_bytes(KEY_BYTES)
        name = f"{tenant.bucket}-backups"
        tenant.storage.client.make_bucket(name)
        self._bucket = S3BackupBucket(tenant.storage, tenant.storage, name)

    def night(self, mode: Mode) -> BackupResult:
        """The Job after the night's run, by the plan that the operator writes for a policy of this mode."""
        at = self._tenant.clock.now()
        world = replace(RecordedWorld(at).world(), now=lambda: at, elapsed=time.monotonic)
        frequency = Frequency.DAILY if self._makes_one(mode) else None
        backup = BackupPlan(keep=BACKUPS_KEEP, frequency=frequency, bucket="bucket", writer="writer", key="key")
        plan = plan_of(self._tenant.rules).model_copy(update={"task": Task.BACKUP, "backup": backup})
        sources = {
            purpose: PostgresBackupSource(partial(database.connect, "backup"))
            for purpose, database in self._tenant.databases.items()
        }
        return back_up(plan, BackupStores(sources, self._bucket, self._key), uuid4(), world)

    def _makes_one(self, mode: Mode) -> bool:
        """What the operator asks the observer before it lets a backup be made: ``reconcile.backing_up``."""
        for database in self._tenant.databases.values():
            observer = database.observer()
            runs = tuple(link for link in observer.evidence(_LINKS) if link.act is None)
            if not made_room(runs, mode, self._tenant.rules.rules_digest()):
                return False
            if any(each.rows and each.overdue for each in observer.observe().categories):
                return False
        return True

    def taken(self) -> list[datetime]:
        """When each of them was made, of whatever anything is left in the bucket; the oldest first."""
        return [each.taken_at for each in stored_backups(self._bucket.objects(), datetime.now(UTC))]

    def rows(self, backup_id: str) -> dict[str, set[tuple[str, str]]]:
        """What a backup holds: table and name of every row, by database."""
        with self._bucket.read(manifest_key(backup_id)) as blocks:
            manifest = Manifest.model_validate_json(verified(b"".join(blocks), self._key))
        found: dict[str, set[tuple[str, str]]] = {place: set() for place in manifest.places}
        for file in (each for each in manifest.files if each.kind is FileKind.ROWS):
            with self._bucket.read(key_of(backup_id, file.number)) as blocks:
                lines = b"".join(unseal(blocks, self._key, file.context(backup_id))).decode().splitlines()
            named = file.columns.index("id")
            found[file.place] |= {(file.table, line.split("\t")[named]) for line in lines}
        return found
