"""A backup that is killed at any effect, or whose connections die: what has a manifest is whole, and the next run makes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from tenant_retention.domain.backups import StoredCopy, stored_backups
from tenant_retention.domain.ports.backups import BackupBucket, Written
from tenant_retention.enforcement.backing_up import BackupStores
from tenant_retention.enforcement.results import Outcome
from tests.stores.backed_up import BackedUp
from tests.stores.enforcement_archive import days_ago
from tests.stores.proxy import Side, proxied

T = TypeVar("T")


class _Killed(BaseException):
    pass


class _Deadly:
    """The bucket, until the effect of this number."""

    def __init__(self, inner: BackupBucket, number: int, when: str) -> None:
        self._inner, self._number, self._when = inner, number, when
        self._seen = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def write(self, key: str, blocks: Iterable[bytes]) -> Written:
        """As the bucket does."""
        return self._dying(lambda: self._inner.write(key, blocks))

    def remove(self, objects: Sequence[StoredCopy]) -> None:
        """As the bucket does."""
        self._dying(lambda: self._inner.remove(objects))

    def _dying(self, effect: Callable[[], T]) -> T:
        self._seen += 1
        if self._seen == self._number and self._when == "before":
            raise _Killed
        answer = effect()
        if self._seen == self._number:
            raise _Killed
        return answer


def complete(backed_up: BackedUp) -> list[str]:
    """The backups that have a manifest."""
    with ExitStack() as closing:
        found = stored_backups(backed_up.bucket(closing).objects(), datetime.now(UTC))
        return [each.backup_id for each in found if each.complete]


def arrange(backed_up: BackedUp) -> set[str]:
    """A few rows, and a backup whose time is over."""
    acme = backed_up.acme
    for day in (1, 40):
        acme.call(f"call-{day}", days_ago(day), "requests", "chat_logs")
    return acme.left()


def test_killed_at_any_effect_what_has_a_manifest_is_whole_and_the_next_run_makes_one__T6(backed_up: BackedUp) -> None:
    rows = arrange(backed_up)
    points = [(1, "before"), *((number, "after") for number in range(1, 20))]
    for number, when in points:
        backed_up.wipe()
        old = backed_up.run(20).made
        assert old is not None

        def deadly(stores: BackupStores, number: int = number, when: str = when) -> BackupStores:
            return replace(stores, bucket=_Deadly(stores.bucket, number, when))  # type: ignore[arg-type]

        try:
            backed_up.run(wrap=deadly)
        except _Killed:
            assert all(backed_up.ids(each) == rows for each in complete(backed_up)), (number, when)
            result = backed_up.run()
            assert result.outcome is Outcome.SUCCEEDED
            (made,) = complete(backed_up)
            assert backed_up.ids(made) == rows, (number, when)
        else:
            assert number > 5, "removal of files and manifest, and every file with the manifest last"
            return
    raise AssertionError("more effects than points")


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    "file",
    ["acme-analytical-backup/port", "acme-backups-app/AWS_ENDPOINT_URL", "acme-backups-enforcer/AWS_ENDPOINT_URL"],
)
def test_a_connection_that_dies_leaves_a_whole_backup_or_none_and_the_next_run_makes_one__T6(
    backed_up: BackedUp, file: str, side: Side
) -> None:
    rows = arrange(backed_up)
    with proxied(backed_up.acme.directory / file) as proxy:
        assert backed_up.run().outcome is Outcome.SUCCEEDED
        whole = proxy.counts[side]
        for number in range(2, whole + 1, max(whole // 6, 1)):
            backed_up.wipe()
            proxy.counts[side], proxy.cut = 0, (side, number)
            result = backed_up.run()
            proxy.cut = None
            assert all(backed_up.ids(each) == rows for each in complete(backed_up)), f"{side} {number} of {whole}"
            if result.made is None:
                assert result.outcome is not Outcome.SUCCEEDED, f"{side} {number} of {whole}: {result}"
                assert backed_up.run().made is not None
