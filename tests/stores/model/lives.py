"""Two tenants on one database server and one object store live through months, beside their reference models.

Hypothesis draws what happens: applications write and close, tenants and platform change the rules, holds come and go, nights are run
or left out. After every step the stores hold exactly what the models say: nothing early, nothing late, nothing of the other tenant.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from psycopg import sql

from tenant_retention.adapters.postgres.schema import write_approval
from tests.stores.model.backups import SimulatedBackups
from tests.stores.model.copies import TenantWithCopies
from tests.stores.model.reference import Hold, ReferenceTenant, Row
from tests.stores.model.rules import (
    CONTENT,
    GUARD,
    LIVE,
    LOGS,
    LOGS_PREFIX,
    MARGIN,
    MARGIN_OF_BACKUPS,
    MINIMA,
    PERIODS,
    TABLES,
    Choice,
    definition_of,
    rules_of,
)
from tests.stores.model.tenants import BEGINS, DAY, TENANTS, Call, ModelWorld, Tenants
from tests.stores.simulated_tenant import simulated_tenant

_PLACES = st.integers(0, len(PERIODS) - 1)
CHOICES = st.builds(
    Choice,
    record=_PLACES,
    recording=_PLACES,
    chat=_PLACES,
    case=_PLACES,
    logs=_PLACES,
    minimum=st.sampled_from(MINIMA),
    record_forgets=st.none() | _PLACES,
    case_forgets=st.none() | _PLACES,
    archived=st.none() | _PLACES,
    bought=st.booleans(),
    with_recordings=st.booleans(),
)
_CALL = st.tuples(
    st.integers(0, 5 * 24) | st.integers(0, 57 * 24),
    st.sampled_from((0, 0, 5, 23)),
    st.sets(st.sampled_from(sorted(TABLES)), min_size=1),
    st.booleans(),
    st.booleans(),
)
_REWRITE_ALL = "CREATE OR REPLACE FUNCTION retention.rewrite_floor() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"


class Lives(Tenants):
    """One life of two tenants."""

    @initialize(
        days=st.integers(0, 120),
        rewrites=st.booleans(),
        archive=st.sampled_from((None, None, *TENANTS)),
        backups=st.sampled_from((None, None, None, *TENANTS)),
        calls=st.lists(_CALL, min_size=6, max_size=12),
    )
    def begin(self, days: int, rewrites: bool, archive: str | None, backups: str | None, calls: list[Call]) -> None:
        """Two fresh tenants on some day with the same calls, perhaps one with an archive and one with backups; months may be
        written anew however few rows they have."""
        world = self.world
        # The originals that all lives are copies of are of the first day.
        world.clock.set(BEGINS)
        for name in TENANTS:
            first = rules_of(
                Choice(archived=1 if name == archive else None), MARGIN_OF_BACKUPS if name == backups else MARGIN
            )
            model = TenantWithCopies(
                first,
                GUARD,
                archive=ReferenceTenant({}, GUARD) if name == archive else None,
                backups=[] if name == backups else None,
            )
            made = simulated_tenant(
                definition_of(first, archive=name == archive), world.databases, world.clock, world.s3
            )
            self.model[name], self.real[name] = model, self._closing.enter_context(made)
            if name == backups:
                self.backups[name] = SimulatedBackups(self.real[name])
            if rewrites:
                self.as_owner(name, _REWRITE_ALL, ())
        world.clock.set(BEGINS + days * DAY)
        for name in TENANTS:
            self.define(name)
            self.write(name, calls, 2)
        self.agree()

    @rule(tenant=st.sampled_from(TENANTS), calls=st.lists(_CALL, min_size=1, max_size=12), alike=st.integers(1, 4))
    def an_application_writes(self, tenant: str, calls: list[Call], alike: int) -> None:
        """Calls of the last weeks."""
        self.write(tenant, calls, alike)
        self.agree()

    @rule(
        tenant=st.sampled_from(TENANTS),
        ages=st.lists(st.integers(0, 5 * 24) | st.integers(0, 57 * 24), min_size=1, max_size=8),
        alike=st.integers(1, 3),
    )
    def a_system_writes_logs(self, tenant: str, ages: list[int], alike: int) -> None:
        """Files that no row names, last modified so many hours ago; ``alike`` of each a second apart."""
        for hours in ages:
            for more in range(alike):
                self.number += 1
                name, modified = f"{self.number}", self.now - timedelta(hours=hours, seconds=more)
                key = f"{LOGS_PREFIX}{name}"
                self.model[tenant].rows.add(Row("", LOGS, name, session=None, born=modified, key=key, file=True))
                self.real[tenant].write_file(key, modified)
        self.agree()

    @rule(tenant=st.sampled_from(TENANTS), table=st.sampled_from(("cases", "media")), which=st.integers(0, 1000))
    def a_case_is_closed_or_media_withdrawn(self, tenant: str, table: str, which: int) -> None:
        """From now on it counts."""
        row = self.one_of(tenant, which, lambda row: row.table == table and row.ended is None)
        if row:
            self.change(tenant, row, replace(row, ended=self.now), "closed_at", self.now)

    @rule(tenant=st.sampled_from(TENANTS), which=st.integers(0, 1000))
    def media_is_approved(self, tenant: str, which: int) -> None:
        """Once, and never taken back (M7)."""
        row = self.one_of(tenant, which, lambda row: row.table == "media" and not row.approved)
        if row:
            self.change(tenant, row, replace(row, approved=True), "approved_at", self.now)

    @rule(tenant=st.sampled_from(TENANTS), which=st.integers(0, 1000), denies=st.booleans())
    def a_caller_denies_or_agrees(self, tenant: str, which: int, denies: bool) -> None:
        """Afterwards: what is stored already is for the nights to find (P10)."""
        row = self.one_of(tenant, which, lambda row: row.table == "requests" and row.denies != denies)
        if row:
            self.change(tenant, row, replace(row, denies=denies), "denies", denies)

    @rule(tenant=st.sampled_from(TENANTS), which=st.integers(0, 1000), table=st.sampled_from(CONTENT))
    def an_application_stores_content_of_a_call(self, tenant: str, which: int, table: str) -> None:
        """Refused where the call's record denies it, whoever asks; what is allowed is undone."""
        row = self.one_of(tenant, which, lambda row: row.table == "requests" and row.session is not None)
        if row:
            statement = sql.SQL("INSERT INTO public.{} (id, session_id, started_at) VALUES ('new', %s, %s)")
            answer = None
            with self.real[tenant].databases[LIVE].connect("app") as app:
                try:
                    with app.transaction(force_rollback=True):
                        app.execute(statement.format(sql.Identifier(table)), (row.session, self.now))
                except psycopg.errors.DatabaseError as refusal:
                    answer = refusal.diag.message_detail
            denied = self.model[tenant].refuses_content(row.session, self.now)
            assert answer == ("ConsentRefused" if denied else None), (self.now, row)

    @rule(gaps=st.lists(st.integers(1, 31), min_size=2, max_size=8), minutes=st.integers(-90, 90), again=st.booleans())
    def weeks_pass(self, gaps: list[int], minutes: int, again: bool) -> None:
        """A night after each so many days: nobody came in between. Perhaps the last one is run once more."""
        for days in gaps:
            self.night_after(timedelta(days=days, minutes=minutes))
        if again:
            self.night_after(timedelta(0))

    @rule(nights=st.integers(2, 7))
    def night_follows_night(self, nights: int) -> None:
        """As the schedule says."""
        for _ in range(nights):
            self.night_after(DAY)

    @rule(tenant=st.sampled_from(TENANTS), choice=CHOICES, days=st.none() | st.integers(0, 60))
    def the_rules_change(self, tenant: str, choice: Choice, days: int | None) -> None:
        """Keeps become longer or shorter, the person goes and the archive begins earlier or later, longer storage is bought or taken
        back, and the recordings' min comes or goes."""
        until = None if days is None else self.now + days * DAY
        model = self.model[tenant]
        archived = choice.archived if model.archive is not None else None
        margin = MARGIN if model.backups is None else MARGIN_OF_BACKUPS
        model.rules = rules_of(replace(choice, bought_until=until, archived=archived), margin)
        self.define(tenant)
        self.agree()

    @rule(tenant=st.sampled_from(TENANTS), suspended=st.booleans(), dry_run=st.booleans())
    def the_policy_is_suspended_or_resumed(self, tenant: str, suspended: bool, dry_run: bool) -> None:
        """Also DryRun and back."""
        self.model[tenant].suspended, self.model[tenant].dry_run = suspended, dry_run and not suspended
        self.define(tenant)

    @rule(tenant=st.sampled_from(TENANTS), days=st.integers(1, 20))
    def somebody_approves(self, tenant: str, days: int) -> None:
        """These rules, for some days."""
        until = self.now + days * DAY
        self.model[tenant].approve(until)
        for database in self.real[tenant].databases.values():
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
        sessions = sorted({row.session for row in model.everywhere() if row.session})
        if kind == "session" and sessions:
            hold = Hold(session=sessions[which % len(sessions)])
        elif kind == "category":
            hold = Hold(category=sorted(model.rules)[which % len(model.rules)])
        else:
            begins = self.now - timedelta(hours=which)
            hold = Hold(born_from=begins, born_to=begins + days * DAY)
        model.holds.append(hold)
        self.as_owner(
            tenant,
            "INSERT INTO retention.hold (session, category, born_from, born_to) VALUES (%s, %s, %s, %s)",
            (hold.session, hold.category, hold.born_from, hold.born_to),
        )

    @rule(tenant=st.sampled_from(TENANTS))
    def all_holds_are_released(self, tenant: str) -> None:
        """One way: they do not come back by themselves."""
        self.model[tenant].holds.clear()
        self.as_owner(tenant, "UPDATE retention.hold SET released_at = now() WHERE released_at IS NULL", ())

    @precondition(lambda self: any(model.rows for model in self.model.values()))
    @rule(tenant=st.sampled_from(TENANTS), which=st.integers(0, 1000))
    def the_owner_tries_to_delete_by_hand(self, tenant: str, which: int) -> None:
        """Refused below min and under a hold, whoever asks and in whatever place; what is allowed is undone."""
        for place, there in self.model[tenant].places().items():
            rows = sorted((row for row in there.rows if not row.file), key=lambda row: row.identity)
            if rows:
                row = rows[which % len(rows)]
                deletion = sql.SQL("DELETE FROM public.{} WHERE id = %s").format(sql.Identifier(row.table))
                owner, answer = self.real[tenant].owners[place], None
                try:
                    with owner.transaction(force_rollback=True):
                        owner.execute(deletion, (row.name,))
                except psycopg.errors.DatabaseError as refusal:
                    answer = refusal.diag.message_detail
                assert answer == there.refuses(row, self.now), (self.now, place, row)


def lives_in(world: ModelWorld) -> type[Lives]:
    """The state machine whose lives happen in this world."""
    return type("LivesInWorld", (Lives,), {"world": world})
