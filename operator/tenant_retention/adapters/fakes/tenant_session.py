"""One client's session at the in-memory tenant database: whose run it is, what is due in it, what goes."""

from __future__ import annotations

from uuid import UUID

from tenant_retention.adapters.fakes.tenant_server import Row, Run, TenantServer
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.plan_document import Mode


class TenantSession:
    """A session over a ``TenantServer``; ``close`` is what a killed client's server does for it."""

    def __init__(self, server: TenantServer) -> None:
        self._server = server

    def close(self) -> None:
        """Ends the session: its run lock goes, its run stays unfinished."""
        if self._server.running is self:
            self._server.running = None

    def _known(self, run_id: UUID) -> Run:
        server = self._server
        run = server.run
        if run is None or run.run_id != run_id:
            raise Invalid(f"run {run_id} is not open", reason="RunNotOpen")
        if server.running not in (None, self) and not run.finished:
            raise NotReady("another session is in this run", reason="RunInProgress")
        return run

    def _begun(self, run_id: UUID, category: str) -> Run:
        run = self._current(run_id)
        if category not in run.categories:
            raise Invalid(f"category {category} is not in this run", reason="CategoryUnknown")
        run.begun.add(category)
        return run

    def _current(self, run_id: UUID) -> Run:
        run = self._known(run_id)
        if self._server.suspended and run.mode is Mode.ENFORCE:
            raise NotReady("the policy is suspended, or its store was released", reason="Suspended")
        if run.mode is Mode.ENFORCE:
            self._server.refuse_while_restoring(run_id)
        return run

    def _due_unheld(self, category: CategoryDefinition) -> list[Row]:
        run = self._server.run
        start = run.categories.get(category.name) if run else None
        through = start.remove_through if start else None
        return [row for row in self._server.due(category, through) if not self._server.held(category, row)]

    def _locked_out(self, category: CategoryDefinition, row: Row) -> bool:
        """Whether the bucket is known to keep the row's object, by a longer min than today's."""
        until = self._server.locks.get((category.name, row.key or "", row.version))
        return until is not None and until > self._server.now()

    def _remove(self, category: str, rows: list[Row]) -> int:
        gone = {id(row) for row in rows}
        self._server.rows = [row for row in self._server.rows if id(row) not in gone]
        run = self._server.run
        if run is not None:
            before, limit = run.acted.get(category, 0), run.approved.get(category, 0)
            run.acted[category] = before + len(rows)
            if run.approval is not None:
                spent = min(before + len(rows), limit) - min(before, limit)
                self._server.spent[run.approval] = self._server.spent.get(run.approval, 0) + spent
        return len(rows)
