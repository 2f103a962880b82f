"""What a DataSubjectRequest has left to do in a category: how much, what keeps it, and whether it presses (M9, X3); pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

from tenant_retention.api.v1alpha1.retentionprofile import Ground
from tenant_retention.domain.conditions import instant, moment
from tenant_retention.domain.copies import RUN_INTERVAL
from tenant_retention.domain.ports.requests import RequestProgress
from tenant_retention.domain.request_deadlines import RequestTerms


@dataclass(frozen=True)
class RowsLeft:
    """Of one category. ``since``: since when some are kept by nothing. ``patient``: nights have a run interval for such rows, which
    become due one by one as they reach a minimum. ``behind``: they are records whose content is below its minimum."""

    category: str
    left: int
    held: int
    deferred: int
    until: datetime | None = None
    ground: Ground | None = None
    since: datetime | None = None
    patient: bool = False
    behind: bool = False

    @property
    def free(self) -> int:
        """Rows that neither a hold nor a minimum keeps."""
        return max(0, self.left - self.held - self.deferred)

    def pressing(self, now: datetime) -> bool:
        """Whether some of them should be gone once the deadline has passed."""
        if self.since is None or self.behind:
            return False
        return not self.patient or now >= self.since + RUN_INTERVAL

    def told(self) -> str:
        """For the message."""
        parts = [f"{self.held} under a legal hold"] if self.held else []
        if self.deferred:
            until = f" until {instant(self.until)}" if self.until else ""
            parts.append(f"{self.deferred} below the minimum{until}{f' ({self.ground})' if self.ground else ''}")
        if self.free:
            parts.append(f"{self.free} behind their content" if self.behind else f"{self.free} for the next nights")
        return f"{self.category}: {self.left} rows left, {', '.join(parts)}"

    def written(self) -> dict[str, Any]:
        """As the status has it."""
        row: dict[str, Any] = {
            "name": self.category,
            "left": self.left,
            "held": self.held,
            "deferred": self.deferred,
            "ground": self.ground,
        }
        times = {"deferredUntil": self.until, "dueSince": self.since}
        return {key: value for key, value in row.items() if value is not None} | {
            key: instant(at) for key, at in times.items() if at is not None
        }


def rows_left(
    progress: RequestProgress, terms: RequestTerms | None, before: Sequence[Mapping[str, Any]], now: datetime
) -> list[RowsLeft]:
    """By category of one database. ``before``: the same in the status now there, which knows since when rows are due."""
    known = {str(row["name"]): row.get("dueSince") for row in before}
    names = sorted({each.category for each in progress.categories})
    deferring = {each.category for each in progress.categories if each.deferred}
    return [_of_category(name, progress, terms, known.get(name), deferring, now) for name in names]


def _of_category(
    name: str,
    progress: RequestProgress,
    terms: RequestTerms | None,
    since: str | None,
    deferring: set[str],
    now: datetime,
) -> RowsLeft:
    mine = [each for each in progress.categories if each.category == name]
    deferred = sum(each.deferred for each in mine)
    rows = RowsLeft(
        name,
        left=sum(each.left for each in mine),
        held=sum(each.held for each in mine),
        deferred=deferred,
        until=max((each.until for each in mine if each.until is not None), default=None),
        ground=terms.grounds.get(name) if terms is not None and deferred else None,
    )
    if not rows.free:
        return rows
    due = moment(since) if since else now
    if terms is None:
        return replace(rows, since=due)
    behind = any(terms.records.get(content) == name for content in deferring)
    return replace(rows, since=due, patient=terms.waits_for_minimum(name), behind=behind)


def summed(stores: Iterable[Sequence[RowsLeft]]) -> list[RowsLeft]:
    """By category of all databases."""
    rows = list(chain.from_iterable(stores))
    return [_sum([row for row in rows if row.category == name]) for name in sorted({row.category for row in rows})]


def _sum(rows: Sequence[RowsLeft]) -> RowsLeft:
    grounds = {row.ground for row in rows}
    return RowsLeft(
        rows[0].category,
        left=sum(row.left for row in rows),
        held=sum(row.held for row in rows),
        deferred=sum(row.deferred for row in rows),
        until=max((row.until for row in rows if row.until is not None), default=None),
        # No agreement lifts what the law asks for.
        ground="Statutory" if "Statutory" in grounds else "Contract" if "Contract" in grounds else None,
        since=min((row.since for row in rows if row.since is not None), default=None),
        behind=all(row.behind for row in rows if row.free),
    )
