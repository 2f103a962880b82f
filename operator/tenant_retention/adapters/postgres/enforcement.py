"""``EnforcementDatabase`` on a real tenant database: every method is one call of a function that decides by itself.

The enforcer login may execute these functions and nothing else; no cut-off, rule or statement is ever sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.archive_files import PostgresArchiveFiles
from tenant_retention.adapters.postgres.archiving import PostgresArchiving
from tenant_retention.adapters.postgres.cached_rows import PostgresCachedRows
from tenant_retention.adapters.postgres.failures import answer, translated
from tenant_retention.adapters.postgres.files import PostgresFiles
from tenant_retention.adapters.postgres.findings import PostgresFindings
from tenant_retention.adapters.postgres.requests import PostgresRequests
from tenant_retention.adapters.postgres.rewriting import MonthRewriting
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.orphans import ObjectRow
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.anonymizing import AnonymizeBatch, AnonymizeStep, MonthDone
from tenant_retention.domain.ports.enforcement import (
    CategoryRun,
    Claim,
    LockBatch,
    MonthBatch,
    NamedObject,
    PartitionStep,
    PartitionStepKind,
    Pressure,
    RangeBatch,
)
from tenant_retention.domain.ports.evidence import RunEvidence

Connect = Callable[[], psycopg.Connection[Any]]
"""Opens a connection as the enforcer (or observer) login; called again after a connection was lost."""
_ROW_BY_ROW = -1
_FALLBACK_BATCH = 5000
_DROP_MILLISECONDS = 150
_DETACHED_AT_ONCE = 10


class PostgresEnforcementDatabase(
    PostgresFindings, PostgresFiles, PostgresCachedRows, PostgresArchiving, PostgresArchiveFiles, PostgresRequests
):
    """See ``EnforcementDatabase``. One connection is one run's session: it is kept from ``begin_run`` to ``close``.

    Errors of our own functions come as Invalid or NotReady with their reason (RulesChanged, ClockSkew, RunInProgress,
    Suspended ...), lock timeouts and lost connections as Unavailable; after those the next call connects anew.
    """

    def __init__(self, connect: Connect, connect_beside: Connect | None = None) -> None:
        """``connect_beside``: for a second session of the same run, which works at the same time; None: as ``connect``."""
        self._connect = connect
        self._connect_beside = connect_beside or connect
        self._connection: psycopg.Connection[Any] | None = None

    def begin_run(self, run_id: UUID, mode: Mode, rules_digest: str, own_clock: datetime) -> tuple[CategoryRun, ...]:
        """See ``EnforcementDatabase.begin_run``; a second call with the same id returns the same answer."""
        rows = self._call("begin_run", run_id, mode.value, rules_digest, own_clock)
        return tuple(answer(CategoryRun, row) for row in rows)

    def limit_run(self, run_id: UUID, categories: Sequence[str]) -> tuple[CategoryRun, ...]:
        """See ``EnforcementDatabase.limit_run``."""
        return tuple(CategoryRun.model_validate(row) for row in self._call("limit_run", run_id, list(categories)))

    def ensure_partitions(self, run_id: UUID) -> int:
        """See ``EnforcementDatabase.ensure_partitions``: one transaction a table, so that a busy one stops no other.

        Raises Unavailable after the last table if one of them failed.
        """
        made, failures = 0, []
        for table in self._call("active_tables"):
            try:
                made += self._call("ensure_partitions", run_id, table)
            except Unavailable as error:
                failures.append(f"{table}: {error.message}")
        if failures:
            raise Unavailable("months ahead could not be created: " + "; ".join(failures), reason="PartitionsMissing")
        return made

    def finish_detached(self, run_id: UUID) -> int:
        """See ``EnforcementDatabase.finish_detached``: several months a transaction; months dropped."""
        done, busy = self._drop_detached(run_id)
        _refuse_busy(busy)
        return sum(bool(month["dropped"]) for month in done)

    def partition_steps(self, run_id: UUID, category: str) -> tuple[PartitionStep, ...]:
        """See ``EnforcementDatabase.partition_steps``."""
        return tuple(answer(PartitionStep, row) for row in self._call("partition_steps", run_id, category))

    def expire_months(self, run_id: UUID, steps: Sequence[PartitionStep], milliseconds: int) -> MonthBatch:
        """See ``EnforcementDatabase.expire_months``. DETACHes are followed by their DROPs, in transactions of their own.

        Where held rows, or rows that wait for content, appeared since the plan, the rest goes row by row instead.
        """
        if steps[0].kind is PartitionStepKind.DETACH:
            done = self._months(run_id, steps[:_DETACHED_AT_ONCE], milliseconds)
            dropped, busy = self._drop_detached(run_id)
            # A month of before that somebody reads is finish_detached's matter, and keeps none of these.
            _refuse_busy(busy & {step.partition for step in steps})
            deleted = sum(month["rows"] for month in dropped if month["dropped"])
        else:
            done = self._months(run_id, steps, milliseconds)
            deleted = sum(rows for rows in done if rows != _ROW_BY_ROW)
        for step, rows in zip(steps, done, strict=False):
            deleted += self._expire_rows(run_id, step) if rows == _ROW_BY_ROW else 0
        return MonthBatch(deleted=deleted, months=len(done))

    def expire_range(self, run_id: UUID, step: PartitionStep, resume_after: datetime | None, limit: int) -> RangeBatch:
        """See ``EnforcementDatabase.expire_range``; rows with equal clocks go together, so a batch may exceed ``limit``."""
        arguments = (run_id, step.category, step.table, step.partition, resume_after, limit)
        return answer(RangeBatch, self._call("expire_range", *arguments))

    def anonymize_steps(self, run_id: UUID, category: str) -> tuple[AnonymizeStep, ...]:
        """See ``EnforcementDatabase.anonymize_steps``."""
        return tuple(answer(AnonymizeStep, row) for row in self._call("anonymize_steps", run_id, category))

    def anonymize_range(
        self, run_id: UUID, step: AnonymizeStep, resume_after: datetime | None, limit: int
    ) -> AnonymizeBatch:
        """See ``EnforcementDatabase.anonymize_range``; after the last batch the month is proven to be done, if it is."""
        month = (run_id, step.category, step.table, step.partition)
        batch = answer(AnonymizeBatch, self._call("anonymize_range", *month, resume_after, limit))
        if batch.resume_after is None and self._call("watch_month", *month):
            # Two transactions: what is written in between is seen by the second one, or noted by the watch.
            self._call("prove_month", *month)
        return batch

    def rewrite_months(self, run_id: UUID, steps: Iterable[AnonymizeStep], done: MonthDone) -> None:
        """See ``EnforcementDatabase.rewrite_months``: a second session copies beside this one, and ends."""
        MonthRewriting(run_id, self._call, self._beside, done).months(steps)

    def discard_rewrites(self, run_id: UUID) -> int:
        """See ``EnforcementDatabase.discard_rewrites``."""
        return int(self._call("discard_rewrites", run_id))

    def pressure(self) -> Pressure | None:
        """See ``EnforcementDatabase.pressure``."""
        found = self._call("pressure")
        return answer(Pressure, found) if found is not None else None

    def refresh_statistics(self, run_id: UUID, category: str, tables: Sequence[str]) -> int:
        """See ``EnforcementDatabase.refresh_statistics``: one transaction a table."""
        return sum(bool(self._call("refresh_statistics", run_id, category, table)) for table in tables)

    def claim_content(self, run_id: UUID, category: str, limit: int) -> tuple[Claim, ...]:
        """See ``EnforcementDatabase.claim_content``."""
        return tuple(answer(Claim, row) for row in self._call("claim_content", run_id, category, limit))

    def confirm_claims(self, run_id: UUID, claim_ids: Sequence[int]) -> int:
        """See ``EnforcementDatabase.confirm_claims``; rows that a hold reached meanwhile stay and are counted as held."""
        deleted: int = self._call("confirm_claims", run_id, list(claim_ids))
        return deleted

    def release_claims(self, run_id: UUID, failures: Iterable[tuple[int, str]]) -> None:
        """See ``EnforcementDatabase.release_claims``."""
        self._call("release_claims", run_id, Jsonb([[claim_id, error] for claim_id, error in failures]))

    def objects_named_here(self, run_id: UUID, objects: Sequence[ObjectRow]) -> tuple[NamedObject, ...]:
        """See ``EnforcementDatabase.objects_named_here``."""
        asked = Jsonb([[each.key, each.version] for each in objects])
        return tuple(
            NamedObject(place=place, in_part=in_part)
            for place, in_part in self._call("objects_named_here", run_id, asked)
        )

    def objects_to_lock(self, run_id: UUID, category: str, resume_from: datetime | None, limit: int) -> LockBatch:
        """See ``EnforcementDatabase.objects_to_lock``: at most one month's objects a call."""
        return answer(LockBatch, self._call("objects_to_lock", run_id, category, resume_from, limit))

    def record_locks(self, run_id: UUID, category: str, outcomes: Iterable[tuple[int, str | None]]) -> None:
        """See ``EnforcementDatabase.record_locks``."""
        self._call("record_locks", run_id, category, Jsonb([[lock_id, error] for lock_id, error in outcomes]))

    def record_failure(self, run_id: UUID, category: str, reason: str) -> None:
        """See ``EnforcementDatabase.record_failure``."""
        self._call("record_failure", run_id, category, reason)

    def finish_run(self, run_id: UUID) -> RunEvidence:
        """See ``EnforcementDatabase.finish_run``."""
        return answer(RunEvidence, self._call("finish_run", run_id))

    def close(self) -> None:
        """Ends the session; an unfinished run is marked Interrupted by the next one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _months(self, run_id: UUID, steps: Sequence[PartitionStep], milliseconds: int) -> list[int]:
        first, names = steps[0], [step.partition for step in steps]
        done: list[int] = self._call(
            "expire_months", run_id, first.category, first.table, names, first.kind.value, milliseconds
        )
        return done

    def _drop_detached(self, run_id: UUID) -> tuple[list[dict[str, Any]], frozenset[str]]:
        """What became of the detached months, and those that somebody reads and that are still there."""
        finished: list[dict[str, Any]] = []
        while True:
            months = self._call("finish_detached_months", run_id, _DROP_MILLISECONDS)
            done = [month for month in months if not month["busy"]]
            if not done:
                return finished, frozenset(month["partition"] for month in months)
            finished += done

    def _expire_rows(self, run_id: UUID, step: PartitionStep) -> int:
        deleted, batch = 0, self.expire_range(run_id, step, None, _FALLBACK_BATCH)
        while True:
            deleted += batch.deleted
            if batch.resume_after is None:
                return deleted
            batch = self.expire_range(run_id, step, batch.resume_after, _FALLBACK_BATCH)

    def _beside(self) -> tuple[Callable[..., Any], Callable[[], None]]:
        session = PostgresEnforcementDatabase(self._connect_beside)
        return session._call, session.close

    def _call(self, name: str, *arguments: object) -> Any:
        """One function in one transaction: committed when this returns, gone as a whole when it raises."""
        with translated():
            connection = self._connected()
            with connection.transaction():
                row = connection.execute(statement("calls", name), arguments).fetchone()
            return row[0] if row else None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            # A pod that vanished without a word must not look like a run in progress for hours.
            with self._connection.transaction():
                self._connection.execute(statement("calls", "settle_enforcer"))
        return self._connection


def _refuse_busy(months: frozenset[str]) -> None:
    if months:
        names = ", ".join(sorted(months))
        raise Unavailable(
            f"somebody reads {names}, detached and to be dropped: end that query (pg_stat_activity, pg_locks)",
            reason="LockTimeout",
        )
