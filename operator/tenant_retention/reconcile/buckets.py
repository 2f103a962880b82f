"""The buckets of a policy: keys are kept the moment they are issued, then handed out in Secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tenant_retention.api.v1alpha1.datastoreclass import StaticCredential
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, Iam
from tenant_retention.domain.buckets import ROLES_OF_BACKUPS, WRITTEN_BY_JOBS
from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.isolation import ProbeReport
from tenant_retention.domain.manifests.bindings import s3_binding
from tenant_retention.domain.manifests.inputs import PolicyRef, S3Credentials
from tenant_retention.domain.manifests.metadata import binding_name, encoded
from tenant_retention.domain.manifests.operator_secrets import administrator_secret
from tenant_retention.domain.names import purpose_label
from tenant_retention.domain.policy_report import (
    BindingReport,
)
from tenant_retention.domain.ports.cluster import SECRET, Happening, Manifest
from tenant_retention.domain.ports.stores import BucketRequest, BucketServer
from tenant_retention.domain.readiness import Measurements
from tenant_retention.reconcile.claims import ClaimedStore
from tenant_retention.reconcile.tenancy import Home
from tenant_retention.reconcile.world import World, secret_values

_SHOWN = {BucketRole.APP: "App", BucketRole.READER: "Reader", BucketRole.ENFORCER: "Enforcer"}


@dataclass
class BucketResult:
    """What became of one bucket in this reconcile."""

    store: ClaimedStore
    request: BucketRequest | None = None
    keys: Mapping[BucketRole, AccessKey] = field(default_factory=dict)
    prepared: bool = False
    problem: RetentionError | None = None
    bindings: list[BindingReport] = field(default_factory=list)
    breaches: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    measured: Measurements | None = None


@dataclass(frozen=True)
class Buckets:
    """Works on the buckets of one policy; ``regarding``: the policy, for Events."""

    world: World
    reference: PolicyRef
    home: Home
    regarding: Manifest

    async def prepare(
        self, store: ClaimedStore, server: BucketServer, definition: RetentionDefinition, *, tell_drift: bool
    ) -> BucketResult:
        """Bucket, settings, identities, keys and binding Secrets as wanted. Never raises RetentionError."""
        result = BucketResult(store)
        try:
            held = await self._held(store, server)
            locked = any(
                category.minimum is not None
                for category in definition.categories
                if (link := category.objects or category.files) is not None and link.bucket == store.wanted.purpose
            )
            result.request = BucketRequest(
                server, store.identity, self.home.uid, self.reference.uid, locked, held, store.confirmed_uids()
            )
            outcome = await self.world.call(server.url, self.world.stores.prepare_bucket, result.request)
            if dict(outcome.keys) != held:
                # A key that is lost between here and the Secret is removed and issued anew by the next reconcile.
                await self._keep(store.wanted.purpose, outcome.keys)
            if tell_drift and outcome.changes:
                note = f"bucket {result.request.name}: {'; '.join(outcome.changes)}"
                await self.world.cluster.tell(Happening(self.regarding, "DriftRepaired", note[:1000], "Warning"))
            result.keys = outcome.keys
            if store.wanted.purpose == ARCHIVE and outcome.unfinished is None:
                require_writer(store.entry.spec.class_name, outcome.keys, "no file is stored or removed")
            await self._hand_out(store, server, outcome.keys, result)
            if outcome.unfinished is not None:
                # Only now: a key in force that reached no Secret would keep its application out until all else is well.
                raise outcome.unfinished
            result.prepared = True
        except RetentionError as problem:
            result.problem = store.at_its_server(problem)
        return result

    async def probe(self, result: BucketResult, after: str) -> ProbeReport | None:
        """Tries every key where it must be refused, in the buckets of others that follow ``after``."""
        if result.request is None or not result.prepared:
            return None
        request = result.request
        report = await self.world.call(request.server.url, self.world.stores.probe_bucket, request, result.keys, after)
        result.breaches = report.breaches
        return report

    async def _held(self, store: ClaimedStore, server: BucketServer) -> dict[BucketRole, AccessKey]:
        if server.iam is Iam.STATIC:
            existing = store.entry.spec.class_snapshot.existing
            return await self._static(existing.static_credentials if existing else ())
        meta = self._secret(store.wanted.purpose)["metadata"]
        values = secret_values(await self.world.cluster.get(SECRET, meta["name"], meta["namespace"]))
        return {
            role: AccessKey(values[f"{role}.id"], values[f"{role}.secret"])
            for role in BucketRole
            if values.get(f"{role}.id") and values.get(f"{role}.secret")
        }

    async def _static(self, credentials: tuple[StaticCredential, ...]) -> dict[BucketRole, AccessKey]:
        return {
            BucketRole(credential.role.lower()): await static_key(self.world, credential)
            for credential in credentials
            if credential.role.lower() in set(BucketRole)
        }

    def _secret(self, purpose: str) -> Manifest:
        return administrator_secret(self.world.operator, self.reference, f"{purpose_label(purpose)}-keys", {})

    async def _keep(self, purpose: str, keys: Mapping[BucketRole, AccessKey]) -> None:
        values = {f"{role}.id": key.key_id for role, key in keys.items()}
        values |= {f"{role}.secret": key.secret for role, key in keys.items()}
        await self.world.cluster.apply({**self._secret(purpose), "data": encoded(values)})

    async def _hand_out(
        self,
        store: ClaimedStore,
        server: BucketServer,
        keys: Mapping[BucketRole, AccessKey],
        result: BucketResult,
    ) -> None:
        purpose = store.wanted.purpose
        for role, key in keys.items():
            credentials = S3Credentials(
                endpoint=server.url,
                region=server.region,
                bucket=store.entry.spec.name,
                access_key=key.key_id,
                secret_key=key.secret,
                ca=server.ca,
                provider=store.entry.spec.provisioner.lower(),
            )
            manifest = s3_binding(self.reference, purpose, role.value, credentials, store.entry.metadata.name)
            await self.world.applier.apply(manifest, self.regarding)
            if purpose not in WRITTEN_BY_JOBS or (purpose == ARCHIVE and role is not BucketRole.APP):
                # Who writes there is a Job, and no application.
                name = binding_name(self.reference, purpose, role.value)
                result.bindings.append(BindingReport(name, purpose, _SHOWN[role]))


def require_writer(class_name: str, keys: Mapping[BucketRole, AccessKey], so: str) -> None:
    """Raises Invalid (ClassInvalid) where a bucket that Jobs write into lacks one of their identities; ``so``: what follows."""
    if missing := set(ROLES_OF_BACKUPS) - set(keys):
        raise Invalid(
            f"spec.existing.staticCredentials of DataStoreClass {class_name}: role "
            f"{' and '.join(sorted(role.title() for role in missing))} is missing, without which {so}",
            reason="ClassInvalid",
            field="spec.existing.staticCredentials",
        )


async def static_key(world: World, credential: StaticCredential) -> AccessKey:
    """An identity that the platform made by hand. Raises Invalid (SecretNotFound, SecretInvalid) naming the class's field."""
    name, namespace = credential.secret_ref.name, world.operator.namespace
    found = await world.cluster.get(SECRET, name, namespace)
    path = f"spec.existing.staticCredentials[{credential.role}].secretRef.name"
    if found is None:
        raise Invalid(
            f"{path}: there is no Secret {name} in namespace {namespace}; create it",
            reason="SecretNotFound",
            field=path,
        )
    values = secret_values(found)
    if not values.get("AWS_ACCESS_KEY_ID") or not values.get("AWS_SECRET_ACCESS_KEY"):
        raise Invalid(
            f"{path}: Secret {name} lacks AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY; add it",
            reason="SecretInvalid",
            field=path,
        )
    return AccessKey(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"])
