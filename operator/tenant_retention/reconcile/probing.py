"""Trying each role of a policy where it must be refused, a few places at a time; what this process knows of it (section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.isolation import ProbeReport
from tenant_retention.domain.ports.cluster import Manifest
from tenant_retention.reconcile.buckets import BucketResult, Buckets
from tenant_retention.reconcile.caches import CacheResult, Caches
from tenant_retention.reconcile.databases import DatabaseResult, Databases

PROBE_AGAIN = timedelta(minutes=15)
STORES_A_LOOK = 16
"""Stores of one policy whose roles one look tries: each of them tries many places, and there may be hundreds of units."""


@dataclass(frozen=True)
class Prober:
    """Tries the logins of every kind of store."""

    databases: Databases
    buckets: Buckets
    caches: Caches

    async def probe(self, result: DatabaseResult | BucketResult | CacheResult, after: str) -> ProbeReport | None:
        """One look at one store; None where it is not ready."""
        if isinstance(result, DatabaseResult):
            return await self.databases.probe(result, after)
        if isinstance(result, CacheResult):
            return await self.caches.probe(result)
        return await self.buckets.probe(result, after)


@dataclass
class Isolation:
    """``breaches``: what the last look found, None before the first. ``told``: what a process before told, which stands
    until this one has been everywhere itself."""

    told: tuple[str, ...] = ()
    breaches: tuple[str, ...] | None = None
    _looked: tuple[str, datetime] | None = None
    _reports: dict[str, ProbeReport] = field(default_factory=dict)
    _tried: dict[str, int] = field(default_factory=dict)
    _breached: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _at: dict[str, datetime] = field(default_factory=dict)

    async def look(
        self,
        prober: Prober,
        results: Sequence[DatabaseResult | BucketResult | CacheResult],
        state: str,
        now: datetime,
    ) -> None:
        """Tries the logins and keys elsewhere: after every change of the stores (``state``), and every quarter of an hour."""
        if self._looked is not None and self._looked[0] == state and now - self._looked[1] < PROBE_AGAIN:
            return
        try:
            for result in self._in_turn(results):
                purpose = result.store.wanted.place.name
                after = self._after(purpose, result.store.entry.spec.name)
                self._note(purpose, after, await prober.probe(result, after))
                self._at[purpose], self._breached[purpose] = now, result.breaches or ()
        except NotReady:
            # A key that the store does not know yet: the next reconcile tries again.
            return
        here = [result.store.wanted.place.name for result in results]
        # A store that the policy has no more says nothing of today.
        self._reports = {name: report for name, report in self._reports.items() if name in here}
        found = tuple(breach for name in here for breach in self._breached.get(name, ()))
        if not found and all(self._tried[purpose] >= report.others for purpose, report in self._reports.items()):
            self.told = ()
        self.breaches = found or self.told
        self._looked = (state, now)

    def _in_turn(
        self, results: Sequence[DatabaseResult | BucketResult | CacheResult]
    ) -> list[DatabaseResult | BucketResult | CacheResult]:
        """A few of the stores, those first that were not tried yet, then those that were tried longest ago."""
        never = datetime.min.replace(tzinfo=UTC)
        return sorted(results, key=lambda result: self._at.get(result.store.wanted.place.name, never))[:STORES_A_LOOK]

    def pause(self) -> None:
        """Nothing can be tried for now: what was refused before says nothing of today; what was open still counts as open."""
        self.breaches = self.breaches or None
        self._looked = None

    def found(self) -> tuple[str, ...] | None:
        """What is to be told: what the last look found; before the first, what a process before told; None if nothing did."""
        return self.told or None if self.breaches is None else self.breaches

    def probed(self) -> tuple[int, int]:
        """How many databases and buckets of others the last look tried, of how many."""
        reports = self._reports.values()
        return sum(found.tried for found in reports), sum(found.others for found in reports)

    def _after(self, purpose: str, own: str) -> str:
        """Where the next look goes on. A new process begins at the tenant's own name: many tenants begin everywhere."""
        before = self._reports.get(purpose)
        return before.last if before is not None else own

    def _note(self, purpose: str, after: str, report: ProbeReport | None) -> None:
        """Goes on behind what was tried; the same ones again until what was found there is mended."""
        if report is not None:
            self._tried[purpose] = self._tried.get(purpose, 0) + (0 if report.breaches else report.tried)
            self._reports[purpose] = replace(report, last=after) if report.breaches else report


def told_before(manifest: Manifest) -> tuple[str, ...]:
    """What the policy's status says of broken isolation."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return tuple(str(found["message"]) for found in conditions if found["reason"] == Reason.ISOLATION_BROKEN)
