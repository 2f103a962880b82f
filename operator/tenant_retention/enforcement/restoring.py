"""Restoring a backup (T6): verified as a whole first, loaded into closed databases, and opened when today's rules were applied.

What a backup holds may have been removed, anonymized or found since: the replay is the night's own run, on the restored rows,
and nobody sees a row before it is over. A kill anywhere leaves the databases closed; the same command goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from tenant_retention.adapters.sealing import unseal, verified
from tenant_retention.domain.backups import (
    BackupFile,
    FileKind,
    Manifest,
    RestoreProgress,
    StoredBackup,
    is_backup_id,
    key_id,
    key_of,
    manifest_key,
    newest,
    stored_backups,
)
from tenant_retention.domain.definition import ClockEvent
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.ports.archive_files import ArchiveBucket
from tenant_retention.domain.ports.backups import BackupBucket, RestoreTarget
from tenant_retention.domain.ports.evidence import CategoryEvidence
from tenant_retention.enforcement.files_after_restore import NO_FILES, FilesAfterRestore, FilesSince
from tenant_retention.enforcement.results import Outcome, RunResult, StoreResult
from tenant_retention.enforcement.world import World

APPROVED_FOR = timedelta(hours=24)
"""Longer than a replay takes, anew for each; meanwhile no other run begins there, and opening ends it."""
FAR_LESS = 0.5
"""A newest backup with a smaller part of what an earlier one has of a database is taken by name only."""
REPLAYS = 3
"""One run marks what the next one takes away, and content goes before the record that waits for it."""


@dataclass(frozen=True)
class RestoreStores:
    """``targets``: the databases to restore, by the name of their place. ``key``: 32 bytes that sealed the backups. ``archive``:
    the bucket with the policy's archived files, None where it has none."""

    targets: Mapping[str, RestoreTarget]
    bucket: BackupBucket
    key: bytes = field(repr=False)
    archive: ArchiveBucket | None = None


@dataclass(frozen=True)
class Restored:
    """What came back. ``rows`` and ``holds``: loaded by this call; ``removed``: of all that came back what today's rules took
    away again; ``anonymized``: rows that lost the person again. ``since``: files that were archived after the backup."""

    backup_id: str
    places: tuple[str, ...]
    files: int
    rows: int
    holds: int
    removed: int
    anonymized: int
    since: FilesSince


def restore(
    plan: PlanDocument,
    stores: RestoreStores,
    replay: Callable[[UUID], RunResult],
    backup_id: str | None,
    world: World,
) -> Restored:
    """Restores a backup (None: the newest) into empty databases. ``replay``: one run of today's rules, under
    this id, over all databases.

    Raises Invalid (BackupBroken, BackupKeyWrong, RestoreRefused), before anything was changed; Unavailable where a store is away
    and NotReady (RestoreIncomplete) where something that is past its time is still there: then the databases stay closed.
    """
    return _Restore(plan, stores, world).result(replay, backup_id)


class _Restore:
    def __init__(self, plan: PlanDocument, stores: RestoreStores, world: World) -> None:
        self._plan, self._stores, self._world = plan, stores, world
        self._bucket, self._key = stores.bucket, stores.key
        self._targets = stores.targets

    def result(self, replay: Callable[[UUID], RunResult], chosen: str | None) -> Restored:
        manifest = self._manifest(self._chosen(chosen))
        targets = self._targets = self._unopened(manifest.backup_id)
        for name, target in targets.items():
            if name not in manifest.places:
                raise _refused(f"the backup has no database {name}, only {', '.join(manifest.places)}")
            target.check(self._plan.rules_digest, manifest.backup_id)
        files = [file for file in manifest.files if file.place in targets]
        self._verify(manifest, files)
        rows = holds = 0
        for target in targets.values():
            target.close_to_applications(self._plan.rules_digest, manifest.backup_id)
        for name, target in targets.items():
            done = target.loaded()
            for file in (each for each in files if each.place == name and each.number not in done):
                self._go_on()
                loaded = self._load(manifest, file, target)
                rows += loaded if file.kind is FileKind.ROWS else 0
                holds += loaded if file.kind is FileKind.HOLDS else 0
                self._world.journal.tell("restore.loaded", database=name, file=file.number, of=len(files), rows=loaded)
        files_since = self._settle_files()
        removed, anonymized = self._replay(replay)
        for target in targets.values():
            target.open_to_applications()
        self._world.journal.tell("restore.finished", backup=manifest.backup_id, rows=rows, removed=removed)
        return Restored(manifest.backup_id, tuple(targets), len(files), rows, holds, removed, anonymized, files_since)

    def _unopened(self, backup_id: str) -> Mapping[str, RestoreTarget]:
        """Without those that this very restore opened before it was killed: they are in use again."""
        told = {name: target.progress(backup_id) for name, target in self._stores.targets.items()}
        if RestoreProgress.LOADING not in told.values():
            return self._stores.targets
        return {name: self._stores.targets[name] for name in told if told[name] is not RestoreProgress.OPENED}

    def _settle_files(self) -> FilesSince:
        """What became of the archive's files after the backup; of a home database alone: it has the index of its categories."""
        total = NO_FILES
        for name, target in self._targets.items():
            categories = [
                each.name
                for each in self._plan.definition.categories
                if each.database == name and each.tables and each.clock_event is ClockEvent.CREATED
            ]
            if self._stores.archive is not None and categories:
                since = FilesAfterRestore(self._stores.archive, target, self._go_on, self._world.journal)
                total = total.and_of(since.settle(categories))
        return total

    def _go_on(self) -> None:
        if self._world.stopping():
            raise NotReady(
                "asked to stop; the databases stay closed until the same command is given again", reason="Interrupted"
            )

    def _chosen(self, backup_id: str | None) -> str:
        found = [each for each in stored_backups(self._bucket.objects(), self._world.now()) if each.complete]
        if backup_id is None:
            return self._newest(found)
        if not is_backup_id(backup_id) or backup_id not in {each.backup_id for each in found}:
            known = ", ".join(each.backup_id for each in found) or "none"
            raise _refused(f"there is no complete backup {backup_id[:80]!r}; there are: {known}")
        return backup_id

    def _newest(self, found: list[StoredBackup]) -> str:
        """A database that was lost is made anew at once, and backed up: the newest backup may be of the empty one."""
        last = newest(found)
        if last is None:
            raise _refused("the bucket has no complete backup")
        sizes = self._sizes(last.backup_id)
        for each in found:
            try:
                earlier = self._sizes(each.backup_id)
            except Invalid as error:
                # An old one that cannot be read keeps nobody from restoring a newer one.
                self._world.journal.tell("restore.unreadable", backup=each.backup_id, reason=error.reason)
                continue
            for name, size in earlier.items():
                if sizes.get(name, 0) < size * FAR_LESS:
                    known = ", ".join(f"{other.backup_id} ({other.size} bytes)" for other in found)
                    raise _refused(
                        f"the newest backup, {last.backup_id}, has {sizes.get(name, 0)} bytes of {name}, "
                        f"{each.backup_id} has {size}: choose one that was made before the loss with --backup; there are: {known}"
                    )
        return last.backup_id

    def _sizes(self, backup_id: str) -> dict[str, int]:
        manifest = self._manifest(backup_id)
        return {name: manifest.size_of(name) for name in self._stores.targets}

    def _manifest(self, backup_id: str) -> Manifest:
        with self._bucket.read(manifest_key(backup_id)) as blocks:
            content = b"".join(blocks)
        try:
            manifest = Manifest.model_validate_json(verified(content, self._key))
        except ValueError:
            # Signed by our key, so it is of another version of this product.
            raise _refused(f"backup {backup_id} was made by a newer version; use that one") from None
        if manifest.backup_id != backup_id or manifest.key_id != key_id(self._key):
            raise Invalid(f"backup {backup_id} is not what its manifest says; choose another", reason="BackupBroken")
        if not manifest.is_of(self._plan.definition):
            raise _refused(f"backup {backup_id} is of {manifest.namespace}/{manifest.policy}, another tenant's")
        return manifest

    def _verify(self, manifest: Manifest, files: list[BackupFile]) -> None:
        """Opens every file to its end, before anything is changed."""
        for position, file in enumerate(files, start=1):
            self._go_on()
            with self._bucket.read(key_of(manifest.backup_id, file.number)) as blocks:
                counted = _Counted(blocks)
                for _ in unseal(counted.blocks(), self._key, file.context(manifest.backup_id)):
                    pass
            if (counted.size, counted.digest.hexdigest()) != (file.size, file.sha256):
                raise Invalid(
                    f"file {file.number} of backup {manifest.backup_id} was changed; nothing was changed: choose another backup",
                    reason="BackupBroken",
                )
            self._world.journal.tell("restore.verified", file=position, of=len(files))

    def _load(self, manifest: Manifest, file: BackupFile, target: RestoreTarget) -> int:
        with self._bucket.read(key_of(manifest.backup_id, file.number)) as blocks:
            return target.load(file, unseal(blocks, self._key, file.context(manifest.backup_id)))

    def _replay(self, replay: Callable[[UUID], RunResult]) -> tuple[int, int]:
        """Today's rules on what came back, until nothing is left that they take away; rows removed and anonymized."""
        targets = self._targets
        removed = anonymized = 0
        for turn in range(1, REPLAYS + 1):
            self._go_on()
            run_id = uuid4()
            for target in targets.values():
                target.approve(self._plan.rules_digest, run_id, self._world.now() + APPROVED_FOR)
            stores = [store for store in replay(run_id).stores if store.purpose in targets]
            removed += sum(category.removed for store in stores for category in store.categories)
            anonymized += sum(category.anonymized for store in stores for category in store.categories)
            # What a run finds the next one takes away; what the third one still finds is held.
            left = [why for store in stores for why in _left(store, findings=turn < REPLAYS)]
            left += [f"{name}: was not in the run" for name in targets if name not in {each.purpose for each in stores}]
            self._world.journal.tell("restore.replayed", turn=turn, removed=removed, left=len(left))
            if not left:
                return removed, anonymized
        raise NotReady(
            f"{left[0]}; the databases stay closed to applications until the same command is given again and succeeds",
            reason="RestoreIncomplete",
        )


class _Counted:
    """Blocks that are counted and hashed on their way."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.size = 0
        self.digest = hashlib.sha256()

    def blocks(self) -> Iterator[bytes]:
        """The same blocks."""
        for block in self._blocks:
            self.size += len(block)
            self.digest.update(block)
            yield block


def _left(store: StoreResult, *, findings: bool) -> list[str]:
    """Why a database cannot be opened yet; nothing: all that is past its time is gone."""
    if store.outcome is not Outcome.SUCCEEDED or store.evidence is None:
        return [f"{store.purpose}: {store.message or 'the run did not succeed: ' + store.outcome.value}"]
    told = [_still_due(each) or (_found(each) if findings else None) for each in store.evidence.categories]
    return [f"{store.purpose}: {why}" for why in told if why is not None]


def _still_due(category: CategoryEvidence) -> str | None:
    """Of a run that succeeded: a record that waits for its content, as in any night, is no reason."""
    if category.residue is None:
        return f"{category.category} has rows that nobody could count"
    if category.residue > category.skipped:
        return f"{category.category} has {category.residue} rows that are past their time and could not go yet"
    if category.anonymize_due is not None and category.anonymize_residue is None:
        return f"{category.category} has rows of which nobody could count whether they still have to be anonymized"
    return None


def _found(category: CategoryEvidence) -> str | None:
    found = (category.against_consent or 0) + (category.unmasked or 0) + (category.unapproved or 0)
    return f"{category.category} has {found} rows that may not be stored" if found else None


def _refused(text: str) -> Invalid:
    return Invalid(text, reason="RestoreRefused")
