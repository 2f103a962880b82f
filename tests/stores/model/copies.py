"""The copies that the reference model knows: rows that moved to an archive, where the same rules go on, and backups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tenant_retention.domain.definition import ARCHIVE
from tests.stores.model.reference import ReferenceTenant, Row, Rule, end_of
from tests.stores.model.rules import BACKUPS_KEEP, LIFE_OF_BACKUPS, LIVE

_ONE_A_NIGHT = timedelta(hours=12)
"""No second backup so soon after one."""


@dataclass(frozen=True)
class Backup:
    """The rows of every place at one instant, and until when, by the rules of then, each of them may still be in a copy: what a
    hold kept does not count."""

    taken: datetime
    rows: Mapping[str, frozenset[Row]]
    deadline: datetime | None


@dataclass(frozen=True)
class Run:
    """A run of one place: by which rules, whether a dry one, and whether it did all that is to be done by them."""

    rules: tuple[Rule, ...]
    dry: bool
    well: bool


@dataclass
class TenantWithCopies(ReferenceTenant):
    """A tenant whose old records move to ``archive``, if it has one: ``rows`` are those of the live database. ``backups`` are None
    where none are made."""

    archive: ReferenceTenant | None = None
    backups: list[Backup] | None = None
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def places(self) -> dict[str, ReferenceTenant]:
        """Its databases by purpose; both go by the same rules, holds and approvals."""
        if self.archive is None:
            return {LIVE: self}
        archive = self.archive
        archive.rules, archive.holds, archive.approved_until = self.rules, self.holds, self.approved_until
        archive.suspended, archive.dry_run = self.suspended, self.dry_run
        return {LIVE: self, ARCHIVE: archive}

    def archived(self) -> set[Row]:
        """The rows of the archive."""
        return set(self.archive.rows) if self.archive is not None else set()

    def everywhere(self) -> set[Row]:
        """The rows of all places."""
        return self.rows | self.archived()

    def night(self, now: datetime) -> str:
        """Both places, and then what is old enough moves."""
        told = {LIVE: super().night(now)}
        for place, there in self.places().items():
            if place == ARCHIVE:
                told[place] = there.night(now)
                moving = set() if self.suspended or self.dry_run else self._moving(now)
                self.rows -= moving
                there.rows |= moving
        if not self.suspended:
            for place, outcome in told.items():
                run = Run(self.digest(), self.dry_run, outcome == "Succeeded")
                self.runs.setdefault(place, []).append(run)
        return next((outcome for outcome in told.values() if outcome != "Succeeded"), "Succeeded")

    def back_up(self, now: datetime) -> Backup | None:
        """After the night's run: old ones go, and one is made if it is time and nothing in it would outlive its max (T6)."""
        if self.backups is None:
            return None
        self.backups = [each for each in self.backups if end_of(each.taken, BACKUPS_KEEP) > now]
        early = any(now - each.taken < _ONE_A_NIGHT for each in self.backups)
        if early or not self._made_room() or self._late(now):
            return None
        deadlines = [self.rules[row.category].deadline(row) for row in self._unheld()]
        made = Backup(
            now,
            {place: frozenset(there.rows) for place, there in self.places().items()},
            min((each for each in deadlines if each is not None), default=None),
        )
        self.backups.append(made)
        return made

    def _made_room(self) -> bool:
        """Whether in every place a run by the rules of now ended well since they are in force."""
        return all(self._ended_well(self.runs.get(place, [])) for place in self.places())

    def _ended_well(self, runs: list[Run]) -> bool:
        for run in reversed(runs):
            if run.rules != self.digest():
                return False
            if run.well and (self.dry_run or not run.dry):
                return True
        return False

    def _late(self, now: datetime) -> bool:
        """Whether a row is there that a backup would hold beyond its max."""
        deadlines = [self.rules[row.category].deadline(row) for row in self._unheld()]
        return any(now + LIFE_OF_BACKUPS >= each for each in deadlines if each is not None)

    def _unheld(self) -> set[Row]:
        """Rows of databases that no hold keeps."""
        return {row for there in self.places().values() for row in there.rows - there.held(there.rows) if not row.file}

    def _moving(self, now: datetime) -> set[Row]:
        """What is old enough, and nothing else waits for: no deletion, no loss of the person, no content, and no hold (D3, T5)."""
        old = {row for row in self.rows if self.rules[row.category].is_archived(row, now)}
        staying = {row for row in old if self.rules[row.category].is_due(row, now)}
        staying |= {row for row in old if self.rules[row.category].loses_person(row, now)}
        return old - staying - self.waiting() - self.held(old)
