"""Counts of one category that lies in several databases, regions and units, as one (D3, D4); pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from tenant_retention.domain.ports.evidence import CategoryEvidence
from tenant_retention.domain.ports.observation import CategoryObservation


def observed_as_one(found: Iterable[CategoryObservation]) -> dict[str, CategoryObservation]:
    """By category the sums, and the oldest of each clock."""
    grouped: dict[str, list[CategoryObservation]] = {}
    for each in found:
        grouped.setdefault(each.category, []).append(each)
    return {name: _observed(group) for name, group in grouped.items()}


def evidence_as_one(found: Iterable[CategoryEvidence]) -> list[CategoryEvidence]:
    """One for each category, in the order of their first appearance; what one database could not count, nobody knows."""
    grouped: dict[str, list[CategoryEvidence]] = {}
    for each in found:
        grouped.setdefault(each.category, []).append(each)
    return [_evidence(group) for group in grouped.values()]


def _observed(group: Sequence[CategoryObservation]) -> CategoryObservation:
    if len(group) == 1:
        return group[0]
    return CategoryObservation(
        category=group[0].category,
        rows=sum(each.rows for each in group),
        oldest=_first(each.oldest for each in group),
        due=sum(each.due for each in group),
        overdue=sum(each.overdue for each in group),
        held=sum(each.held for each in group),
        anomalies=sum(each.anomalies for each in group),
        anomalies_since=_first(each.anomalies_since for each in group),
        next_deadline=_first(each.next_deadline for each in group),
        anonymize_due=_total(each.anonymize_due for each in group),
        anonymize_held=_total(each.anonymize_held for each in group),
        next_anonymization=_first(each.next_anonymization for each in group),
        against_consent=_total(each.against_consent for each in group),
        unmasked=_total(each.unmasked for each in group),
        unapproved=_total(each.unapproved for each in group),
        archived=_known(each.archived for each in group),
    )


def _evidence(group: Sequence[CategoryEvidence]) -> CategoryEvidence:
    if len(group) == 1:
        return group[0]
    return CategoryEvidence(
        category=group[0].category,
        candidates=sum(each.candidates for each in group),
        acted=sum(each.acted for each in group),
        objects=_total(each.objects for each in group),
        held=sum(each.held for each in group),
        skipped=sum(each.skipped for each in group),
        failed=sum(each.failed for each in group),
        locked=sum(each.locked for each in group),
        surplus=sum(each.surplus for each in group),
        oldest_left=_first(each.oldest_left for each in group),
        residue=_total(each.residue for each in group),
        anonymize_due=_total(each.anonymize_due for each in group),
        anonymized=_total(each.anonymized for each in group),
        against_consent=_total(each.against_consent for each in group),
        unmasked=_total(each.unmasked for each in group),
        unapproved=_total(each.unapproved for each in group),
        cleared=sum(each.cleared for each in group),
        anonymize_held=_total(each.anonymize_held for each in group),
        anonymize_residue=_total(each.anonymize_residue for each in group),
        archive_due=_known(each.archive_due for each in group),
        archived=_known(each.archived for each in group),
    )


def _first(times: Iterable[datetime | None]) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _known(numbers: Iterable[int | None]) -> int | None:
    """Only home databases archive rows: what others do not tell is nothing."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _total(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    return None if None in known else sum(number or 0 for number in known)
