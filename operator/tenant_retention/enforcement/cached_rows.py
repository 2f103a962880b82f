"""The rows that a category's keys are about, wherever they lie: a key outlives no row of any of the category's databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenant_retention.domain.definition import CategoryDefinition, RetentionDefinition
from tenant_retention.domain.errors import NotReady, RetentionError
from tenant_retention.domain.names import purpose_of
from tenant_retention.domain.ports.cached_rows import CacheEvidence
from tenant_retention.domain.ports.enforcement import EnforcementDatabase
from tenant_retention.enforcement.persistence import Persistence


@dataclass(frozen=True)
class Known:
    """``held``: the whole category is; ``values``: those that a row has, and whether one of these rows is held. ``clocks``: the
    earliest one of these rows, for values of which one has started."""

    held: bool
    values: Mapping[str, bool]
    clocks: Mapping[str, datetime]


class CategoryRows:
    """The databases of one category: at home, in further regions and of units. ``databases``: those that are in the run."""

    def __init__(
        self,
        category: CategoryDefinition,
        definition: RetentionDefinition,
        databases: Mapping[str, EnforcementDatabase],
        run_id: UUID,
        persistence: Persistence,
    ) -> None:
        names = {*definition.database_names(), *databases}
        self._names = sorted(name for name in names if purpose_of(name) == category.database)
        self._category = category.name
        self._databases = databases
        self._run_id = run_id
        self._persistence = persistence

    def ask(self, values: Sequence[str]) -> Known:
        """Asks all of them. Raises NotReady where one is not in the run: what is not known there may be there; and whatever
        a database raises."""
        held, found, clocks = False, dict[str, bool](), dict[str, datetime]()
        for name in self._names:
            database = self._databases.get(name)
            if database is None:
                raise NotReady(f"database {name} is not in this run, and may have the rows", reason="RunNotOpen")
            answer = self._persistence.patiently(database.cached_rows, self._run_id, self._category, values)
            held = held or answer.held
            for row in answer.rows:
                value = values[row.place]
                found[value] = found.get(value, False) or row.held
                if row.clock is not None:
                    clocks[value] = min(row.clock, clocks.get(value, row.clock))
        return Known(held, found, clocks)

    def record(self, evidence: CacheEvidence) -> CacheEvidence:
        """Makes it part of the evidence of the first database; what could not be told there is a failure of its own."""
        database = self._databases.get(self._names[0]) if self._names else None
        if database is None:
            return evidence.model_copy(update={"failure": evidence.failure or "RunNotOpen"})
        try:
            self._persistence.patiently(database.record_cache, self._run_id, evidence)
        except RetentionError as error:
            return evidence.model_copy(update={"failure": evidence.failure or error.reason})
        return evidence
