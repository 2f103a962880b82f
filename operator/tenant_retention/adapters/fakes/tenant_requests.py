"""The in-memory tenant database's part of data subjects' requests: one person a row, by its phone number (T7, M9, P12)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tenant_retention.adapters.fakes.placed_request import PlacedRequest
from tenant_retention.adapters.fakes.tenant_server import Row, Run
from tenant_retention.adapters.fakes.tenant_session import TenantSession
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.durations import Period, cutoff
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.enforcement import CategoryRun, GuardState
from tenant_retention.domain.ports.requests import RequestAction, SoughtSubject
from tenant_retention.domain.subjects import digest_of

_DELETE, _CLEAR = "Delete", "Clear"


class TenantRequests(TenantSession, ABC):
    """See ``RequestsDatabase`` for each method."""

    def limit_to_requests(self, run_id: UUID) -> tuple[CategoryRun, ...]:
        run = self._current(run_id)
        nothing: dict[str, Any] = {"remove_through": None, "candidates": 0, "surplus": 0, "anonymize_due": 0}
        nothing |= {"guard": GuardState.CLEAR, "files_through": None, "file_edges": ()}
        run.categories = {name: each.model_copy(update=nothing) for name, each in run.categories.items()}
        run.limited_to, run.files, run.requests_only = tuple(sorted(run.categories)), {}, True
        run.findings_asked = set()
        return tuple(run.categories.values())

    def begin_search(self, run_id: UUID, subjects: Sequence[SoughtSubject]) -> tuple[str, ...]:
        self._current(run_id)
        for request in [self._placed(sought) for sought in subjects]:
            if not request.found and request.searched_by != run_id:
                request.entries.clear()
                request.sessions.clear()
                request.searched_by = run_id
        return tuple(table for category in self._server.categories() for table in category.tables)

    def find_subjects(self, run_id: UUID, table: str, subjects: Sequence[SoughtSubject]) -> bool:
        self._current(run_id)
        category, rows = self._rows_in(table)
        for sought in subjects:
            request = self._placed(sought)
            spellings = {each.value for each in sought.subject.spellings if each.role == "PhoneNumber"}
            for row in rows if not request.found else ():
                if row.caller is not None and row.caller.translate(str.maketrans("", "", " -.()/")) in spellings:
                    request.sessions.add((_family(category), row.session or row.identity))
                    self._list(request, row, self._act(request, category, own=True))
        return True

    def find_relatives(self, run_id: UUID, table: str) -> bool:
        self._current(run_id)
        category, rows = self._rows_in(table)
        for request in self._searched(run_id):
            for row in rows:
                if (_family(category), row.session) in request.sessions and row.identity not in request.entries:
                    self._list(request, row, self._act(request, category, own=False))
        return True

    def subjects_found(self, run_id: UUID) -> None:
        self._current(run_id)
        for request in self._searched(run_id):
            request.found = True

    def work_requests(self, run_id: UUID, category: str, table: str, limit: int) -> int:
        run = self._begun(run_id, category)
        found = self._server.definition.category(category)
        rows = [row for row in self._asked(found, _DELETE) if row.table == table and self._goes_now(found, row)][:limit]
        if rows:
            self._remove_requested(run, category, rows)
            return len(rows)
        cleared = [row for row in self._asked(found, _CLEAR) if row.table == table][:limit]
        for row in cleared:
            row.caller = None
            self._forget(row)
        run.request_cleared[category] = run.request_cleared.get(category, 0) + len(cleared)
        return len(cleared)

    def _asked(self, category: CategoryDefinition, act: str) -> list[Row]:
        """Rows that a request asks to delete or to clear, neither held nor below a minimum that binds requests."""
        server = self._server
        listed = {
            name
            for each in server.requests.values()
            if each.found
            for name, what in each.entries.items()
            if what == act
        }
        binds = category.minimum is not None and not category.early_deletion
        through = cutoff(server.now(), Period.parse(category.minimum)) if binds and category.minimum else None
        return [
            row
            for row in server.rows_of(category)
            if row.identity in listed
            and not server.held(category, row)
            and (through is None or ((clock := server.clock(category, row)) is not None and clock <= through))
        ]

    def _goes_now(self, category: CategoryDefinition, row: Row) -> bool:
        """Rows with objects go with those, or alone where another row keeps the object; records wait for their content (P4)."""
        return self._goes_alone(row) if row.key is not None else not self._server.waits_for_content(category, row)

    @abstractmethod
    def _goes_alone(self, row: Row) -> bool: ...

    def _remove_requested(self, run: Run, category: str, rows: list[Row]) -> None:
        gone = {id(row) for row in rows}
        self._server.rows = [row for row in self._server.rows if id(row) not in gone]
        run.request_deleted[category] = run.request_deleted.get(category, 0) + len(rows)
        for row in rows:
            self._forget(row)

    def _request_counts(self, category: CategoryDefinition, run: Run) -> dict[str, int]:
        rows = {row.identity for row in self._server.rows_of(category)}
        return {
            "request_deleted": run.request_deleted.get(category.name, 0),
            "request_cleared": run.request_cleared.get(category.name, 0),
            "request_waiting": sum(
                len(rows & each.entries.keys()) for each in self._server.requests.values() if each.found
            ),
        }

    def _searched(self, run_id: UUID) -> list[PlacedRequest]:
        return [each for each in self._server.requests.values() if each.searched_by == run_id and not each.found]

    def _placed(self, sought: SoughtSubject) -> PlacedRequest:
        request = self._server.requests.get(sought.request)
        digests = {digest_of(each, request.salt) for each in sought.subject.spellings} if request else set()
        if request is None or (not request.found and digests != request.identifiers):
            raise Invalid("a request is not known here, or is about somebody else", reason="SubjectUnknown")
        return request

    def _rows_in(self, table: str) -> tuple[CategoryDefinition, list[Row]]:
        category = next(each for each in self._server.definition.categories if table in each.tables)
        return category, [row for row in self._server.rows if row.table == table]

    def _act(self, request: PlacedRequest, category: CategoryDefinition, *, own: bool) -> str | None:
        content = category.content_of is not None
        if RequestAction.ERASE in request.actions or (content and RequestAction.DELETE_CONTENT in request.actions):
            return _DELETE
        return _CLEAR if own and RequestAction.ANONYMIZE in request.actions else None

    def _list(self, request: PlacedRequest, row: Row, act: str | None) -> None:
        if act is not None:
            request.entries.setdefault(row.identity, act)

    def _forget(self, row: Row) -> None:
        for request in self._server.requests.values():
            request.entries.pop(row.identity, None)


def _family(category: CategoryDefinition) -> str:
    return category.content_of or category.name
