"""The nightly look through a tenant's cache: every key gets its time to live, and goes when its row is gone (T6, X3).

Nothing of a look is kept: a run that was killed is followed by one that looks from the beginning and finds less to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from tenant_retention.domain.cached_keys import KeyPlaces, longest_life
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.names import purpose_of
from tenant_retention.domain.plan_document import Mode, PlanDocument
from tenant_retention.domain.ports.cached_rows import CacheEvidence
from tenant_retention.domain.ports.caches import CachedKey, EnforcementCache
from tenant_retention.domain.ports.enforcement import EnforcementDatabase
from tenant_retention.enforcement.cached_rows import CategoryRows
from tenant_retention.enforcement.database_run import DatabaseRun
from tenant_retention.enforcement.persistence import Interrupted, Persistence
from tenant_retention.enforcement.world import Stores, World

KEYS_AT_ONCE = 1_000
"""Keys of the server that one look takes: a millisecond of a server that does one thing at a time."""
SETTLING_SECONDS = 60.0
"""An application may write a key in the middle of the transaction that makes its row: no key goes before that has ended."""
ALIKE_MILLISECONDS = 1_000
"""What ends so little later than it should was given its time by an earlier night."""
WAITING_AT_MOST = 50_000
"""Keys that are remembered until they are settled: about 10 MiB."""

_Keys = dict[str, list[bytes]]
"""The names of keys by the value of the row that they are about."""


@dataclass
class _Waiting:
    since: float
    keys: _Keys


@dataclass
class _Tally:
    """One category's counts under way. ``waiting``: keys without a row, to be asked for once more."""

    keys: int = 0
    unlimited: int = 0
    limited: int = 0
    due: int = 0
    removed: int = 0
    held: int = 0
    unmapped: int = 0
    waiting: deque[_Waiting] = field(default_factory=deque)

    def evidence(self, category: str, failure: str | None) -> CacheEvidence:
        left = None if failure else self.due - self.removed
        counts = {
            name: getattr(self, name) for name in ("keys", "unlimited", "limited", "due", "removed", "held", "unmapped")
        }
        return CacheEvidence(category=category, **counts, residue=left, failure=failure)


def sweep_caches(
    plan: PlanDocument, stores: Stores, runs: Mapping[str, DatabaseRun], run_id: UUID, world: World
) -> tuple[CacheEvidence, ...]:
    """Looks through every cache of the run, whose databases are under way; what came of it, which is part of their evidence."""
    purposes = {purpose_of(name) for name in stores.databases}
    categories = [
        each
        for each in plan.definition.categories
        if each.cache is not None
        and each.database in purposes
        and (not plan.categories or each.name in plan.categories)
    ]
    if not categories or world.stopping():
        return ()
    databases = {name: database for name, run in runs.items() if (database := run.under_way()) is not None}
    told: list[CacheEvidence] = []
    for purpose, cache in stores.caches.items():
        try:
            told += CacheSweep(plan, categories, cache, databases, run_id, world).result()
        except Interrupted:
            # No evidence: the run itself says that it was interrupted.
            return ()
        world.journal.tell("cache.swept", cache=purpose, keys=sum(each.keys for each in told))
    return tuple(told)


class CacheSweep:
    """One look through one cache."""

    def __init__(
        self,
        plan: PlanDocument,
        categories: Sequence[CategoryDefinition],
        cache: EnforcementCache,
        databases: Mapping[str, EnforcementDatabase],
        run_id: UUID,
        world: World,
    ) -> None:
        self._enforces = plan.mode is Mode.ENFORCE
        self._all = plan.definition.categories
        self._margin = timedelta(seconds=plan.definition.margin_seconds)
        self._categories = {each.name: each for each in categories}
        self._cache = cache
        self._world = world
        self._persistence = Persistence(world)
        self._rows = {
            each.name: CategoryRows(each, plan.definition, databases, run_id, self._persistence) for each in categories
        }
        self._tallies = {name: _Tally() for name in self._categories}
        self._uncovered = _Tally()
        self._failures: dict[str, str] = {}

    def result(self) -> tuple[CacheEvidence, ...]:
        """Does all of it and records it. Raises Interrupted between two acts when asked to stop."""
        failure = None
        try:
            self._look()
        except RetentionError as error:
            self._world.journal.tell("cache.failed", reason=error.reason)
            failure = error.reason
        recorded = [
            self._rows[name].record(tally.evidence(name, failure or self._failures.get(name)))
            for name, tally in self._tallies.items()
        ]
        if self._uncovered.keys:
            # Of several databases the first one tells what is nobody's.
            recorded.append(self._rows[min(self._rows)].record(self._uncovered.evidence("", failure)))
        return tuple(recorded)

    def _look(self) -> None:
        places = KeyPlaces(self._cache.prefix, self._all)
        cursor = 0
        while True:
            self._persistence.go_on()
            page = self._persistence.patiently(self._cache.keys, cursor, KEYS_AT_ONCE)
            sorted_: dict[str | None, dict[str | None, list[CachedKey]]] = {}
            for key in page.keys:
                place = places.place(key.name)
                sorted_.setdefault(place.category, {}).setdefault(place.value, []).append(key)
            for category, by_value in sorted_.items():
                if category is None:
                    self._uncovered.keys += _count(by_value.values())
                elif category in self._categories and category not in self._failures:
                    self._attempt(category, by_value)
            for name in self._tallies:
                self._settle(name, wait=False)
            cursor = page.cursor
            if cursor == 0:
                break
        for name in self._tallies:
            self._settle(name, wait=True)

    def _attempt(self, name: str, by_value: dict[str | None, list[CachedKey]]) -> None:
        """One page of one category: whoever has a row lives so long, whoever has none is asked for once more later."""
        category, tally = self._categories[name], self._tallies[name]
        tally.keys += _count(by_value.values())
        is_about_rows = category.cache is not None and category.cache.table is not None
        values = [value for value in by_value if value is not None] if is_about_rows else []
        try:
            known = self._rows[name].ask(values)
        except RetentionError as error:
            self._failed(name, error)
            return
        staying: dict[datetime | None, list[CachedKey]] = {}
        held: list[CachedKey] = []
        gone: _Keys = {}
        for value, keys in by_value.items():
            if known.held or (value is not None and known.values.get(value, False)):
                held += keys
            elif value is not None and is_about_rows and value not in known.values:
                gone[value] = [key.name for key in keys]
            else:
                tally.unmapped += len(keys) if is_about_rows and value is None else 0
                staying.setdefault(known.clocks.get(value or ""), []).extend(keys)
        tally.held += len(held)
        self._let_live(category, staying)
        self._keep(held)
        if gone:
            tally.due += sum(map(len, gone.values()))
            tally.waiting.append(_Waiting(self._world.elapsed(), gone))

    def _let_live(self, category: CategoryDefinition, keys: Mapping[datetime | None, list[CachedKey]]) -> None:
        """``keys``: by the clock of their rows; None: about none, or it has not started."""
        tally, now = self._tallies[category.name], self._world.now()
        lives: dict[bytes, int] = {}
        for clock, found in keys.items():
            life = longest_life(category, self._margin, now, clock)
            if life is None:
                continue
            longest = int(life.total_seconds() * 1000)
            tally.unlimited += sum(key.milliseconds is None for key in found)
            for key in found:
                if key.milliseconds is None or key.milliseconds > longest + ALIKE_MILLISECONDS:
                    lives[key.name] = longest
        if lives and self._enforces:
            tally.limited += self._persistence.patiently(self._cache.limit_life, lives)

    def _keep(self, keys: list[CachedKey]) -> None:
        """What is held ends by nobody, not even by a time to live of its application (X3)."""
        ending = [key.name for key in keys if key.milliseconds is not None]
        if ending and self._enforces:
            self._persistence.patiently(self._cache.keep, ending)

    def _settle(self, name: str, *, wait: bool) -> None:
        """Removes keys whose row is still not there after a while. ``wait``: for all of them, else for what is too much."""
        tally = self._tallies[name]
        while tally.waiting and name not in self._failures:
            rest = tally.waiting[0].since + SETTLING_SECONDS - self._world.elapsed()
            if rest > 0:
                many = sum(len(keys) for each in tally.waiting for keys in each.keys.values()) > WAITING_AT_MOST
                if not (wait or many):
                    return
                self._world.pause(rest)
            self._persistence.go_on()
            self._remove(name, tally.waiting.popleft().keys)

    def _remove(self, name: str, keys: _Keys) -> None:
        tally = self._tallies[name]
        try:
            known = self._rows[name].ask(list(keys))
        except RetentionError as error:
            self._failed(name, error)
            return
        gone = [each for value in keys if value not in known.values and not known.held for each in keys[value]]
        tally.due -= sum(map(len, keys.values())) - len(gone)
        if gone and self._enforces:
            self._persistence.patiently(self._cache.remove, gone)
            # Whatever ended by itself meanwhile is gone too.
            tally.removed += len(gone)

    def _failed(self, name: str, error: RetentionError) -> None:
        self._failures[name] = error.reason
        self._world.journal.tell("cache.category.failed", category=name, reason=error.reason)


def _count(keys: Iterable[list[CachedKey]]) -> int:
    return sum(map(len, keys))
