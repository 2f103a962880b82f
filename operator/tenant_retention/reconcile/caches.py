"""The cache of a policy: users and passwords kept by the operator, handed out in Secrets (T1, D1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tenant_retention.domain.caches import CacheRole
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.isolation import ProbeReport
from tenant_retention.domain.manifests.bindings import redis_binding
from tenant_retention.domain.manifests.inputs import PolicyRef, RedisCredentials
from tenant_retention.domain.manifests.metadata import binding_name
from tenant_retention.domain.manifests.operator_secrets import administrator_secret
from tenant_retention.domain.names import purpose_label
from tenant_retention.domain.policy_report import BindingReport
from tenant_retention.domain.ports.caches import CacheRequest, CacheServer
from tenant_retention.domain.ports.cluster import Happening, Manifest
from tenant_retention.domain.readiness import Measurements
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.tenancy import Home
from tenant_retention.reconcile.world import World, kept_secret, usable_password

_SHOWN = {CacheRole.APP: "App", CacheRole.READER: "Reader", CacheRole.ENFORCER: "Enforcer"}


@dataclass
class CacheResult:
    """What became of one cache in this reconcile."""

    store: ClaimedStore
    request: CacheRequest | None = None
    prepared: bool = False
    problem: RetentionError | None = None
    bindings: list[BindingReport] = field(default_factory=list)
    breaches: tuple[str, ...] | None = None
    measured: Measurements | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Caches:
    """Works on the cache of one policy; ``regarding``: the policy, for Events."""

    world: World
    reference: PolicyRef
    home: Home
    regarding: Manifest

    async def prepare(self, store: ClaimedStore, server: CacheServer, *, tell_drift: bool) -> CacheResult:
        """Users, rights, marker and binding Secrets as wanted. Never raises RetentionError."""
        result = CacheResult(store)
        try:
            passwords = await self._passwords(store.wanted.purpose)
            result.request = CacheRequest(
                server, store.identity, self.home.uid, self.reference.uid, passwords, store.confirmed_uids()
            )
            changes = await self.world.call(server.host, self.world.stores.prepare_cache, result.request)
            if tell_drift and changes:
                note = f"cache {store.entry.spec.name}: {'; '.join(changes)}"
                await self.world.cluster.tell(Happening(self.regarding, "DriftRepaired", note[:1000], "Warning"))
            await self._hand_out(store, server, passwords, result)
            result.prepared = True
        except RetentionError as problem:
            result.problem = store.at_its_server(problem)
        return result

    async def probe(self, result: CacheResult) -> ProbeReport | None:
        """Tries every login where it must be refused."""
        if result.request is None or not result.prepared:
            return None
        report = await self.world.call(result.request.server.host, self.world.stores.probe_cache, result.request)
        result.breaches = report.breaches
        return report

    async def _passwords(self, purpose: str) -> dict[CacheRole, str]:
        wanted = administrator_secret(self.world.operator, self.reference, f"{purpose_label(purpose)}-logins", {})
        kept = await kept_secret(
            self.world,
            wanted,
            lambda known: {
                role.value: usable_password(known.get(role.value)) or self.world.new_password() for role in CacheRole
            },
        )
        return {role: kept[role.value] for role in CacheRole}

    async def _hand_out(
        self, store: ClaimedStore, server: CacheServer, passwords: Mapping[CacheRole, str], result: CacheResult
    ) -> None:
        assert result.request is not None
        wanted, purpose = result.request.wanted(), store.wanted.purpose
        for role, shown in _SHOWN.items():
            credentials = RedisCredentials(
                host=server.host,
                port=server.port,
                username=wanted.username(role),
                password=passwords[role],
                prefix=wanted.prefix,
                ca=server.ca,
                provider=store.entry.spec.provisioner.lower(),
            )
            manifest = redis_binding(self.reference, purpose, role.value, credentials, store.entry.metadata.name)
            await self.world.applier.apply(manifest, self.regarding)
            result.bindings.append(BindingReport(binding_name(self.reference, purpose, role.value), purpose, shown))
