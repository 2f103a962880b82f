"""``ObserverDatabase`` on a real tenant database: counts and evidence through functions, never a row."""

from __future__ import annotations

from typing import Any

from tenant_retention.adapters.postgres.enforcement import Connect
from tenant_retention.adapters.postgres.failures import answer, translated
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.observation import DatabaseFacts


class PostgresObserverDatabase:
    """See ``ObserverDatabase``. Connects for each reading and hangs up after it: an operator watches many databases."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def observe(self) -> DatabaseFacts:
        """See ``ObserverDatabase.observe``."""
        return answer(DatabaseFacts, self._call("observe"))

    def evidence(self, limit: int) -> tuple[RunEvidence, ...]:
        """See ``ObserverDatabase.evidence``."""
        return tuple(answer(RunEvidence, link) for link in self._call("read_evidence", limit))

    def _call(self, name: str, *arguments: object) -> Any:
        with translated(), self._connect() as connection:
            row = connection.execute(statement("calls", name), arguments).fetchone()
            return row[0] if row else None
