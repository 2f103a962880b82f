"""A tenant's database in memory: the same contracts as the real ones, for tests of the engine.

``TenantServer`` is the server's side (what survives a killed client); each ``InMemoryEnforcementDatabase`` is one session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tenant_retention.adapters.fakes.tenant_server import (
    LARGEST_SKEW,
    Claimed,
    ObjectName,
    Row,
    Run,
    TenantServer,
    chained,
)
from tenant_retention.domain.definition import CategoryDefinition, ClockEvent
from tenant_retention.domain.durations import Period, cutoff, end_of_period
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import (
    CategoryEvidence,
    CategoryRun,
    Claim,
    GuardState,
    LockBatch,
    ObjectLock,
    PartitionStep,
    PartitionStepKind,
    RangeBatch,
    RunEvidence,
)

GUARD_FLOOR = 10
"""Newly due rows that never trip the guard."""
_NO_DIGEST = "sha256:" + "0" * 64


class InMemoryEnforcementDatabase:
    """One enforcer session over a ``TenantServer``; ``close`` is what a killed client's server does for it."""

    def __init__(self, server: TenantServer) -> None:
        self._server = server

    def close(self) -> None:
        """Ends the session: its run lock goes, its run stays unfinished."""
        if self._server.running is self:
            self._server.running = None

    def begin_run(self, run_id: UUID, mode: Mode, rules_digest: str, own_clock: datetime) -> tuple[CategoryRun, ...]:
        server = self._server
        if rules_digest != server.definition.rules_digest():
            raise Invalid(
                "rulesDigest: the database enforces other rules by now", reason="RulesChanged", field="rulesDigest"
            )
        if server.suspended and mode is Mode.ENFORCE:
            raise NotReady("the policy is suspended, or its store was released", reason="Suspended")
        if abs(own_clock - server.now()) > LARGEST_SKEW:
            raise NotReady("the clocks of this machine and of the database differ by over a minute", reason="ClockSkew")
        if server.running not in (None, self):
            raise NotReady("another run is under way in this database", reason="RunInProgress")
        again = server.run is not None and server.run.run_id == run_id
        if mode is Mode.ENFORCE and not again:
            server.check_clock()
        if server.run and not server.run.finished and server.run.run_id != run_id:
            self._append("Interrupted")
        now = min(own_clock, server.now())
        server.running = self
        if mode is Mode.ENFORCE and not again:
            server.enforced_at = now
        asked = tuple(self._category_run(category, now) for category in server.categories())
        approval = self._approval(sum(run.surplus for run in asked), now)
        runs = asked
        if approval is not None:
            runs = tuple(self._through(run, now) if run.guard is GuardState.TRIPPED else run for run in asked)
        server.run = Run(run_id, mode, rules_digest, now, {run.category: run for run in runs}, approval)
        server.run.approved = {run.category: run.surplus for run in asked}
        return runs

    def ensure_partitions(self, run_id: UUID) -> int:
        self._current(run_id)
        return 0

    def finish_detached(self, run_id: UUID) -> int:
        self._current(run_id)
        dropped = len(self._server.detached)
        self._server.detached.clear()
        return dropped

    def partition_steps(self, run_id: UUID, category: str) -> tuple[PartitionStep, ...]:
        self._begun(run_id, category)
        found = self._server.definition.category(category)
        by_partition: dict[tuple[int, str, str], list[Row]] = {}
        for row in self._planned(found):
            place = (found.tables.index(row.table), row.born_at.strftime("%Y%m"), row.table)
            by_partition.setdefault(place, []).append(row)
        return tuple(
            PartitionStep(
                kind=self._kind(found, table, month),
                category=category,
                table=table,
                partition=f"{table}_p{month}",
                rows=len(rows),
            )
            for (_, month, table), rows in sorted(by_partition.items())
        )

    def expire_partition(self, run_id: UUID, step: PartitionStep) -> int:
        gone = self._rows_of_step(run_id, step)
        if step.kind is PartitionStepKind.DETACH and gone:
            self._server.detached.append(step.partition)
        return self._remove(step.category, gone)

    def expire_range(self, run_id: UUID, step: PartitionStep, resume_after: datetime | None, limit: int) -> RangeBatch:
        found = self._server.definition.category(step.category)
        rows = sorted(
            self._rows_of_step(run_id, step),
            key=lambda row: (self._server.clock(found, row) or row.born_at, row.identity),
        )
        rest = [
            row
            for row in rows
            if resume_after is None or (self._server.clock(found, row) or row.born_at) > resume_after
        ]
        if not rest:
            return RangeBatch(deleted=0, resume_after=None)
        last = self._server.clock(found, rest[:limit][-1])
        # Rows of one instant go together: the next batch begins after it.
        batch = [row for row in rest if (self._server.clock(found, row) or row.born_at) <= (last or row.born_at)]
        return RangeBatch(
            deleted=self._remove(step.category, batch), resume_after=last if len(batch) < len(rest) else None
        )

    def claim_content(self, run_id: UUID, category: str, limit: int) -> tuple[Claim, ...]:
        run = self._begun(run_id, category)
        server = self._server
        found = server.definition.category(category)
        due = {id(row) for row in self._due_unheld(found)}
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
        self._current(run_id)
        claims = [claim for claim_id in claim_ids if (claim := self._server.claims.pop(claim_id, None)) is not None]
        # A row that names another object by now is claimed anew: that object is still there.
        rows = [claim.row for claim in claims if (claim.row.key, claim.row.version) == (claim.key, claim.version)]
        for category in self._server.categories():
            self._remove(category.name, [row for row in rows if row.table in category.tables])
        return len(rows)

    def release_claims(self, run_id: UUID, failures: Iterable[tuple[int, str]]) -> None:
        run = self._current(run_id)
        for claim_id, _ in failures:
            run.released.add(claim_id)
            claim = self._server.claims.get(claim_id)
            for category in self._server.categories():
                if claim is not None and claim.row.table in category.tables:
                    run.failed[category.name] = run.failed.get(category.name, 0) + 1

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
            if row.key and until > run.now and name not in run.refused_locks:
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

    def record_failure(self, run_id: UUID, category: str, reason: str) -> None:
        run = self._known(run_id)
        run.failed[category] = run.failed.get(category, 0) + 1

    def finish_run(self, run_id: UUID) -> RunEvidence:
        run = self._known(run_id)
        if not run.finished:
            self._append(self._outcome(run))
            run.finished = True
            if run.mode is Mode.ENFORCE:
                self._server.executed |= {category.name: category for category in self._executed(run)}
        self.close()
        return self._server.evidence[-1]

    def _known(self, run_id: UUID) -> Run:
        server = self._server
        run = server.run
        if run is None or run.run_id != run_id:
            raise Invalid(f"run {run_id} is not open", reason="RunNotOpen")
        if server.running not in (None, self) and not run.finished:
            raise NotReady("another session is in this run", reason="RunInProgress")
        return run

    def _begun(self, run_id: UUID, category: str) -> Run:
        run = self._current(run_id)
        run.begun.add(category)
        return run

    def _current(self, run_id: UUID) -> Run:
        run = self._known(run_id)
        if self._server.suspended and run.mode is Mode.ENFORCE:
            raise NotReady("the policy is suspended, or its store was released", reason="Suspended")
        return run

    def _category_run(self, category: CategoryDefinition, now: datetime) -> CategoryRun:
        server = self._server
        bounds = server.cutoffs(category, now)
        executed = server.executed.get(category.name)
        before = server.cutoffs(executed, now).remove if executed else None
        due = [row for row in server.due(category, bounds.remove) if not server.held(category, row)]
        already = {id(row) for row in server.due(category, before)}
        newly = [row for row in due if id(row) not in already]
        total = len(server.rows_of(category))
        guard, through = GuardState.CLEAR, bounds.remove
        if len(newly) > GUARD_FLOOR and 100 * len(newly) > server.definition.guard_percent * total:
            guard = GuardState.TRIPPED
            through = min((bound for bound in (before, bounds.remove) if bound), default=None) if before else None
        surplus = len(newly) if guard is GuardState.TRIPPED else 0
        clocks = [clock for row in server.rows_of(category) if (clock := server.clock(category, row))]
        return CategoryRun(
            category=category.name,
            remove_through=through,
            total=total,
            candidates=len(due) - surplus,
            surplus=surplus,
            held=len(server.due(category, bounds.remove)) - len(due),
            overdue=len(server.due(category, bounds.overdue)),
            anomalies=sum(clock > now for clock in clocks),
            oldest=min(clocks, default=None),
            guard=guard,
        )

    def _approval(self, asking: int, now: datetime) -> int | None:
        """The place of an approval of these rules that still allows for all rows of the tripped categories together."""
        server = self._server
        digest = server.definition.rules_digest()
        for place, approval in enumerate(server.approvals):
            room = approval.max_rows - server.spent.get(place, 0)
            if asking and approval.rules_digest == digest and approval.until > now and room >= asking:
                return place
        return None

    def _through(self, run: CategoryRun, now: datetime) -> CategoryRun:
        bounds = self._server.cutoffs(self._server.definition.category(run.category), now)
        return run.model_copy(
            update={
                "guard": GuardState.APPROVED,
                "remove_through": bounds.remove,
                "candidates": run.candidates + run.surplus,
                "surplus": 0,
            }
        )

    def _executed(self, run: Run) -> Iterator[CategoryDefinition]:
        """Categories whose rules this run carried out; an approved one only if it came to its end."""
        for category in self._server.categories():
            start = run.categories[category.name]
            wholly = not run.failed.get(category.name) and run.acted.get(category.name, 0) >= start.candidates
            if start.guard is GuardState.CLEAR or (start.guard is GuardState.APPROVED and wholly):
                yield category

    def _outcome(self, run: Run) -> str:
        if any(run.failed.values()):
            return "Failed"
        passed_over = any(start.candidates and name not in run.begun for name, start in run.categories.items())
        if run.mode is Mode.ENFORCE and (passed_over or not run.begun):
            return "Incomplete"
        if run.mode is Mode.ENFORCE and any(
            not self._server.waits_for_content(category, row) and not self._locked_out(category, row)
            for category in self._server.categories()
            for row in self._due_unheld(category)
        ):
            return "Incomplete"
        tripped = any(category.guard is GuardState.TRIPPED for category in run.categories.values())
        return "ApprovalRequired" if tripped and run.mode is Mode.ENFORCE else "Succeeded"

    def _due_unheld(self, category: CategoryDefinition) -> list[Row]:
        run = self._server.run
        through = run.categories[category.name].remove_through if run else None
        return [row for row in self._server.due(category, through) if not self._server.held(category, row)]

    def _named_by_others(self, claim: Claimed) -> bool:
        """Whether a row that stays in this run names the object as well: it is as young as the youngest of them (M8)."""
        return any(
            claim.version is None or other.version in (None, claim.version) for other in self._staying(claim.key)
        )

    def _goes_alone(self, row: Row) -> bool:
        """A due row whose object goes with a staying row; not where that one means one version and this one all of them."""
        if row.key is None or not self._named_by_others(Claimed(row, row.key, row.version)):
            return False
        return row.version is not None or all(other.version is None for other in self._staying(row.key))

    def _staying(self, key: str) -> list[Row]:
        goes = {id(row) for category in self._server.categories() for row in self._due_unheld(category)}
        return [row for row in self._server.rows if row.key == key and id(row) not in goes]

    def _locked_out(self, category: CategoryDefinition, row: Row) -> bool:
        """Whether the bucket is known to keep the row's object, by a longer min than today's."""
        until = self._server.locks.get((category.name, row.key or "", row.version))
        return until is not None and until > self._server.now()

    def _planned(self, category: CategoryDefinition) -> list[Row]:
        """What goes by steps: rows that name objects go by claims. The same for a dry run and the real one (X7)."""
        return [row for row in self._due_unheld(category) if row.key is None]

    def _removable(self, category: CategoryDefinition) -> list[Row]:
        """What may go right now: records wait for their content (P4)."""
        return [row for row in self._planned(category) if not self._server.waits_for_content(category, row)]

    def _rows_of_step(self, run_id: UUID, step: PartitionStep) -> list[Row]:
        run = self._begun(run_id, step.category)
        if run.mode is not Mode.ENFORCE:
            raise Invalid("a dry run deletes nothing", reason="DryRun")
        found = self._server.definition.category(step.category)
        return [row for row in self._removable(found) if f"{row.table}_p{row.born_at:%Y%m}" == step.partition]

    def _kind(self, category: CategoryDefinition, table: str, month: str) -> PartitionStepKind:
        run = self._server.run
        rows = [row for row in self._server.rows if row.table == table and f"{row.born_at:%Y%m}" == month]
        through = run.categories[category.name].remove_through if run else None
        first_of_next = (datetime.strptime(month, "%Y%m").replace(tzinfo=UTC) + timedelta(days=31)).replace(day=1)
        by_birth = category.clock_event is ClockEvent.CREATED
        whole = by_birth and through is not None and first_of_next <= through
        if not whole or len(rows) != sum(row in rows for row in self._planned(category)):
            return PartitionStepKind.RANGE
        back = cutoff(self._server.now(), Period.parse(self._server.definition.table(table).back))
        return PartitionStepKind.DETACH if first_of_next <= back else PartitionStepKind.TRUNCATE

    def _remove(self, category: str, rows: list[Row]) -> int:
        gone = {id(row) for row in rows}
        self._server.rows = [row for row in self._server.rows if id(row) not in gone]
        run = self._server.run
        if run is not None:
            before, limit = run.acted.get(category, 0), run.approved.get(category, 0)
            run.acted[category] = before + len(rows)
            if run.approval is not None:
                spent = min(before + len(rows), limit) - min(before, limit)
                self._server.spent[run.approval] = self._server.spent.get(run.approval, 0) + spent
        return len(rows)

    def _append(self, outcome: str) -> None:
        server = self._server
        run = server.run
        if run is None:
            return
        previous = server.evidence[-1].digest if server.evidence else _NO_DIGEST
        categories = tuple(
            self._category_evidence(category, run)
            for category in server.categories()
            if category.name in run.categories
        )
        link = RunEvidence(
            sequence=len(server.evidence) + 1,
            run_id=run.run_id,
            mode=run.mode,
            outcome=outcome,
            started_at=run.now,
            finished_at=None if outcome == "Interrupted" else server.now(),
            policy_generation=server.definition.policy_generation,
            rules_digest=run.rules_digest,
            categories=categories,
            previous_digest=previous,
            digest="",
        )
        server.evidence.append(link.model_copy(update={"digest": chained(link)}))

    def _category_evidence(self, category: CategoryDefinition, run: Run) -> CategoryEvidence:
        start = run.categories[category.name]
        left = self._due_unheld(category)
        clocks = [clock for row in self._server.rows_of(category) if (clock := self._server.clock(category, row))]
        return CategoryEvidence(
            category=category.name,
            candidates=start.candidates,
            acted=run.acted.get(category.name, 0),
            held=start.held,
            skipped=sum(self._locked_out(category, row) for row in left),
            failed=run.failed.get(category.name, 0),
            locked=run.locked.get(category.name, 0),
            surplus=start.surplus,
            oldest_left=min(clocks, default=None),
            residue=len(left),
        )
