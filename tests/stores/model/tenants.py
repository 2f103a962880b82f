"""The world of the model: its servers and its tenants, their nights, and the comparison of what they hold with what the model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis.stateful import RuleBasedStateMachine
from psycopg import sql

from tenant_retention.domain.plan_document import Mode
from tests.stores.model.reference import ReferenceTenant, Row
from tests.stores.model.rules import FIRST_RULES, GUARD, definition_of
from tests.stores.servers.clock import ServerClock
from tests.stores.servers.s3 import S3Server
from tests.stores.simulated_tenant import SimulatedTenant
from tests.stores.tenant_databases import TenantDatabases

BEGINS = datetime(2023, 11, 27, 1, 37, tzinfo=UTC)
"""Before a leap day, months of every length, and both nights in which Europe's clocks change."""
TENANTS = ("acme", "bolt")
DAY = timedelta(days=1)


@dataclass
class ModelWorld:
    """The servers of all lives, and what was lived through so far."""

    clock: ServerClock
    databases: TenantDatabases
    s3: S3Server
    tenant_days: int = 0
    nights: int = 0
    steps: int = 0
    removed: int = 0
    anonymized: int = 0
    unwanted: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)


class Tenants(RuleBasedStateMachine):
    """Two tenants and their models. ``world`` is set by ``lives_in``."""

    world: ModelWorld

    def __init__(self) -> None:
        super().__init__()
        self._closing = ExitStack()
        self.number = 0
        self.real: dict[str, SimulatedTenant] = {}
        self.model = {name: ReferenceTenant(dict(FIRST_RULES), GUARD) for name in TENANTS}

    @property
    def now(self) -> datetime:
        """What every clock says."""
        return self.world.clock.now()

    def teardown(self) -> None:
        """Both tenants are gone."""
        self._closing.close()

    def define(self, tenant: str) -> None:
        model = self.model[tenant]
        mode = Mode.DRY_RUN if model.dry_run else Mode.ENFORCE
        self.real[tenant].define(definition_of(model.rules), mode=mode, suspended=model.suspended)

    def night_after(self, passing: timedelta) -> None:
        self.world.clock.set(self.now + passing)
        self.world.tenant_days += passing.days * len(TENANTS)
        for tenant in TENANTS:
            self._night(tenant)
        self.agree()

    def _night(self, tenant: str) -> None:
        world, model = self.world, self.model[tenant]
        before, named = len(model.rows), sum(row.person for row in model.rows)
        if model.suspended or model.dry_run:
            # The operator looks nevertheless: applications need the months to come.
            self.define(tenant)
        result = self.real[tenant].night(Mode.DRY_RUN if model.dry_run else Mode.ENFORCE)
        found = {row.identity for row in model.rows if row.identity in model.marks}
        expected = model.night(self.now)
        # A run that left locked objects says so as well; which outcome that is, the contract tests tell.
        assert result.outcome.value == expected, f"{tenant} at {self.now}: {result}"
        world.nights += 1
        world.removed += before - len(model.rows)
        world.unwanted += len(found - {row.identity for row in model.rows})
        world.anonymized += named - sum(row.person for row in model.rows)
        world.outcomes[expected] = world.outcomes.get(expected, 0) + 1

    def agree(self) -> None:
        """The stores of both hold what the models say."""
        self.world.steps += 1
        for tenant in TENANTS:
            rows, real = self.model[tenant].rows, self.real[tenant]
            wanted, found = {(row.table, row.name) for row in rows if not row.file}, real.left()
            assert found == wanted, (
                f"{tenant} at {self.now}: gone too early {sorted(wanted - found)}, "
                f"still there {sorted(found - wanted)}, rules {self.model[tenant].rules}"
            )
            wanted, found = {(row.table, row.name) for row in rows if row.person}, real.persons()
            assert found == wanted, (
                f"{tenant} at {self.now}: the person gone too early {sorted(wanted - found)}, "
                f"still told by {sorted(found - wanted)}, rules {self.model[tenant].rules}"
            )
            wanted_keys, keys = {row.key for row in rows if row.key}, real.keys()
            assert keys == wanted_keys, (
                f"{tenant} at {self.now}: objects {sorted(keys)}, rows name {sorted(wanted_keys)}"
            )

    def as_owner(self, tenant: str, statement: str, parameters: Sequence[object]) -> None:
        self.real[tenant].owners["Analytical"].execute(statement.encode(), parameters)

    def one_of(self, tenant: str, which: int, fits: Callable[[Row], bool]) -> Row | None:
        """One of the rows that fit, if there are any."""
        rows = sorted((row for row in self.model[tenant].rows if fits(row)), key=lambda row: row.identity)
        return rows[which % len(rows)] if rows else None

    def change(self, tenant: str, row: Row, now: Row, column: str, value: object) -> None:
        """The application writes one column of a row."""
        self.model[tenant].rows ^= {row, now}
        statement = sql.SQL("UPDATE public.{} SET {} = {} WHERE id = {} AND started_at = {}").format(
            *map(sql.Identifier, (row.table, column)), *map(sql.Literal, (value, row.name, row.born))
        )
        with self.real[tenant].databases["Analytical"].connect("app") as app:
            app.execute(statement)
