"""``tenant-retention approve``: a person's yes to what a guard stopped, for exactly these rules, so many rows and so long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.adapters.postgres.connections import connect, errors_of
from tenant_retention.adapters.postgres.schema import write_approval
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.enforcement.opening import APPLICATION_NAME, server_access

RUN_NAME = "shell"
"""Stands in the approval where a RetentionRun's name stands in a cluster."""


def approve(
    plan: PlanDocument, base: Path, administrator: Path, *, max_rows: int, hours: float, now: datetime
) -> Iterator[str]:
    """Approves the plan's rules in each of its databases; yields one line for each. Raises Invalid or Unavailable."""
    if max_rows < 1:
        raise Invalid("--max-rows: must be at least 1", reason="Usage", field="max-rows")
    if not 0 < hours <= 24 * 30:
        raise Invalid("--hours: must be more than 0 and at most 720", reason="Usage", field="hours")
    until = now + timedelta(hours=hours)
    server = server_access(read_postgres_binding(administrator))
    for store in plan.databases:
        name = read_postgres_binding(base / store.binding).database
        inside = replace(server, database=name)
        with errors_of(inside), connect(inside, application_name=APPLICATION_NAME) as connection:
            write_approval(
                connection,
                DatabaseRoles.of(name),
                rules_digest=plan.rules_digest,
                max_rows=max_rows,
                until=until,
                run_name=RUN_NAME,
            )
        yield f"{store.place.name}: {plan.rules_digest} may newly remove {max_rows} rows until {until:%Y-%m-%dT%H:%M:%SZ}"
