"""Two tenants on one database server and one object store live through months, beside their reference models.

Hypothesis draws what happens: applications write and close, tenants and platform change the rules, holds come and go, nights are run
or left out. After every step the stores hold exactly what the models say: nothing early, nothing late, nothing of the other tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from psycopg import sql

from tenant_retention.adapters.postgres.schema import write_approval
from tenant_retention.domain.plan_document import Mode
from tests.stores.model.reference import Hold, ReferenceTenant, Row
from tests.stores.model.rules import FIRST_RULES, GUARD, MINIMA, PERIODS, TABLES, definition_of, rules_of
from tests.stores.servers.clock import ServerClock
from tests.stores.servers.s3 import S3Server
from tests.stores.simulated_tenant import SimulatedTenant, Written, simulated_tenant
from tests.stores.tenant_databases import TenantDatabases

BEGINS = datetime(2023, 11, 27, 1, 37, tzinfo=UTC)
"""Before a leap day, months of every length, and both nights in which Europe's clocks change."""
TENANTS = ("acme", "bolt")
_DAY = timedelta(days=1)


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
    outcomes: dict[str, int] = field(default_factory=dict)


class Lives(RuleBasedStateMachine):
    """One life of two tenants. ``world`` is set by ``lives_in``."""

    world: ModelWorld

    def __init__(self) -> None:
        super().__init__()
        self._closing = ExitStack()
        self._number = 0
        self.real: dict[str, SimulatedTenant] = {}
        self.model = {name: ReferenceTenant(dict(FIRST_RULES), GUARD) for name in TENANTS}

    @initialize(days=st.integers(0, 120))
    def begin(self, days: int) -> None:
        """Two fresh tenants on some day."""
        world = self.world
        # The originals that all lives are copies of are of the first day.
        world.clock.set(BEGINS)
        for name in TENANTS:
            made = simulated_tenant(definition_of(FIRST_RULES), world.databases, world.clock, world.s3)
            self.real[name] = self._closing.enter_context(made)
        world.clock.set(BEGINS + days * _DAY)
        for name in TENANTS:
            self._define(name)

    @property
    def now(self) -> datetime:
        """What every clock says."""
        return self.world.clock.now()

    @rule(
        tenant=st.sampled_from(TENANTS),
        calls=st.lists(
            st.tuples(
                st.integers(0, 57 * 24),
                st.sampled_from((0, 0, 5, 23)),
                st.sets(st.sampled_from(("requests", "recordings", "chat_logs", "cases")), min_size=1),
                st.booleans(),
            ),
            min_size=1,
            max_size=12,
        ),
        alike=st.integers(1, 4),
    )
    def an_application_writes(self, tenant: str, calls: list[tuple[int, int, set[str], bool]], alike: int) -> None:
        """Calls of the last weeks with some of what belongs to them, ``alike`` of each an hour apart; content may be born hours
        later."""
        rows = []
        for each_call, (hours, later, tables, named) in enumerate(calls * alike):
            self._number += 1
            born = self.now - timedelta(hours=hours + each_call // len(calls))
            for each in sorted(tables):
                content = each in ("recordings", "chat_logs")
                name = f"{self._number}"
                at = min(born + timedelta(hours=later), self.now) if content and named else born
                session = f"{'case' if each == 'cases' else 'call'}-{name}" if named else None
                ended = self.now if each == "cases" and later else None
                key = f"audio/{name}" if each == "recordings" else None
                rows.append(Row(each, TABLES[each], name, session, at, ended, key))
        self.model[tenant].rows |= set(rows)
        self.real[tenant].write(
            Written(row.table, row.name, row.born, row.session, clock=row.ended, key=row.key) for row in rows
        )
        self._agree()

    @rule(tenant=st.sampled_from(TENANTS), which=st.integers(0, 1000))
    def a_case_is_closed(self, tenant: str, which: int) -> None:
        """From now on it counts."""
        model = self.model[tenant]
        cases = sorted((row for row in model.rows if row.table == "cases" and row.ended is None), key=lambda r: r.name)
        if cases:
            row = cases[which % len(cases)]
            model.rows ^= {row, replace(row, ended=self.now)}
            self.real[tenant].databases["Analytical"].write(
                "UPDATE public.cases SET closed_at = %s WHERE id = %s AND started_at = %s", self.now, row.name, row.born
            )

    @rule(gaps=st.lists(st.integers(1, 31), min_size=2, max_size=8), minutes=st.integers(-90, 90), again=st.booleans())
    def weeks_pass(self, gaps: list[int], minutes: int, again: bool) -> None:
        """A night after each so many days: nobody came in between. Perhaps the last one is run once more."""
        for days in gaps:
            self._night_after(timedelta(days=days, minutes=minutes))
        if again:
            self._night_after(timedelta(0))

    @rule(nights=st.integers(2, 7))
    def night_follows_night(self, nights: int) -> None:
        """As the schedule says."""
        for _ in range(nights):
            self._night_after(_DAY)

    @rule(
        tenant=st.sampled_from(TENANTS),
        places=st.tuples(*[st.integers(0, len(PERIODS) - 1)] * 4),
        minimum=st.sampled_from(MINIMA),
    )
    def the_rules_change(self, tenant: str, places: tuple[int, int, int, int], minimum: str | None) -> None:
        """Keeps become longer or shorter, and the recordings' min comes or goes."""
        record, recording, chat, case = places
        self.model[tenant].rules = rules_of(record, recording, chat, minimum, case)
        self._define(tenant)
        self._agree()

    @rule(tenant=st.sampled_from(TENANTS), suspended=st.booleans(), dry_run=st.booleans())
    def the_policy_is_suspended_or_resumed(self, tenant: str, suspended: bool, dry_run: bool) -> None:
        """Also DryRun and back."""
        self.model[tenant].suspended, self.model[tenant].dry_run = suspended, dry_run and not suspended
        self._define(tenant)

    @rule(tenant=st.sampled_from(TENANTS), days=st.integers(1, 20))
    def somebody_approves(self, tenant: str, days: int) -> None:
        """These rules, for some days."""
        until = self.now + days * _DAY
        self.model[tenant].approve(until)
        database = self.real[tenant].databases["Analytical"]
        with database.as_administrator() as administrator:
            write_approval(
                administrator,
                database.roles,
                rules_digest=self.real[tenant].rules.rules_digest(),
                max_rows=10**9,
                until=until,
                run_name=f"approve-{until:%Y%m%d%H%M}",
            )

    @rule(
        tenant=st.sampled_from(TENANTS),
        kind=st.sampled_from(("session", "session", "category", "births")),
        which=st.integers(0, 1000),
        days=st.integers(1, 20),
    )
    def a_hold_is_placed(self, tenant: str, kind: str, which: int, days: int) -> None:
        """On a call that is there, on a category, or on all that was born in some days."""
        model = self.model[tenant]
        sessions = sorted({row.session for row in model.rows if row.session})
        if kind == "session" and sessions:
            hold = Hold(session=sessions[which % len(sessions)])
        elif kind == "category":
            hold = Hold(category=sorted(model.rules)[which % len(model.rules)])
        else:
            begins = self.now - timedelta(hours=which)
            hold = Hold(born_from=begins, born_to=begins + days * _DAY)
        model.holds.append(hold)
        self._as_owner(
            tenant,
            "INSERT INTO retention.hold (session, category, born_from, born_to) VALUES (%s, %s, %s, %s)",
            (hold.session, hold.category, hold.born_from, hold.born_to),
        )

    @rule(tenant=st.sampled_from(TENANTS))
    def all_holds_are_released(self, tenant: str) -> None:
        """One way: they do not come back by themselves."""
        self.model[tenant].holds.clear()
        self._as_owner(tenant, "UPDATE retention.hold SET released_at = now() WHERE released_at IS NULL", ())

    @precondition(lambda self: any(model.rows for model in self.model.values()))
    @rule(tenant=st.sampled_from(TENANTS), which=st.integers(0, 1000))
    def the_owner_tries_to_delete_by_hand(self, tenant: str, which: int) -> None:
        """Refused below min and under a hold, whoever asks; what is allowed is undone."""
        model, real = self.model[tenant], self.real[tenant]
        rows = sorted(model.rows, key=lambda row: (row.table, row.name))
        if rows:
            row = rows[which % len(rows)]
            deletion = sql.SQL("DELETE FROM public.{} WHERE id = %s").format(sql.Identifier(row.table))
            answer = None
            try:
                with real.owners["Analytical"].transaction(force_rollback=True):
                    real.owners["Analytical"].execute(deletion, (row.name,))
            except psycopg.errors.DatabaseError as refusal:
                answer = refusal.diag.message_detail
            assert answer == model.refuses(row, self.now), (self.now, row)

    def teardown(self) -> None:
        """Both tenants are gone."""
        self._closing.close()

    def _define(self, tenant: str) -> None:
        model = self.model[tenant]
        mode = Mode.DRY_RUN if model.dry_run else Mode.ENFORCE
        self.real[tenant].define(definition_of(model.rules), mode=mode, suspended=model.suspended)

    def _night_after(self, passing: timedelta) -> None:
        self.world.clock.set(self.now + passing)
        self.world.tenant_days += passing.days * len(TENANTS)
        for tenant in TENANTS:
            self._night(tenant)
        self._agree()

    def _night(self, tenant: str) -> None:
        world, model = self.world, self.model[tenant]
        before = len(model.rows)
        if model.suspended or model.dry_run:
            # The operator looks nevertheless: applications need the months to come.
            self._define(tenant)
        result = self.real[tenant].night(Mode.DRY_RUN if model.dry_run else Mode.ENFORCE)
        expected = model.night(self.now)
        # A run that left locked objects says so as well; which outcome that is, the contract tests tell.
        assert result.outcome.value == expected, f"{tenant} at {self.now}: {result}"
        world.nights += 1
        world.removed += before - len(model.rows)
        world.outcomes[expected] = world.outcomes.get(expected, 0) + 1

    def _agree(self) -> None:
        """The stores of both hold what the models say."""
        self.world.steps += 1
        for tenant in TENANTS:
            rows, real = self.model[tenant].rows, self.real[tenant]
            wanted, found = {(row.table, row.name) for row in rows}, real.left()
            assert found == wanted, (
                f"{tenant} at {self.now}: gone too early {sorted(wanted - found)}, "
                f"still there {sorted(found - wanted)}, rules {self.model[tenant].rules}"
            )
            wanted_keys, keys = {row.key for row in rows if row.key}, real.keys()
            assert keys == wanted_keys, (
                f"{tenant} at {self.now}: objects {sorted(keys)}, rows name {sorted(wanted_keys)}"
            )

    def _as_owner(self, tenant: str, statement: str, parameters: Sequence[object]) -> None:
        self.real[tenant].owners["Analytical"].execute(statement.encode(), parameters)


def lives_in(world: ModelWorld) -> type[Lives]:
    """The state machine whose lives happen in this world."""
    return type("LivesInWorld", (Lives,), {"world": world})
