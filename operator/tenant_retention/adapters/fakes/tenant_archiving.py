"""The archive in the in-memory tenant database: rows leave for another ``TenantServer``, which is the archive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from tenant_retention.adapters.fakes.tenant_anonymizing import TenantAnonymizing
from tenant_retention.adapters.fakes.tenant_server import LARGEST_SKEW, Row, Run
from tenant_retention.domain.definition import ARCHIVE, CategoryDefinition
from tenant_retention.domain.durations import Period, cutoff
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.archiving import ArchiveBatch, ArchiveRow, ArchiveStep


class TenantArchiving(TenantAnonymizing):
    """See ``ArchivingDatabase`` for each method."""

    def archive_steps(self, run_id: UUID, category: str) -> tuple[ArchiveStep, ...]:
        run = self._begun(run_id, category)
        found = self._server.definition.category(category)
        if self._server.purpose != found.database or found.archive_after is None:
            return ()
        rows = self._archivable(found, run)
        run.archive_due[category] = run.archived.get(category, 0) + len(rows)
        months: dict[tuple[int, datetime, str], int] = {}
        for row in rows:
            place = (found.tables.index(row.table), _month(row.born_at), row.table)
            months[place] = months.get(place, 0) + 1
        return tuple(
            ArchiveStep(category=category, table=table, partition=f"{table}_p{month:%Y%m}", born_from=month, rows=count)
            for (_, month, table), count in sorted(months.items())
        )

    def archive_rows(self, run_id: UUID, step: ArchiveStep, after: str | None, limit: int) -> ArchiveBatch:
        rows = self._rows_of_archive_step(run_id, step, after, None)
        last = _place(rows[limit - 1]) if len(rows) >= limit else None
        rows = rows[:limit]
        found = self._server.definition.category(step.category)
        free = [row for row in rows if not self._server.waits_for_content(found, row)]
        told = tuple(_told(row) for row in free)
        return ArchiveBatch(rows=told, after=after, through=last, waiting=len(rows) - len(free))

    def archive_moved(self, run_id: UUID, step: ArchiveStep, batch: ArchiveBatch, kept: Sequence[str]) -> int:
        run = self._begun(run_id, step.category)
        found = self._server.definition.category(step.category)
        gone = {
            id(row)
            for row in self._rows_of_archive_step(run_id, step, batch.after, batch.through)
            if _told(row).digest in kept and not self._server.waits_for_content(found, row)
        }
        self._server.rows = [row for row in self._server.rows if id(row) not in gone]
        run.archived[step.category] = run.archived.get(step.category, 0) + len(gone)
        told = (step.category, step.partition, batch.through)
        if run.archive_counted != told:
            # Told again where its answer was lost.
            run.archive_waiting[step.category] = run.archive_waiting.get(step.category, 0) + batch.waiting
            run.archive_counted = told
        return len(gone)

    def take_archived(self, run_id: UUID, step: ArchiveStep, rows: Sequence[ArchiveRow]) -> None:
        after = self._archive_of(run_id, step)
        told = [_row(each) for each in rows]
        # The run may have begun before that of the live database: what counts is the time now.
        if any(row.born_at > cutoff(self._server.now() + LARGEST_SKEW, after) for row in told):
            raise Invalid("rows are younger than archiveAfter", reason="YoungerThanArchiveAfter")
        here = {(row.identity, row.born_at) for row in self._server.rows}
        self._server.rows += [row for row in told if (row.identity, row.born_at) not in here]

    def archived_here(self, run_id: UUID, step: ArchiveStep, rows: Sequence[ArchiveRow]) -> tuple[str, ...]:
        self._archive_of(run_id, step)
        here = {_told(row).digest for row in self._server.rows if row.table == step.table}
        return tuple(each.digest for each in rows if each.digest in here)

    def _archive_of(self, run_id: UUID, step: ArchiveStep) -> Period:
        after = self._server.definition.category(step.category).archive_after
        if self._server.purpose != ARCHIVE or after is None:
            raise Invalid(f"nothing of category {step.category} is archived here", reason="NotAnArchive")
        self._begun(run_id, step.category)
        return Period.parse(after)

    def _rows_of_archive_step(
        self, run_id: UUID, step: ArchiveStep, after: str | None, through: str | None
    ) -> list[Row]:
        run = self._begun(run_id, step.category)
        if run.mode is not Mode.ENFORCE:
            raise Invalid("a dry run changes nothing", reason="DryRun")
        found = self._server.definition.category(step.category)
        rows = [
            row
            for row in self._archivable(found, run)
            if f"{row.table}_p{row.born_at:%Y%m}" == step.partition
            and (after is None or _place(row) > after)
            and (through is None or _place(row) <= through)
        ]
        return sorted(rows, key=_place)

    def _archivable(self, category: CategoryDefinition, run: Run) -> list[Row]:
        """Old enough, past min, not held, neither due for deletion nor due to lose the person or masked digits first."""
        if category.archive_after is None:
            return []
        through = cutoff(run.now, Period.parse(category.archive_after))
        if category.minimum is not None:
            through = min(through, cutoff(run.now, Period.parse(category.minimum)))
        server = self._server
        goes = {id(row) for row in server.due(category, server.cutoffs(category, run.now).remove)}
        goes |= {id(row) for row in self._due_telling(category, category.anonymize_after, None, run.now)}
        due = server.due(category, through)
        return [row for row in due if id(row) not in goes and not row.unmasked and not server.held(category, row)]

    def _archive_evidence(self, category: CategoryDefinition, run: Run) -> dict[str, int | None]:
        if category.name not in run.archive_due:
            return {}
        return {"archive_due": run.archive_due[category.name], "archived": run.archived.get(category.name, 0)}

    def _left_to_archive(self, run: Run) -> bool:
        done = {name: run.archived.get(name, 0) + run.archive_waiting.get(name, 0) for name in run.archive_due}
        return any(done[name] < due for name, due in run.archive_due.items())


def _month(at: datetime) -> datetime:
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _place(row: Row) -> str:
    return f"{row.born_at:%Y%m%d%H%M%S%f} {row.identity}"


def _told(row: Row) -> ArchiveRow:
    text = json.dumps(asdict(row) | {"flags": sorted(row.flags)}, default=_text, sort_keys=True)
    return ArchiveRow(digest=hashlib.sha256(text.encode()).hexdigest(), row=text)


def _text(value: object) -> str:
    assert isinstance(value, datetime), value
    return value.isoformat()


def _row(told: ArchiveRow) -> Row:
    found = json.loads(told.row)
    clocks = {name: datetime.fromisoformat(at) if at else None for name, at in found["clocks"].items()}
    born_at = datetime.fromisoformat(found["born_at"])
    return Row(**{**found, "born_at": born_at, "clocks": clocks, "flags": frozenset(found["flags"])})
