"""Anonymization in the in-memory tenant database: a row that tells of a person no longer does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from tenant_retention.adapters.fakes.tenant_server import Row, Run
from tenant_retention.adapters.fakes.tenant_session import TenantSession
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.durations import Period, cutoff
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.anonymizing import AnonymizeBatch, AnonymizeStep, MonthDone
from tenant_retention.domain.ports.enforcement import GuardState


class TenantAnonymizing(TenantSession):
    """See ``AnonymizingDatabase`` for each method."""

    def anonymize_steps(self, run_id: UUID, category: str) -> tuple[AnonymizeStep, ...]:
        run = self._begun(run_id, category)
        found = self._server.definition.category(category)
        months: dict[tuple[int, str, str], int] = {}
        for row in self._telling(found, run):
            place = (found.tables.index(row.table), row.born_at.strftime("%Y%m"), row.table)
            months[place] = months.get(place, 0) + 1
        return tuple(
            AnonymizeStep(category=category, table=table, partition=f"{table}_p{month}", rows=rows)
            for (_, month, table), rows in sorted(months.items())
        )

    def anonymize_range(
        self, run_id: UUID, step: AnonymizeStep, resume_after: datetime | None, limit: int
    ) -> AnonymizeBatch:
        run = self._begun(run_id, step.category)
        if run.mode is not Mode.ENFORCE:
            raise Invalid("a dry run changes nothing", reason="DryRun")
        found = self._server.definition.category(step.category)
        rows = [
            row
            for row in self._sorted(found, self._telling(found, run))
            if f"{row.table}_p{row.born_at:%Y%m}" == step.partition
            and (resume_after is None or self._clock(found, row) > resume_after)
        ]
        last = self._clock(found, rows[limit - 1]) if len(rows) >= limit else None
        batch = [row for row in rows if last is None or self._clock(found, row) <= last]
        free = [row for row in batch if not self._server.waits_for_content(found, row)]
        for row in free:
            row.caller = None
        run.anonymized[step.category] = run.anonymized.get(step.category, 0) + len(free)
        return AnonymizeBatch(anonymized=len(free), resume_after=last)

    def rewrite_months(self, run_id: UUID, steps: Iterable[AnonymizeStep], done: MonthDone) -> None:
        self._current(run_id)
        for step in steps:
            done(step, None)

    def discard_rewrites(self, run_id: UUID) -> int:
        self._current(run_id)
        return 0

    def _telling_counts(
        self, category: CategoryDefinition, executed: CategoryDefinition | None, remove: datetime | None, now: datetime
    ) -> tuple[int, int]:
        """Rows due to lose the person, and how many of them are so newly."""
        rows = self._due_telling(category, category.anonymize_after, remove, now)
        before = executed.anonymize_after if executed else None
        already = {id(row) for row in self._due_telling(category, before, remove, now)}
        return len(rows), sum(id(row) not in already for row in rows)

    def _telling(self, category: CategoryDefinition, run: Run) -> list[Row]:
        """What this run anonymizes: where the guard stopped it, by the last executed rules."""
        start = run.categories.get(category.name)
        if start is None:
            return []
        after = category.anonymize_after
        if start.guard is GuardState.TRIPPED:
            executed = self._server.executed.get(category.name)
            after = executed.anonymize_after if executed else None
        return self._due_telling(category, after, start.remove_through, run.now)

    def _due_telling(
        self, category: CategoryDefinition, after: str | None, remove: datetime | None, now: datetime
    ) -> list[Row]:
        if after is None or category.anonymize_after is None:
            return []
        through = cutoff(now, Period.parse(after))
        if category.minimum is not None:
            through = min(through, cutoff(now, Period.parse(category.minimum)))
        goes = {id(row) for row in self._server.due(category, remove)}
        tables = {
            table.name
            for table in self._server.definition.tables
            if any(column.anonymize is not None for column in table.columns)
        }
        return [
            row
            for row in self._server.due(category, through)
            if row.caller is not None
            and row.table in tables
            and id(row) not in goes
            and not self._server.held(category, row)
        ]

    def _anonymize_evidence(self, category: CategoryDefinition, run: Run) -> dict[str, int | None]:
        if category.anonymize_after is None:
            return {}
        return {
            "anonymize_due": run.categories[category.name].anonymize_due,
            "anonymized": run.anonymized.get(category.name, 0),
            "anonymize_held": 0,
            "anonymize_residue": len(self._telling(category, run)),
        }

    def _clock(self, category: CategoryDefinition, row: Row) -> datetime:
        return self._server.clock(category, row) or row.born_at

    def _sorted(self, category: CategoryDefinition, rows: Sequence[Row]) -> list[Row]:
        return sorted(rows, key=lambda row: (self._clock(category, row), row.identity))
