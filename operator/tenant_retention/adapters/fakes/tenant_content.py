"""The content part of the in-memory tenant database: claims on objects on their way out, locks on those that are too young."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from tenant_retention.adapters.fakes.tenant_findings import TenantFindings
from tenant_retention.adapters.fakes.tenant_requests import TenantRequests
from tenant_retention.adapters.fakes.tenant_server import Claimed, ObjectName, Row
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.object_keys import folded_version
from tenant_retention.domain.orphans import ObjectRow
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import Claim, LockBatch, NamedObject, ObjectLock


class TenantContent(TenantFindings, TenantRequests):
    """See ``EnforcementDatabase`` for each method."""

    def claim_content(self, run_id: UUID, category: str, limit: int) -> tuple[Claim, ...]:
        run = self._begun(run_id, category)
        server = self._server
        found = server.definition.category(category)
        due = {id(row) for row in [*self._due_unheld(found), *self._unwanted(found), *self._asked(found, "Delete")]}
        # A claim on what a staying row names by now is dropped.
        shared = [claim_id for claim_id, claim in server.claims.items() if self._named_by_others(claim)]
        for claim_id in shared:
            del server.claims[claim_id]
        claimed = {id(claim.row) for claim in server.claims.values()}
        for row in server.rows_of(found):
            if row.key is None or id(row) not in due or id(row) in claimed or self._locked_out(found, row):
                continue
            claim = Claimed(row, row.key, row.version)
            if not self._named_by_others(claim):
                self._server.last_claim += 1
                server.claims[self._server.last_claim] = claim
        # What this run was already given but never answered for (a lost reply) is given again.
        open_claims = [
            (claim_id, claim)
            for claim_id, claim in sorted(server.claims.items())
            if claim.row.table in found.tables and claim_id not in run.released
        ]
        if not open_claims:
            self._remove(category, [row for row in self._due_unheld(found) if self._goes_alone(row)])
        return tuple(
            Claim(claim_id=claim_id, key=claim.key, version=claim.version) for claim_id, claim in open_claims[:limit]
        )

    def confirm_claims(self, run_id: UUID, claim_ids: Sequence[int]) -> int:
        run = self._current(run_id)
        claims = [claim for claim_id in claim_ids if (claim := self._server.claims.pop(claim_id, None)) is not None]
        # A row that names another object by now is claimed anew: that object is still there.
        rows = [claim.row for claim in claims if (claim.row.key, claim.row.version) == (claim.key, claim.version)]
        for category in self._server.categories():
            mine = [row for row in rows if row.table in category.tables]
            asked = [row for row in mine if row in self._asked(category, "Delete")]
            self._remove_requested(run, category.name, asked)
            mine = [row for row in mine if row not in asked]
            unwanted = [row for row in mine if row in self._unwanted(category)]
            run.cleared[category.name] = run.cleared.get(category.name, 0) + len(unwanted)
            self._server.rows = [row for row in self._server.rows if row not in unwanted]
            self._remove(category.name, [row for row in mine if row not in unwanted])
            run.objects[category.name] = run.objects.get(category.name, 0) + len(mine) - len(unwanted)
        return len(rows)

    def release_claims(self, run_id: UUID, failures: Iterable[tuple[int, str]]) -> None:
        run = self._current(run_id)
        for claim_id, _ in failures:
            run.released.add(claim_id)
            claim = self._server.claims.get(claim_id)
            for category in self._server.categories():
                if claim is not None and claim.row.table in category.tables:
                    run.failed[category.name] = run.failed.get(category.name, 0) + 1

    def objects_named_here(self, run_id: UUID, objects: Sequence[ObjectRow]) -> tuple[NamedObject, ...]:
        run = self._server.run
        if run is None or run.run_id != run_id or run.mode is not Mode.ENFORCE:
            raise Invalid(f"run {run_id} is not open", reason="RunNotOpen")
        if self._server.suspended:
            raise NotReady("the policy is suspended, or its store was released", reason="Suspended")
        found = []
        for place, each in enumerate(objects):
            staying = [row for row in self._staying(each.key) if _one_version(row.version, each.version)]
            if staying:
                in_part = each.version is None and any(row.version is not None for row in staying)
                found.append(NamedObject(place=place, in_part=in_part))
        return tuple(found)

    def objects_to_lock(self, run_id: UUID, category: str, resume_from: datetime | None, limit: int) -> LockBatch:
        run = self._current(run_id)
        server = self._server
        found = server.definition.category(category)
        if found.minimum is None:
            return LockBatch(locks=(), resume_from=None)
        minimum = Period.parse(found.minimum)
        wanted: dict[ObjectName, datetime] = {}
        for row in server.rows_of(found):
            name, clock = (category, row.key or "", row.version), server.clock(found, row)
            # What has not begun yet is locked for a whole minimum from now.
            until = end_of_period(min(clock or run.now, run.now), minimum)
            if row.key and until > run.now and name not in run.refused_locks and not server.unwanted(found, row):
                wanted[name] = max(until, wanted.get(name, until))
        missing = [(name, until) for name, until in wanted.items() if server.locks.get(name, run.now) < until][:limit]
        locks = []
        for name, until in missing:
            lock_id = len(server.asked_locks) + 1
            server.asked_locks[lock_id] = (name, until)
            locks.append(ObjectLock(lock_id=lock_id, key=name[1], version=name[2], until=until))
        return LockBatch(locks=tuple(locks), resume_from=run.now if len(missing) == limit else None)

    def record_locks(self, run_id: UUID, category: str, outcomes: Iterable[tuple[int, str | None]]) -> None:
        run = self._current(run_id)
        for lock_id, error in outcomes:
            name, until = self._server.asked_locks[lock_id]
            if error is None and self._server.locks.get(name) != until:
                self._server.locks[name] = until
                run.locked[category] = run.locked.get(category, 0) + 1
            elif error is not None and name not in run.refused_locks:
                run.refused_locks.add(name)
                run.failed[category] = run.failed.get(category, 0) + 1

    def _named_by_others(self, claim: Claimed) -> bool:
        """Whether a row that stays in this run names the object as well: it is as young as the youngest of them (M8)."""
        return any(_one_version(other.version, claim.version) for other in self._staying(claim.key))

    def _unwanted(self, category: CategoryDefinition) -> list[Row]:
        """What goes without consent before it is due, with its object (P10)."""
        due = self._due_unheld(category)
        return [row for row in self._clearable(category) if self._server.unwanted(category, row) and row not in due]

    def _goes_alone(self, row: Row) -> bool:
        """A due row whose object goes with a staying row; not where that one means one version and this one all of them."""
        if row.key is None or not self._named_by_others(Claimed(row, row.key, row.version)):
            return False
        return row.version is not None or all(other.version is None for other in self._staying(row.key))

    def _staying(self, key: str) -> list[Row]:
        goes = {
            id(row)
            for category in self._server.categories()
            for row in [*self._due_unheld(category), *self._unwanted(category), *self._asked(category, "Delete")]
        }
        return [row for row in self._server.rows if row.key == key and id(row) not in goes]


def _one_version(one: str | None, other: str | None) -> bool:
    """Whether both may mean the same version; None: all of them."""
    return one is None or other is None or folded_version(one) == folded_version(other)
