"""A tenant's database in memory: the same contracts as the real ones, for tests of the engine.

``TenantServer`` is the server's side (what survives a killed client); each ``InMemoryEnforcementDatabase`` is one session.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tenant_retention.adapters.fakes.tenant_cached_rows import TenantCachedRows
from tenant_retention.adapters.fakes.tenant_content import TenantContent
from tenant_retention.adapters.fakes.tenant_evidence import TenantEvidence
from tenant_retention.adapters.fakes.tenant_orphans import TenantOrphans
from tenant_retention.adapters.fakes.tenant_server import GUARD_FLOOR, LARGEST_SKEW, Row, Run
from tenant_retention.domain.definition import CategoryDefinition, ClockEvent
from tenant_retention.domain.durations import Period, cutoff
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import (
    CategoryRun,
    GuardState,
    MonthBatch,
    PartitionStep,
    PartitionStepKind,
    Pressure,
    RangeBatch,
)
from tenant_retention.domain.ports.evidence import RunEvidence


class InMemoryEnforcementDatabase(TenantContent, TenantOrphans, TenantCachedRows, TenantEvidence):
    """One enforcer session over a ``TenantServer``; ``close`` is what a killed client's server does for it."""

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
        if mode is Mode.ENFORCE:
            server.refuse_while_restoring(run_id)
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
        self._ask_about_findings(server.run)
        with_files = [self._with_files(server.run, category) for category in server.categories()]
        server.run.categories = {each.category: each for each in with_files}
        return tuple(with_files)

    def limit_run(self, run_id: UUID, categories: Sequence[str]) -> tuple[CategoryRun, ...]:
        run = self._current(run_id)
        elsewhere = {each.name for each in self._server.definition.categories if not self._server.lies_here(each)}
        if not categories or set(categories) - run.categories.keys() - elsewhere:
            raise Invalid("a category is not in this run", reason="CategoryUnknown")
        run.limited_to = tuple(sorted(set(categories)))
        run.categories = {
            name: start for name, start in run.categories.items() if name in categories or name in run.begun
        }
        run.files = {name: files for name, files in run.files.items() if name in run.categories}
        return tuple(run.categories.values())

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

    def expire_months(self, run_id: UUID, steps: Sequence[PartitionStep], milliseconds: int) -> MonthBatch:
        step = steps[0]
        gone = self._rows_of_step(run_id, step)
        if step.kind is PartitionStepKind.DETACH and gone:
            self._server.detached.append(step.partition)
        return MonthBatch(deleted=self._remove(step.category, gone), months=1)

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

    def pressure(self) -> Pressure | None:
        return self._server.pressure()

    def refresh_statistics(self, run_id: UUID, category: str, tables: Sequence[str]) -> int:
        run = self._current(run_id)
        acted = run.acted.get(category, 0)
        return len(tables) if acted >= 10_000 and 10 * acted >= run.categories[category].total else 0

    def record_failure(self, run_id: UUID, category: str, reason: str) -> None:
        run = self._known(run_id)
        run.failed[category] = run.failed.get(category, 0) + 1

    def finish_run(self, run_id: UUID) -> RunEvidence:
        run = self._known(run_id)
        if not run.finished:
            self._append(self._outcome(run))
            run.finished = True
            if run.mode is Mode.ENFORCE and not run.requests_only:
                self._server.executed |= {category.name: category for category in self._executed(run)}
        self.close()
        return self._server.evidence[-1]

    def _category_run(self, category: CategoryDefinition, now: datetime) -> CategoryRun:
        server = self._server
        bounds = server.cutoffs(category, now)
        executed = server.executed.get(category.name)
        before = server.cutoffs(executed, now).remove if executed else None
        due = [row for row in server.due(category, bounds.remove) if not server.held(category, row)]
        already = {id(row) for row in server.due(category, before)}
        newly = [row for row in due if id(row) not in already]
        total = len(server.rows_of(category))
        telling, newly_telling = self._telling_counts(category, executed, bounds.remove, now)
        asking = len(newly) + newly_telling
        guard, through = GuardState.CLEAR, bounds.remove
        if asking > GUARD_FLOOR and 100 * asking > server.definition.guard_percent * total:
            guard = GuardState.TRIPPED
            through = min((bound for bound in (before, bounds.remove) if bound), default=None) if before else None
            telling = len(self._due_telling(category, executed.anonymize_after if executed else None, through, now))
        tripped = guard is GuardState.TRIPPED
        clocks = [clock for row in server.rows_of(category) if (clock := server.clock(category, row))]
        return CategoryRun(
            category=category.name,
            remove_through=through,
            total=total,
            candidates=len(due) - (len(newly) if tripped else 0),
            surplus=asking if tripped else 0,
            anonymize_due=telling,
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
        category = self._server.definition.category(run.category)
        remove = self._server.cutoffs(category, now).remove
        telling, _ = self._telling_counts(category, None, remove, now)
        return run.model_copy(
            update={
                "guard": GuardState.APPROVED,
                "remove_through": remove,
                "candidates": sum(not self._server.held(category, row) for row in self._server.due(category, remove)),
                "surplus": 0,
                "anonymize_due": telling,
            }
        )

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
