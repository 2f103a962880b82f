"""The databases of a policy: passwords kept first, then roles, tables and rules, then the Secrets that hand them out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.hash_keys import HashKeyState
from tenant_retention.domain.isolation import ProbeReport
from tenant_retention.domain.manifests.bindings import postgres_binding
from tenant_retention.domain.manifests.inputs import PolicyRef, PostgresCredentials
from tenant_retention.domain.manifests.metadata import binding_name
from tenant_retention.domain.names import Place
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.policy_report import (
    BindingReport,
)
from tenant_retention.domain.ports.cluster import Happening, Manifest
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.domain.ports.stores import (
    DATABASE_ROLES,
    DatabaseRequest,
    DatabaseServer,
)
from tenant_retention.domain.readiness import Measurements
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.observing import count, logins_secret, made_room, newest_runs, night_of, observer
from tenant_retention.reconcile.tenancy import Home
from tenant_retention.reconcile.world import World, kept_secret, usable_password

HANDED_OUT = {"app": "App", "reader": "Reader", "enforcer": "Enforcer"}
"""Roles whose Secret is in the tenant's namespace; the observer's login never leaves the operator's."""
BACKUP = "backup"
"""The login whose Secret the backup's Job mounts, and no application: it is not among the policy's bindings."""


@dataclass(frozen=True)
class Wish:
    """What a database is to hold: the rules, and whether runs may delete by them. ``backed_up``: its rows go into backups."""

    definition: RetentionDefinition
    mode: Mode
    suspended: bool
    backed_up: bool = False

    def digest(self) -> str:
        """Changes with everything that changes what is written into the database."""
        text = f"{self.definition.model_dump_json()}{self.mode}{self.suspended}{self.backed_up}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class DatabaseResult:
    """What became of one database in this reconcile. ``took``: it has the rules of now; ``prepared``: it is as wanted;
    ``facts``: what the observer read; ``runs``: its newest evidence, newest first, back to the first that counts and
    ended well at least; ``night``: the newest that counts (see ``night_of``); ``made_room``: see there."""

    store: ClaimedStore
    request: DatabaseRequest | None = None
    took: bool = False
    prepared: bool = False
    facts: DatabaseFacts | None = None
    runs: tuple[RunEvidence, ...] = ()
    night: RunEvidence | None = None
    made_room: bool = False
    problem: RetentionError | None = None
    bindings: list[BindingReport] = field(default_factory=list)
    breaches: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    measured: Measurements | None = None
    hash_key: HashKeyState | None = None


@dataclass(frozen=True)
class Databases:
    """Works on the databases of one policy; ``regarding``: the policy, for Events."""

    world: World
    reference: PolicyRef
    home: Home
    regarding: Manifest

    async def prepare(
        self, store: ClaimedStore, server: DatabaseServer, wish: Wish, *, tell_drift: bool
    ) -> DatabaseResult:
        """Database, roles, tables, rules and binding Secrets as wanted; then the counts. Never raises RetentionError."""
        result, anchor = DatabaseResult(store), store.entry.status.evidence_head
        try:
            passwords = await self._passwords(store.wanted.place)
            result.request = DatabaseRequest(
                server=server,
                identity=store.identity,
                namespace_uid=self.home.uid,
                definition=wish.definition,
                passwords=passwords,
                confirmed_uids=store.confirmed_uids(),
                mode=wish.mode,
                suspended=wish.suspended,
                anchor=anchor.hash if anchor is not None else None,
            )
            outcome = await self.world.call(server.host, self.world.stores.prepare_database, result.request)
            result.took, result.hash_key = True, outcome.hash_key
            if tell_drift and outcome.changes:
                note = f"database {result.request.name}: {'; '.join(outcome.changes)}"
                await self.world.cluster.tell(Happening(self.regarding, "DriftRepaired", note[:1000], "Warning"))
            await self._tell_what_left(result.request.name, outcome.changes, told=tell_drift)
            result.warnings = (*server.notes, *outcome.warnings)
            await self._hand_out(store, server, outcome.usernames, passwords, result, with_backup=wish.backed_up)
            result.prepared = True
            login = await observer(self.world, store.entry, self.reference, server)
            facts = await count(self.world, store.entry, login)
            result.runs = await newest_runs(self.world, login, facts, wish.mode)
            result.night = night_of(result.runs, wish.mode)
            result.made_room = made_room(result.runs, wish.mode, wish.definition.rules_digest())
            result.facts = facts
        except RetentionError as problem:
            # Once it is prepared, it was not the administrator who was refused.
            result.problem = problem if result.prepared else store.at_its_server(problem)
        return result

    async def probe(self, result: DatabaseResult, after: str) -> ProbeReport | None:
        """Tries every handed-out login in the databases of others that follow ``after``; what it reached is a breach."""
        if result.request is None or not result.prepared:
            return None
        request = result.request
        report = await self.world.call(request.server.host, self.world.stores.probe_database, request, after)
        result.breaches = report.breaches
        return report

    async def _tell_what_left(self, database: str, changes: Sequence[str], *, told: bool) -> None:
        """A category, table or column that left the profile stays with its data and expires no more: that is said, whatever
        else the same edit changed (M11)."""
        gone = [change for change in changes if " left the profile" in change]
        if gone and not told:
            note = f"database {database}: {'; '.join(gone)}"
            happening = Happening(self.regarding, Reason.CATEGORIES_NOT_ENFORCED.value, note[:1000], "Warning")
            await self.world.cluster.tell(happening)

    async def _passwords(self, place: Place) -> dict[str, str]:
        wanted = logins_secret(self.world, self.reference, place)
        return await kept_secret(
            self.world,
            wanted,
            lambda known: {
                role: usable_password(known.get(role)) or self.world.new_password() for role in DATABASE_ROLES
            },
        )

    async def _hand_out(
        self,
        store: ClaimedStore,
        server: DatabaseServer,
        usernames: Mapping[str, str],
        passwords: Mapping[str, str],
        result: DatabaseResult,
        *,
        with_backup: bool,
    ) -> None:
        place = store.wanted.place
        backup = [BACKUP] if with_backup and not place.region else []
        for role in (*HANDED_OUT, *backup):
            credentials = PostgresCredentials(
                host=server.host,
                port=server.port,
                database=store.entry.spec.name,
                username=usernames[role],
                password=passwords[role],
                ca=server.ca,
                provider=store.entry.spec.provisioner.lower(),
            )
            manifest = postgres_binding(self.reference, place, role, credentials, store.entry.metadata.name)
            await self.world.applier.apply(manifest, self.regarding)
            if role in HANDED_OUT:
                name = binding_name(self.reference, place, role)
                result.bindings.append(BindingReport(name, place.purpose, HANDED_OUT[role], place.region, place.unit))
