"""The in-memory tenant database's look for what may not be stored: content without consent (P10), unmasked digits (P11)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_retention.adapters.fakes.tenant_server import GUARD_FLOOR, Row, Run
from tenant_retention.adapters.fakes.tenant_session import TenantSession
from tenant_retention.domain.definition import CategoryDefinition
from tenant_retention.domain.ports.findings import ScanBatch


class TenantFindings(TenantSession):
    """See ``FindingsDatabase`` for each method."""

    def scan_findings(self, run_id: UUID, category: str, table: str, resume_after: datetime | None) -> ScanBatch:
        run = self._begun(run_id, category)
        server = self._server
        found = server.definition.category(category)
        for row in server.rows_of(found):
            if row.table == table and (server.unwanted(found, row) or row.unmasked):
                server.findings.setdefault(row.identity, run.run_id)
            elif row.table == table:
                server.findings.pop(row.identity, None)
        return ScanBatch(found=len(self._marked(found, table)), resume_after=None)

    def clear_findings(self, run_id: UUID, category: str, table: str, limit: int) -> int:
        run = self._begun(run_id, category)
        server = self._server
        rows = [row for row in self._clearable(server.definition.category(category)) if row.table == table]
        denied = [row for row in rows if server.unwanted(server.definition.category(category), row) and row.key is None]
        blanked = [row for row in rows if row.unmasked]
        tried = denied[:limit] or blanked[:limit]
        for row in tried:
            row.unmasked = False
            del server.findings[row.identity]
        gone = {id(row) for row in tried if row in denied}
        server.rows = [row for row in server.rows if id(row) not in gone]
        run.cleared[category] = run.cleared.get(category, 0) + len(tried)
        return len(tried)

    def _clearable(self, category: CategoryDefinition) -> list[Row]:
        """What earlier runs found, still so, not held; nothing where the guard asks."""
        server, run = self._server, self._server.run
        if run is None or run.requests_only or category.name in run.findings_asked:
            return []
        return [
            row
            for row in self._marked(category)
            if server.findings[row.identity] != run.run_id
            and (server.unwanted(category, row) or row.unmasked)
            and not server.held(category, row)
        ]

    def _ask_about_findings(self, run: Run) -> None:
        server = self._server
        for category in server.categories():
            found, total = len(self._marked(category)), len(server.rows_of(category))
            many = found > GUARD_FLOOR and 100 * found > server.definition.guard_percent * total
            allowed = any(
                each.rules_digest == run.rules_digest and each.until > run.now and each.max_rows >= found
                for each in server.approvals
            )
            if many and not allowed:
                run.findings_asked.add(category.name)

    def _finding_counts(self, category: CategoryDefinition, run: Run) -> dict[str, Any]:
        tables = {table.name: table for table in self._server.definition.tables}
        marked = self._marked(category)
        counts: dict[str, Any] = {"cleared": run.cleared.get(category.name, 0)}
        if category.consent is not None:
            counts["against_consent"] = sum(self._server.denied(category, row) for row in marked)
        if category.quarantine is not None:
            counts["unapproved"] = sum(self._server.unapproved(category, row) for row in marked)
        if any(each.visible_digits is not None for name in category.tables for each in tables[name].columns):
            counts["unmasked"] = sum(row.unmasked for row in marked)
        return counts

    def _marked(self, category: CategoryDefinition, table: str | None = None) -> list[Row]:
        rows = self._server.rows_of(category)
        return [row for row in rows if row.identity in self._server.findings and table in (None, row.table)]
