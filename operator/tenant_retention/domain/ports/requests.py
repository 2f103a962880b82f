"""What carrying out a data subject's request needs of a tenant's database (T7, M9, P12 to P14).

The operator places a request in every database, by digests of the identifiers; the Job that has its Secret says whom it is about,
once, and the database lists the rows; every run that enforces then does what is listed, night after night until none is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from tenant_retention.domain.definition import Value
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.subjects import Subject, digest_of


class RequestAction(StrEnum):
    """ANONYMIZE: the person's columns and free text are cleared. DELETE_CONTENT: what the person's records point to goes. ERASE: the
    records too; a row that is also another's (a customer's call, for an agent) is cleared."""

    ANONYMIZE = "Anonymize"
    DELETE_CONTENT = "DeleteContent"
    ERASE = "Erase"


@dataclass(frozen=True)
class PlacedRequest:
    """What the operator tells a database of a request: digests under a salt of its own, and nothing by which anybody is found."""

    request: UUID
    name: str
    actions: tuple[RequestAction, ...]
    received_at: datetime
    salt: bytes = field(repr=False)
    identifiers: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def about(
        cls, sought: SoughtSubject, name: str, actions: Sequence[RequestAction], received_at: datetime, salt: bytes
    ) -> PlacedRequest:
        """The request for this person. ``salt``: 16 random bytes or more, the request's own."""
        digests = tuple(digest_of(spelling, salt) for spelling in sought.subject.spellings)
        return cls(sought.request, name, tuple(actions), received_at, salt, digests)


@dataclass(frozen=True)
class SoughtSubject:
    """Whom a request is about. Never shown: its representation has no identifier."""

    request: UUID
    subject: Subject = field(repr=False)


class RequestLeft(Value):
    """What a request has yet to do in one table. ``held``: rows under a legal hold (X3). ``deferred``: rows below a minimum that
    binds requests too (M9) and are not held; the last of them reaches it at ``until`` (None: a clock has not started)."""

    category: str
    table: str
    act: str
    left: int
    held: int
    deferred: int
    until: datetime | None


class RequestProgress(Value):
    """How far a request is in one database. ``found_at``: since when all of its rows are listed; None: not yet."""

    found_at: datetime | None
    categories: tuple[RequestLeft, ...]

    @property
    def done(self) -> bool:
        """Whether nothing is left to do here."""
        return self.found_at is not None and not self.categories


class TenantRequests(Protocol):
    """Part of ``TenantStores``. Raises Invalid (StoreConflict) where the database's marker names another store or namespace, and
    NotReady where it has not been brought up to this version yet."""

    def place_request(self, place: DatabasePlace, request: PlacedRequest) -> None:
        """Tells the database of a request. As long as its rows are not all found the newest telling counts, with its digests;
        afterwards it stays as it is. Raises Invalid (SpecInvalid) where it then asks for something else."""

    def request_progress(self, place: DatabasePlace, request: UUID) -> RequestProgress | None:
        """How far it is; None where the database does not know it."""

    def withdraw_request(self, place: DatabasePlace, request: UUID) -> None:
        """Takes back a request of which nothing was done; one whose rows are all found goes on."""


class RequestsDatabase(Protocol):
    """Part of ``EnforcementDatabase``: every method is one transaction. To list is no effect: a dry run lists as well (X7)."""

    def begin_search(self, run_id: UUID, subjects: Sequence[SoughtSubject]) -> tuple[str, ...]:
        """Forgets what an earlier run listed of these people and did not end; the tables to look through. Raises Invalid
        (SubjectUnknown) where the operator placed no such request, or one about somebody else."""

    def find_subjects(self, run_id: UUID, table: str, subjects: Sequence[SoughtSubject]) -> bool:
        """Lists the people's own rows in the next months of a table; whether it is through. The database remembers how far it
        is. Raises Invalid as ``begin_search``, also for others than the run began with."""

    def find_relatives(self, run_id: UUID, table: str) -> bool:
        """Lists what belongs to the sessions that were found, in the next months of a table; whether it is through. Raises
        Invalid (SubjectUnknown) before every table was looked through for the people's own rows."""

    def subjects_found(self, run_id: UUID) -> None:
        """All is listed: from now on every run that enforces acts. Rows that come in later are not the requests' matter (P13).
        Raises Invalid (SubjectUnknown) before every table is through."""

    def work_requests(self, run_id: UUID, category: str, table: str, limit: int) -> int:
        """Does what requests ask of up to ``limit`` rows; those with objects go by ``claim_content`` before. How many were
        tried; 0: nothing is left to this run."""
