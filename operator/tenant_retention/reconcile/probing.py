"""Trying each role of a policy where it must be refused, a few places at a time; what this process knows of it (section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.isolation import ProbeReport
from tenant_retention.domain.ports.cluster import Manifest
from tenant_retention.reconcile.buckets import BucketResult, Buckets
from tenant_retention.reconcile.databases import DatabaseResult, Databases

PROBE_AGAIN = timedelta(minutes=15)


@dataclass
class Isolation:
    """``breaches``: what the last look found, None before the first. ``told``: what a process before told, which stands
    until this one has been everywhere itself."""

    told: tuple[str, ...] = ()
    breaches: tuple[str, ...] | None = None
    _looked: tuple[str, datetime] | None = None
    _reports: dict[str, ProbeReport] = field(default_factory=dict)
    _tried: dict[str, int] = field(default_factory=dict)

    async def look(
        self,
        databases: Databases,
        buckets: Buckets,
        results: Sequence[DatabaseResult | BucketResult],
        state: str,
        now: datetime,
    ) -> None:
        """Tries the logins and keys elsewhere: after every change of the stores (``state``), and every quarter of an hour."""
        if self._looked is not None and self._looked[0] == state and now - self._looked[1] < PROBE_AGAIN:
            return
        try:
            for result in results:
                if isinstance(result, DatabaseResult):
                    await self._next_databases(databases, result)
                else:
                    await buckets.probe(result)
        except NotReady:
            # A key that the store does not know yet: the next reconcile tries again.
            return
        found = tuple(breach for result in results for breach in result.breaches or ())
        if not found and all(self._tried[purpose] >= report.others for purpose, report in self._reports.items()):
            self.told = ()
        self.breaches = found or self.told
        self._looked = (state, now)

    def probed(self) -> tuple[int, int]:
        """How many databases of others the last look tried, of how many."""
        reports = self._reports.values()
        return sum(found.tried for found in reports), sum(found.others for found in reports)

    async def _next_databases(self, databases: Databases, result: DatabaseResult) -> None:
        """The next few databases of others; the same ones again until what was found there is mended."""
        purpose = result.store.wanted.purpose
        before = self._reports.get(purpose)
        # A new process begins at the tenant's own name: many tenants begin everywhere.
        after = before.last if before is not None else result.store.entry.spec.name
        report = await databases.probe(result, after)
        if report is not None:
            self._tried[purpose] = self._tried.get(purpose, 0) + (0 if report.breaches else report.tried)
            self._reports[purpose] = replace(report, last=after) if report.breaches else report


def told_before(manifest: Manifest) -> tuple[str, ...]:
    """What the policy's status says of broken isolation."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return tuple(str(found["message"]) for found in conditions if found["reason"] == Reason.ISOLATION_BROKEN)
