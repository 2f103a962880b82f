"""The world of the model: its servers and its tenants, their nights, and the comparison of what they hold with what the model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis.stateful import RuleBasedStateMachine
from psycopg import sql

from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.results import Outcome
from tests.stores.model.backups import SimulatedBackups
from tests.stores.model.copies import TenantWithCopies
from tests.stores.model.reference import Row
from tests.stores.model.rules import CONTENT, LIVE, TABLES, WITH_PERSON, definition_of
from tests.stores.servers.clock import ServerClock
from tests.stores.servers.s3 import S3Server
from tests.stores.simulated_tenant import SimulatedTenant, Written
from tests.stores.tenant_databases import TenantDatabases

BEGINS = datetime(2023, 11, 27, 1, 37, tzinfo=UTC)
"""Before a leap day, months of every length, and both nights in which Europe's clocks change."""
TENANTS = ("acme", "bolt")
DAY = timedelta(days=1)


Call = tuple[int, int, set[str], bool, bool]
"""Hours since it was made, hours after which its content is born, its tables, whether it has a session, whether it denies (a
record), or nobody approves (media). Content comes before its record says whether it may."""


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
    archived: int = 0
    backups: int = 0
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
        self.model: dict[str, TenantWithCopies] = {}
        self.backups: dict[str, SimulatedBackups] = {}

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
        definition = definition_of(model.rules, archive=model.archive is not None)
        self.real[tenant].define(definition, mode=mode, suspended=model.suspended)

    def write(self, tenant: str, calls: list[Call], alike: int) -> None:
        """An application writes calls, ``alike`` of each an hour apart."""
        rows = []
        for each_call, (hours, later, tables, named, denies) in enumerate(calls * alike):
            self.number += 1
            born = self.now - timedelta(hours=hours + each_call // len(calls))
            for each in sorted(tables):
                content, name = each in CONTENT, f"{self.number}"
                row = Row(
                    each,
                    TABLES[each],
                    name,
                    session=f"{TABLES[each] if TABLES[each] == each else 'call'}-{name}" if named else None,
                    born=min(born + timedelta(hours=later), self.now) if content and named else born,
                    ended=self.now if each in ("cases", "media") and later else None,
                    key=f"{each}/{name}" if each in ("recordings", "media") else None,
                    person=each in WITH_PERSON,
                    denies=denies and each == "requests",
                    approved=not denies and each == "media",
                )
                rows.append(row)
        self.model[tenant].rows |= set(rows)
        rows.sort(key=lambda row: row.table not in CONTENT)
        self.real[tenant].write(written(row, self.now) for row in rows)

    def night_after(self, passing: timedelta) -> None:
        self.world.clock.set(self.now + passing)
        self.world.tenant_days += passing.days * len(TENANTS)
        for tenant in TENANTS:
            self._night(tenant)
        self.agree()

    def _night(self, tenant: str) -> None:
        world, model = self.world, self.model[tenant]
        before, archived = model.everywhere(), model.archived()
        if model.suspended or model.dry_run:
            # The operator looks nevertheless: applications need the months to come.
            self.define(tenant)
        mode = Mode.DRY_RUN if model.dry_run else Mode.ENFORCE
        result = self.real[tenant].night(mode)
        found = {row.identity for row in model.rows if row.identity in model.marks}
        expected = model.night(self.now)
        # A run that left locked objects says so as well; which outcome that is, the contract tests tell.
        assert result.outcome.value == expected, f"{tenant} at {self.now}: {result}"
        world.nights += 1
        self._back_up(tenant, mode)
        left = {row.identity: row for row in model.everywhere()}
        world.removed += len(before) - len(left)
        world.unwanted += len(found - set(left))
        world.anonymized += sum(row.person and row.identity in left and not left[row.identity].person for row in before)
        world.archived += len(model.archived() - archived)
        world.outcomes[expected] = world.outcomes.get(expected, 0) + 1

    def _back_up(self, tenant: str, mode: Mode) -> None:
        """The backups of both are the same ones, and the new one has what is there."""
        if tenant not in self.backups:
            return
        model, real = self.model[tenant], self.backups[tenant]
        result, expected = real.night(mode), model.back_up(self.now)
        assert result.outcome is Outcome.SUCCEEDED, f"{tenant} at {self.now}: {result}"
        assert model.backups is not None
        taken = [each.taken for each in model.backups]
        assert real.taken() == taken, f"{tenant} at {self.now}: backups of {real.taken()}, expected of {taken}"
        if result.made is not None and expected is not None:
            wanted = {place: {row.identity for row in rows if not row.file} for place, rows in expected.rows.items()}
            assert real.rows(result.made.backup_id) == wanted, f"{tenant} at {self.now}: another backup than {wanted}"
            self.world.backups += 1

    def agree(self) -> None:
        """The stores of both hold what the models say, each row in exactly one place."""
        self.world.steps += 1
        for tenant in TENANTS:
            model = self.model[tenant]
            self._agree(tenant, LIVE, model.rows)
            if model.archive is not None:
                self._agree(tenant, ARCHIVE, model.archive.rows)
            outlived = [each for each in model.backups or () if each.deadline is not None and each.deadline <= self.now]
            assert not outlived, f"{tenant} at {self.now}: a backup holds what is past its max: {outlived}"
            wanted, keys = {row.key for row in model.rows if row.key}, self.real[tenant].keys()
            assert keys == wanted, f"{tenant} at {self.now}: objects {sorted(keys)}, rows name {sorted(wanted)}"

    def _agree(self, tenant: str, place: str, rows: set[Row]) -> None:
        real, rules = self.real[tenant], self.model[tenant].rules
        wanted, found = {row.identity for row in rows if not row.file}, real.left(place)
        assert found == wanted, (
            f"{tenant}'s {place} at {self.now}: gone too early {sorted(wanted - found)}, "
            f"still there {sorted(found - wanted)}, rules {rules}"
        )
        wanted, found = {row.identity for row in rows if row.person}, real.persons(place)
        assert found == wanted, (
            f"{tenant}'s {place} at {self.now}: the person gone too early {sorted(wanted - found)}, "
            f"still told by {sorted(found - wanted)}, rules {rules}"
        )

    def as_owner(self, tenant: str, statement: str, parameters: Sequence[object]) -> None:
        """In every place."""
        for owner in self.real[tenant].owners.values():
            owner.execute(statement.encode(), parameters)

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
        with self.real[tenant].databases[LIVE].connect("app") as app:
            app.execute(statement)


def written(row: Row, now: datetime) -> Written:
    """The row as an application writes it."""
    more: dict[str, object] = {"denies": row.denies} if row.table == "requests" else {}
    if row.person:
        more["caller"] = f"+47{row.name}"
    if row.table == "media":
        more |= {"closed_at": row.ended, "approved_at": now if row.approved else None}
    return Written(row.table, row.name, row.born, row.session, clock=row.ended, key=row.key, more=more)
