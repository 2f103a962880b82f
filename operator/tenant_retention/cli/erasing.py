"""``tenant-retention erase``: a data subject's request from a shell, on the plan's databases and buckets (T7, M9, P12 to P14)."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO, TypeVar
from uuid import UUID, uuid4

import psycopg

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.adapters.postgres.connections import connect, errors_of
from tenant_retention.adapters.postgres.subject_requests import place_request, request_progress, withdraw_request
from tenant_retention.cli.confirming import confirm
from tenant_retention.cli.output import table
from tenant_retention.domain.conditions import instant
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.plan_document import Mode, PlanDocument, Task
from tenant_retention.domain.ports.requests import PlacedRequest, RequestAction, RequestProgress, SoughtSubject
from tenant_retention.domain.subjects import Subject
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import APPLICATION_NAME, open_stores, server_access
from tenant_retention.enforcement.results import RunResult
from tenant_retention.enforcement.world import World

HEADS = ("DATABASE", "CATEGORY", "TABLE", "ACT", "ROWS", "HELD", "DEFERRED", "UNTIL")
_NAME = "Shell"
"""Stands in the databases where a DataSubjectRequest's name stands, which has no capitals: no operator takes it back."""
T = TypeVar("T")


@dataclass(frozen=True)
class Erasure:
    """What came of a request. ``result`` None: nothing was done. ``progress``: by database, what is left (or was found)."""

    request: UUID
    result: RunResult | None
    progress: Mapping[str, RequestProgress]

    @property
    def done(self) -> bool:
        """Whether nothing is left in any database."""
        return self.result is not None and all(each.done for each in self.progress.values())


def erase(
    plan: PlanDocument,
    base: Path,
    administrator: Path,
    subject: Subject,
    actions: Sequence[RequestAction],
    world: World,
    *,
    dry_run: bool,
    yes: bool,
) -> Erasure:
    """Finds the person's rows, asks, and does what the actions say; what is held or below a minimum is done by later runs.

    Raises Invalid or Unavailable, and typer.Abort on a no: then the databases have forgotten the request.
    """
    plan = plan.model_copy(update={"task": Task.REQUESTS, "mode": Mode.ENFORCE})
    shell = _Shell(plan, base, administrator, SoughtSubject(uuid4(), subject), world)
    shell.place(actions)
    try:
        looked = shell.run(Mode.DRY_RUN)
        found = shell.progress()
        broken = [store for store in looked.stores if store.evidence is None]
        if broken:
            # Half of a person is not erased.
            return Erasure(shell.sought.request, looked, found)
        if dry_run:
            return Erasure(shell.sought.request, None, found)
        print_progress(found, sys.stderr)
        rows = sum(each.left for progress in found.values() for each in progress.categories)
        confirm(f"{rows} rows are deleted or cleared, with their objects; this cannot be taken back. Go on?", yes=yes)
        result = shell.run(Mode.ENFORCE)
        return Erasure(shell.sought.request, result, shell.progress())
    finally:
        # What is found for good stays, and nights go on with it.
        shell.withdraw()


def document(erasure: Erasure) -> dict[str, Any]:
    """Everything of it, without anything of the person."""
    return {
        "version": 1,
        "request": str(erasure.request),
        "done": erasure.done,
        "outcome": erasure.result.outcome.value if erasure.result else "DryRun",
        "databases": [
            {"database": name} | progress.model_dump(mode="json", by_alias=True)
            for name, progress in erasure.progress.items()
        ],
    }


def print_progress(progress: Mapping[str, RequestProgress], stream: TextIO) -> None:
    """What is to be done, or left, as a table."""
    rows = [
        (
            name,
            each.category,
            each.table,
            each.act,
            each.left,
            each.held,
            each.deferred,
            instant(each.until) if each.until else None,
        )
        for name, found in progress.items()
        for each in found.categories
    ]
    table(HEADS, rows, stream)


class _Shell:
    """A request in all databases of a plan."""

    def __init__(
        self, plan: PlanDocument, base: Path, administrator: Path, sought: SoughtSubject, world: World
    ) -> None:
        self.sought = sought
        self._plan = plan
        self._base = base
        self._server = server_access(read_postgres_binding(administrator))
        self._world = world

    def place(self, actions: Sequence[RequestAction]) -> None:
        request = PlacedRequest.about(self.sought, _NAME, actions, self._world.now(), secrets.token_bytes(16))
        self._everywhere(lambda connection, roles: place_request(connection, roles, request))

    def progress(self) -> dict[str, RequestProgress]:
        request = self.sought.request
        found = self._everywhere(lambda connection, roles: request_progress(connection, roles, request))
        return {name: each for name, each in found.items() if each is not None}

    def withdraw(self) -> None:
        request = self.sought.request
        self._everywhere(lambda connection, roles: withdraw_request(connection, roles, request))

    def run(self, mode: Mode) -> RunResult:
        plan = self._plan.model_copy(update={"mode": mode})
        with open_stores(plan, self._base) as stores:
            return expire(plan, stores, uuid4(), self._world, [self.sought])

    def _everywhere(self, act: Callable[[psycopg.Connection[Any], DatabaseRoles], T]) -> dict[str, T]:
        answers = {}
        for store in self._plan.databases:
            name = read_postgres_binding(self._base / store.binding).database
            with self._opened(name) as connection:
                answers[store.place.name] = act(connection, DatabaseRoles.of(name))
        return answers

    @contextmanager
    def _opened(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        inside = replace(self._server, database=name)
        with errors_of(inside), connect(inside, application_name=APPLICATION_NAME) as connection:
            yield connection
