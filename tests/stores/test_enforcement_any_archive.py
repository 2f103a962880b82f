"""Archives of random calls, content, holds and stubborn objects: what is left is what a model of a few lines says (P4, X3)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.domain.ports.enforcement import Claim, ObjectDeletion
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.results import Outcome
from tenant_retention.enforcement.world import Stores
from tests.stores.enforcement_archive import LiveArchive, real_world

KEEPS = {"requests": 180, "surveys": 180, "chat_logs": 30, "recordings": 14}
CONTENT = ("chat_logs", "recordings")


@dataclass(frozen=True)
class Row:
    """One row of the archive; ``session`` may be nobody's."""

    table: str
    name: str
    session: str | None
    born: datetime

    def due(self, now: datetime) -> bool:
        return self.born <= now - timedelta(days=KEEPS[self.table])


class Stubborn:
    """A bucket that does not delete some objects."""

    def __init__(self, inner: Any, keys: set[str]) -> None:
        self._inner, self._keys = inner, keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        """Refuses its favourites."""
        done = {
            found.claim_id: found
            for found in self._inner.delete_objects([c for c in claims if c.key not in self._keys])
        }
        return tuple(
            done.get(claim.claim_id) or ObjectDeletion(claim_id=claim.claim_id, error="InternalError")
            for claim in claims
        )


def random_archive(dice: random.Random, now: datetime) -> list[Row]:
    """Some hundred calls, most around a boundary or a month's end, with content born up to a day later."""
    rows = []
    for number in range(400):
        born = now - timedelta(seconds=dice.uniform(60, 440 * 86_400))
        if dice.random() < 0.3:
            born = now - timedelta(days=dice.choice((14, 30, 180))) + timedelta(hours=dice.choice((-2, -1, 1, 2)))
        elif dice.random() < 0.3:
            born = born.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(
                seconds=dice.choice((0, 1))
            )
        session = f"s{number}" if dice.random() < 0.95 else None
        tables = ["requests", *(table for table in ("surveys", *CONTENT) if dice.random() < 0.5)]
        for table in tables:
            later = timedelta(hours=dice.choice((0, 0, 5, 23))) if table in CONTENT and session else timedelta(0)
            if abs(now - timedelta(days=KEEPS[table]) - born - later) < timedelta(minutes=10):
                later += timedelta(minutes=20)
            rows.append(Row(table, f"{table}-{number}", session, min(born + later, now)))
    return rows


def write(acme: LiveArchive, rows: list[Row]) -> None:
    for table in KEEPS:
        mine = [row for row in rows if row.table == table]
        columns: tuple[str, ...] = ("id", "session_id", "started_at")
        values: list[tuple[Any, ...]] = [(row.name, row.session, row.born) for row in mine]
        if table == "recordings":
            columns += ("object_key", "object_version")
            values = [(*value, f"audio/{value[0]}", acme.put(f"audio/{value[0]}")) for value in values]
        acme.write(table, values, columns)


def left_by_the_model(rows: list[Row], now: datetime, held: set[str], stubborn: set[str]) -> set[str]:
    """Content goes when it is due, neither held nor stubborn; a record when all its content is gone; nothing else goes."""
    content = {
        row
        for row in rows
        if row.table in CONTENT and (not row.due(now) or row.session in held or f"audio/{row.name}" in stubborn)
    }
    # A record without a session knows its content by the equal birth.
    waited_for = {row.session or row.born for row in content}
    records = {
        row
        for row in rows
        if row.table not in CONTENT
        and (not row.due(now) or row.session in held or (row.session or row.born) in waited_for)
    }
    return {f"{row.table}:{row.name}" for row in content | records}


@pytest.mark.parametrize("seed", [0, 1, 100])
def test_whatever_the_archive_what_is_left_is_what_the_model_keeps__P4_X3(acme: LiveArchive, seed: int) -> None:
    dice, now = random.Random(seed), datetime.now(UTC)
    rows = random_archive(dice, now)
    write(acme, rows)
    sessions = sorted({row.session for row in rows if row.session})
    held = set(dice.sample(sessions, 15))
    for session in held:
        acme.hold(session)
    audio = [f"audio/{row.name}" for row in rows if row.table == "recordings"]
    stubborn = set(dice.sample(audio, 10))

    for refusing in (stubborn, set[str]()):
        with open_stores(acme.plan(), acme.directory) as stores:
            buckets = {name: Stubborn(bucket, refusing) for name, bucket in stores.buckets.items()}
            result = expire(acme.plan(), Stores(stores.databases, buckets), uuid4(), real_world())
        expected = left_by_the_model(rows, now, held, refusing)
        assert acme.left() == expected, (seed, acme.left() ^ expected)
        objects = acme.keys()
        assert objects == {f"audio/{name[11:]}" for name in expected if name.startswith("recordings:")}
    assert result.outcome is Outcome.SUCCEEDED
