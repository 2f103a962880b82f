"""Requests of a thousand people at once: the product's one run, against one UPDATE with an index for each of them (T7)."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from tenant_retention.adapters.postgres.connections import connect
from tenant_retention.adapters.postgres.subject_requests import place_request
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.plan_document import Task
from tenant_retention.domain.ports.requests import PlacedRequest, RequestAction, SoughtSubject
from tenant_retention.domain.subjects import Spelling, Subject
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.results import Outcome
from tests.benchmarks.report import Comparison, Steps, timed
from tests.benchmarks.rows import Bench
from tests.benchmarks.tables import bare_copy, definition, fill
from tests.stores.enforcement_archive import LiveArchive, live_archive, real_world

PEOPLE = 1_000
"""Each of them made one call."""


def requests(bench: Bench, rows: int, steps: Steps) -> list[Comparison]:
    """A thousand callers of ``rows`` calls lose their number, and then one more."""
    archive = live_archive(bench.server.administrator, bench.s3, bench.directory / "requests", _rules())
    with steps.step(f"fill a tenant and a bare copy with {rows:,} rows each"):
        fill(archive, "public", "calls", rows)
        bare_copy(archive, "calls")
        fill(archive, "bare", "calls", rows)
        with archive.owner() as owner:
            owner.execute("CREATE INDEX ON bare.calls (caller)")
            owner.execute("ANALYZE public.calls")
            owner.execute("ANALYZE bare.calls")
    numbers = [f"+47{1 + number * (rows // PEOPLE)}" for number in range(PEOPLE)]
    with steps.step(f"{PEOPLE:,} people in one run"):
        sought = _placed(archive, numbers)
        many = timed(lambda: _carried_out(archive, sought))
    with steps.step(f"{PEOPLE:,} UPDATEs by an index"):
        single = timed(lambda: _updated(archive, numbers))
    with steps.step("one person"):
        last = _placed(archive, [f"+47{rows}"])
        one = timed(lambda: _carried_out(archive, last))
    left = _identified(archive)
    if left != rows - PEOPLE - 1:
        raise RuntimeError(f"{left} rows say who called, not {rows - PEOPLE - 1}")
    return [
        Comparison(f"{PEOPLE:,} people asked", "one run", many, "UPDATE for each", single, 1.0),
        Comparison("one person asked", "one run", one, f"{PEOPLE:,} people", many, 1.0),
    ]


def _rules() -> RetentionDefinition:
    """The calls, whose callers are people."""
    rules = definition("calls")
    (calls,) = rules.tables
    columns = tuple(
        each.model_copy(update={"person": "person"}) if each.name == "caller" else each for each in calls.columns
    )
    return rules.model_copy(update={"tables": (calls.model_copy(update={"columns": columns}),)})


def _placed(archive: LiveArchive, numbers: list[str]) -> list[SoughtSubject]:
    people = [SoughtSubject(uuid4(), Subject((Spelling("PhoneNumber", number),))) for number in numbers]
    inside = replace(archive.server, database=archive.identity.database())
    with connect(inside, application_name="benchmark") as connection:
        for each in people:
            request = PlacedRequest.about(each, "bench", [RequestAction.ANONYMIZE], datetime.now(UTC), os.urandom(16))
            place_request(connection, archive.roles, request)
    return people


def _carried_out(archive: LiveArchive, sought: list[SoughtSubject]) -> None:
    plan = archive.plan().model_copy(update={"task": Task.REQUESTS})
    with open_stores(plan, archive.directory) as stores:
        result = expire(plan, stores, uuid4(), real_world(), sought)
    if result.outcome is not Outcome.SUCCEEDED:
        raise RuntimeError(f"the run ended as {result.outcome}: {result.stores}")


def _updated(archive: LiveArchive, numbers: list[str]) -> None:
    with archive.owner() as owner:
        for number in numbers:
            owner.execute("UPDATE bare.calls SET caller = NULL WHERE caller = %s", (number,))


def _identified(archive: LiveArchive) -> int:
    with archive.owner() as owner:
        found = owner.execute("SELECT count(caller) FROM public.calls").fetchone()
    return int(found[0]) if found else 0
