"""A restore of several databases that died between opening one and the next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tenant_retention.adapters.sealing import signed
from tenant_retention.domain.backups import Manifest, RestoreProgress, StoredCopy, key_id, manifest_key
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.backups import BackupBucket, RestoreTarget
from tenant_retention.enforcement.restoring import RestoreStores, restore
from tests.support.enforcement import RecordedWorld, archive, plan_of

KEY = bytes(32)
BACKUP = "20260101T000000Z-00000000"


class _Bucket:
    def __init__(self) -> None:
        definition = archive()
        facts = {name: getattr(definition, name) for name in ("installation", "namespace", "policy")}
        made = Manifest(
            backup_id=BACKUP,
            taken_at=RecordedWorld().world().now(),
            rules_digest="any",
            key_id=key_id(KEY),
            places=("Analytical", "Dialogue"),
            **facts,
        )
        self._content = signed(made.model_dump_json(), KEY)

    def objects(self) -> Iterator[StoredCopy]:
        yield StoredCopy(manifest_key(BACKUP), None, None, 1)

    @contextlib.contextmanager
    def read(self, key: str) -> Iterator[Iterator[bytes]]:
        yield iter([self._content])


class _Target:
    """Remembers what it was asked; ``check`` refuses as a database with rows does."""

    def __init__(self, progress: RestoreProgress) -> None:
        self.told = progress
        self.asked: list[str] = []

    def progress(self, backup_id: str) -> RestoreProgress:
        return self.told

    def check(self, rules_digest: str, backup_id: str) -> None:
        if self.told is not RestoreProgress.LOADING:
            raise Invalid("has rows", reason="RestoreRefused")

    def loaded(self) -> frozenset[int]:
        return frozenset()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.asked.append(name)


def _restore(analytical: _Target, dialogue: _Target) -> None:
    targets = cast("dict[str, RestoreTarget]", {"Analytical": analytical, "Dialogue": dialogue})

    def replay(run_id: object) -> Any:
        raise NotReady("far enough", reason="Interrupted")

    stores = RestoreStores(targets, cast("BackupBucket", _Bucket()), KEY)
    restore(plan_of(archive()), stores, replay, BACKUP, RecordedWorld().world())


def test_a_database_that_was_opened_before_the_kill_keeps_no_other_one_closed__T6() -> None:
    opened, closed = _Target(RestoreProgress.OPENED), _Target(RestoreProgress.LOADING)
    with pytest.raises(NotReady, match="far enough"):
        _restore(opened, closed)
    assert opened.asked == []
    assert closed.asked == ["close_to_applications", "approve"]


def test_a_database_that_came_back_earlier_is_not_skipped_where_no_restore_is_under_way__T6() -> None:
    opened, lost = _Target(RestoreProgress.OPENED), _Target(RestoreProgress.NONE)
    with pytest.raises(Invalid, match="has rows"):
        _restore(opened, lost)
