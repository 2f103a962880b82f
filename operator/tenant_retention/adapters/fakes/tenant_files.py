"""The part of a tenant's database in memory that decides about files by their last modification (M5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tenant_retention.adapters.fakes.tenant_server import GUARD_FLOOR, LARGEST_SKEW, Run
from tenant_retention.adapters.fakes.tenant_session import TenantSession
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.durations import Period, end_of_period
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.enforcement import CategoryRun, GuardState, ObjectLock
from tenant_retention.domain.ports.evidence import CategoryEvidence, FileEvidence
from tenant_retention.domain.ports.files import FileSpan, StoredFile

_FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass
class FilesOfRun:
    """A category's files in a run; ``before`` None: not counted yet."""

    through: datetime | None
    previous: datetime | None
    overdue: datetime | None
    young_after: datetime | None
    rows: CategoryRun
    run: CategoryRun | None = None
    before: int | None = None
    claimed: int = 0
    gone: int = 0
    refused: int = 0
    left: int | None = None
    residue: int | None = None


class TenantFiles(TenantSession):
    """Implements the methods of ``EnforcementDatabase`` about files; ``unnamed_objects`` is another part's."""

    def count_files(
        self, run_id: UUID, category: str, store_clock: datetime | None, spans: Sequence[FileSpan]
    ) -> CategoryRun:
        run, files = self._files_of(run_id, category)
        if store_clock is None or abs(store_clock - self._server.now()) > LARGEST_SKEW:
            raise NotReady("the clocks of the bucket's server and of the database differ", reason="ClockSkew")
        if files.run is not None:
            return files.run
        held_from = self._held_from(category)
        due = _sum(spans, files.through, held_from)
        surplus = due - _sum(spans, files.previous, held_from)
        total = sum(span.files for span in spans)
        guard = GuardState.CLEAR
        if surplus > GUARD_FLOOR and 100 * surplus > self._server.definition.guard_percent * total:
            guard = GuardState.APPROVED if self._room(run) >= surplus else GuardState.TRIPPED
        waits = surplus if guard is GuardState.TRIPPED else 0
        files.through = files.previous if waits else files.through
        files.before, files.left, files.residue = total, total, due - waits
        rows = files.rows
        files.run = rows.model_copy(
            update={
                "total": rows.total + total,
                "candidates": rows.candidates + due - waits,
                "surplus": rows.surplus + waits,
                "held": rows.held + _sum(spans, files.through, None) - _sum(spans, files.through, held_from),
                "overdue": rows.overdue + _sum(spans, files.overdue, held_from),
                "oldest": min((span.oldest for span in spans), default=rows.oldest),
                "guard": rows.guard if guard is GuardState.CLEAR else guard,
                "files_through": files.through,
            }
        )
        run.categories[category] = files.run
        return files.run

    def own_files(self, run_id: UUID, category: str, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
        self._current(run_id)
        named, times = {row.key for row in self._server.rows}, self._server.file_times
        return tuple(
            each.model_copy(
                update={"modified": min(each.modified, times.get((category, each.key, each.version), each.modified))}
            )
            for each in files
            if each.key not in named
        )

    def files_to_lock(self, run_id: UUID, category: str, files: Sequence[StoredFile]) -> tuple[ObjectLock, ...]:
        run, _ = self._files_of(run_id, category)
        minimum = self._server.definition.category(category).minimum
        locks = []
        for each in files if minimum is not None else ():
            name = (category, each.key, each.version)
            until = end_of_period(each.modified, Period.parse(minimum or ""))
            if until > run.now and self._server.locks.get(name, _FIRST) < until and name not in run.refused_locks:
                self._server.last_claim += 1
                self._server.file_times.setdefault(name, each.modified)
                self._server.asked_locks[self._server.last_claim] = (name, until)
                locks.append(
                    ObjectLock(lock_id=self._server.last_claim, key=each.key, version=each.version, until=until)
                )
        return tuple(locks)

    def claim_files(
        self, run_id: UUID, category: str, files: Sequence[StoredFile], claimed_before: int
    ) -> tuple[int, ...]:
        run, found = self._files_of(run_id, category)
        if run.mode is not Mode.ENFORCE:
            raise Invalid("a dry run deletes nothing", reason="DryRun")
        run.begun.add(category)
        definition = self._server.definition.category(category)
        held_from, named = self._held_from(category), {row.key for row in self._server.rows}
        prefix = definition.files.prefix if definition.files else None
        through = min((at for at in (found.through, found.young_after) if at), default=None) if found.through else None
        free = tuple(
            place
            for place, each in enumerate(files)
            if prefix is not None
            and each.key.startswith(prefix)
            and found.before is not None
            and through is not None
            and each.modified <= through
            and (held_from is None or each.modified < held_from)
            and each.key not in named
        )
        found.claimed, found.residue = claimed_before + len(free), None
        return free

    def confirm_files(self, run_id: UUID, category: str, gone: int, refused: int) -> None:
        _, files = self._files_of(run_id, category)
        files.gone, files.refused = max(files.gone, min(gone, files.claimed)), max(files.refused, refused)

    def recount_files(self, run_id: UUID, category: str, spans: Sequence[FileSpan]) -> None:
        _, files = self._files_of(run_id, category)
        files.left = sum(span.files for span in spans)
        files.residue = _sum(spans, files.through, self._held_from(category))

    def _with_files(self, run: Run, category: CategoryDefinition) -> CategoryRun:
        """What a run says of a category at its beginning, with the cut-offs for its files."""
        rows = run.categories[category.name]
        if category.files is None:
            return rows
        bounds, executed = self._server.cutoffs(category, run.now), self._server.executed.get(category.name)
        before = (
            self._server.cutoffs(executed, run.now).remove if executed and executed.files == category.files else None
        )
        previous = min(before, bounds.remove) if before and bounds.remove else None
        held_from = self._held_from(category.name)
        edges = {bounds.remove, previous, bounds.overdue, run.now + timedelta(days=1)}
        edges |= {held_from - timedelta(microseconds=1)} if held_from and held_from > _FIRST else set()
        update = {"files_through": bounds.remove, "files_young_after": bounds.minimum}
        begun = rows.model_copy(update={**update, "file_edges": tuple(sorted(edge for edge in edges if edge))})
        run.files[category.name] = FilesOfRun(bounds.remove, previous, bounds.overdue, bounds.minimum, begun)
        return begun

    def _with_file_evidence(self, run: Run, evidence: CategoryEvidence) -> CategoryEvidence:
        files = run.files.get(evidence.category)
        if files is None or files.before is None:
            return evidence
        told = FileEvidence(
            before=files.before,
            acted=files.gone,
            failed=files.refused,
            unconfirmed=max(0, files.claimed - files.gone - files.refused),
            left=files.left if files.residue is not None else None,
            residue=files.residue,
        )
        residue = None if evidence.residue is None or files.residue is None else evidence.residue + files.residue
        sums = {"acted": evidence.acted + files.gone, "objects": (evidence.objects or 0) + files.gone}
        return evidence.model_copy(
            update={**sums, "failed": evidence.failed + files.refused, "residue": residue, "files": told}
        )

    def _files_outcome(self, run: Run) -> str | None:
        """What the files say of a run that ends; None: nothing against it."""
        if any(files.refused for files in run.files.values()):
            return "Failed"
        if any(files.before is None or files.residue != 0 for files in run.files.values()):
            return "Incomplete"
        return None

    def _files_of(self, run_id: UUID, category: str) -> tuple[Run, FilesOfRun]:
        run = self._current(run_id)
        if category not in run.files:
            raise Invalid(f"category {category} has no files in this run", reason="CategoryUnknown")
        return run, run.files[category]

    def _held_from(self, category: str) -> datetime | None:
        held = [hold for hold in self._server.holds if hold.session is None and hold.category in (None, category)]
        return _FIRST if held else None

    def _room(self, run: Run) -> int:
        approvals = enumerate(self._server.approvals)
        return max(
            (
                approval.max_rows - self._server.spent.get(place, 0)
                for place, approval in approvals
                if approval.rules_digest == run.rules_digest and approval.until > run.now
            ),
            default=-1,
        )


def _sum(spans: Sequence[FileSpan], through: datetime | None, held_from: datetime | None) -> int:
    if through is None:
        return 0
    return sum(
        span.files for span in spans if span.newest <= through and (held_from is None or span.newest < held_from)
    )
