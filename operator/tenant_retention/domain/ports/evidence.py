"""What a run says of itself when it is over: counts and times, no personal data (X6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tenant_retention.domain.definition import Value
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cached_rows import CacheEvidence


class FileEvidence(Value):
    """What a run did to a category's files. ``unconfirmed``: let go, and nobody knows whether they went (a kill).

    ``left``, ``residue``: files, and due ones of them, counted after the work; None: not counted.
    """

    before: int
    acted: int
    failed: int
    unconfirmed: int
    left: int | None
    residue: int | None


class CategoryEvidence(Value):
    """What a run did to one category. ``residue``: rows still due afterwards, None when it could not be counted.

    ``objects``: of the acted rows those whose object went with them; None in evidence of before it was counted.
    ``skipped``: due rows that wait, for content or for a lock that their object still has in the bucket. ``failed``: objects
    or steps that failed, locks included. ``locked``: young objects that were locked until their min is reached.
    ``anonymized`` of ``anonymize_due`` rows lost the person, ``anonymize_held`` more are held, and ``anonymize_residue`` are due
    still; all None where the category has no such rule, the last one also where it could not be counted.
    ``archived`` of ``archive_due`` rows moved to the archive, where they go on to be counted; both None without such a rule.
    ``against_consent``, ``unmasked``, ``unapproved``: rows that the run's scan found (P10, P11, M7), for the next run to
    take away; None where the profile looks for none. ``cleared``: what this run took away of what earlier ones found.
    ``request_deleted`` rows went and ``request_cleared`` lost the person because somebody asked for it (T7), and
    ``request_waiting`` wait for a hold's release, their minimum or the next run.
    """

    category: str
    candidates: int
    acted: int
    objects: int | None = None
    held: int
    skipped: int
    failed: int
    locked: int = 0
    against_consent: int | None = None
    unmasked: int | None = None
    unapproved: int | None = None
    cleared: int = 0
    request_deleted: int = 0
    request_cleared: int = 0
    request_waiting: int = 0
    surplus: int
    oldest_left: datetime | None
    residue: int | None
    anonymize_due: int | None = None
    anonymized: int | None = None
    anonymize_held: int | None = None
    anonymize_residue: int | None = None
    archive_due: int | None = None
    archived: int | None = None
    files: FileEvidence | None = None


class ActKind(StrEnum):
    """What is recorded beside the runs."""

    BACKUPS = "Backups"
    RESTORE_BEGUN = "RestoreBegun"
    RESTORE_ENDED = "RestoreEnded"
    HOLD_PLACED = "HoldPlaced"
    HOLD_RELEASED = "HoldReleased"


class HoldEvidence(Value):
    """How much a LegalHold selects, and not what: so many sessions and units, categories by name; whether it is a person's rows."""

    sessions: int
    categories: tuple[str, ...]
    units: int
    born_from: datetime | None
    born_to: datetime | None
    person: bool

    def describe(self) -> str:
        """In a few words."""
        found = [f"{number} {word}" for number, word in ((self.sessions, "sessions"), (self.units, "units")) if number]
        found += ["a person"] if self.person else []
        found += [f"of {', '.join(self.categories)}"] if self.categories else []
        found += [f"born from {self.born_from:%Y-%m-%dT%H:%M:%SZ}"] if self.born_from else []
        found += [f"born before {self.born_to:%Y-%m-%dT%H:%M:%SZ}"] if self.born_to else []
        return ", ".join(found)


class ActEvidence(Value):
    """What was done beside the runs. ``came``, ``gone``: backups by id, as the backup's Job saw them in the bucket; ``backup``:
    the one that was restored, with ``files`` and ``rows`` that were loaded. ``hold``, ``uid``: the LegalHold that was placed or
    released, and its object that asked for it; ``combinations`` of its selectors; ``held``: rows by category that it kept until
    the release, as last counted, None: not known."""

    kind: ActKind
    came: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    backup: str | None = None
    files: int | None = None
    rows: int | None = None
    hold: str | None = None
    uid: str | None = None
    combinations: int | None = None
    select: HoldEvidence | None = None
    held: Mapping[str, int] | None = None

    def describe(self) -> str:
        """In a few words."""
        if self.select is not None:
            return f"{self.hold}: {self.select.describe()}"
        if self.kind is ActKind.HOLD_RELEASED:
            return f"{self.hold}: {'uncounted' if self.held is None else sum(self.held.values())} rows"
        if self.kind is ActKind.BACKUPS:
            return "; ".join(
                f"{word} {', '.join(ids)}" for word, ids in (("came", self.came), ("gone", self.gone)) if ids
            )
        return f"{self.backup}" if self.rows is None else f"{self.backup}: {self.rows} rows in {self.files} files"


class RunEvidence(Value):
    """One link of the hash chain (X6): no personal data. Instants in UTC; ``digest`` chains over ``previous_digest``.

    ``limited_to``: the only categories that the run looked at; empty: all of them, as every night does. ``act``: it is no
    run, but something that was done beside them.
    """

    sequence: int
    run_id: UUID
    mode: Mode
    outcome: str
    started_at: datetime
    finished_at: datetime | None
    policy_generation: int
    rules_digest: str
    categories: tuple[CategoryEvidence, ...]
    limited_to: tuple[str, ...] = ()
    caches: tuple[CacheEvidence, ...] = ()
    act: ActEvidence | None = None
    previous_digest: str
    digest: str
