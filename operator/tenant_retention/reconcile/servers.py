"""Where a policy's stores are: servers of ours are made from the ledger alone, existing ones are looked up by the class.

Only ledger entries and the operator's own Secrets are needed, so a released store's server is kept up (and its
certificate renewed) as long as its data is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tenant_retention.adapters.certificates import issue_server_certificate, make_authority, read_server_certificate
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import Embedded
from tenant_retention.domain.bucket_identities import AccessKey, Iam
from tenant_retention.domain.certificates import AuthorityState, advance, renewal_reason
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.manifests import postgresql, seaweedfs
from tenant_retention.domain.manifests.inputs import (
    EmbeddedPostgres,
    EmbeddedS3,
    Image,
    PolicyRef,
    ServerCertificate,
)
from tenant_retention.domain.manifests.metadata import server_dns_names, server_host, server_name
from tenant_retention.domain.manifests.operator_secrets import (
    AUTHORITY_SECRET,
    authority_secret,
    read_authority,
)
from tenant_retention.domain.ports.caches import CacheServer
from tenant_retention.domain.ports.cluster import (
    SECRET,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Manifest,
)
from tenant_retention.domain.ports.stores import BucketServer, DatabaseServer
from tenant_retention.reconcile.cloudnativepg import Clusters
from tenant_retention.reconcile.embedded_secrets import postgresql_administrator, s3_administrator
from tenant_retention.reconcile.existing import existing_server
from tenant_retention.reconcile.foreign import refuse_foreign
from tenant_retention.reconcile.resources import resources_of
from tenant_retention.reconcile.volumes import keep_claim, retain_volume, size_of
from tenant_retention.reconcile.world import World, secret_values

Server = DatabaseServer | BucketServer | CacheServer


class Authorities:
    """The operator's certificate authority: one at a time looks after it, however many reconciles ask."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def state(self, world: World) -> AuthorityState:
        """The authority as it must be now; made, prepared, promoted or forgotten when that is due."""
        async with self._lock:
            found = await world.cluster.get(SECRET, AUTHORITY_SECRET, world.operator.namespace)
            known = read_authority(found) if found is not None else None
            state = advance(known, world.now(), make_authority)
            if state != known:
                wanted = authority_secret(world.operator, state)
                if known is None and await world.cluster.create(wanted) is None:
                    raise NotReady(
                        "the certificate authority has just been made by somebody else", reason="Provisioning"
                    )
                if known is not None:
                    await world.cluster.apply(wanted)
            return state


@dataclass(frozen=True)
class Servers:
    """Makes and finds the servers of one policy's stores."""

    world: World
    authorities: Authorities
    reference: PolicyRef
    regarding: Manifest

    async def of(self, entries: Sequence[DataStore]) -> Server:
        """The server of ``entries``: all of one type and provisioner, all of one policy.

        Raises NotReady while an embedded server comes up; Invalid where a class or Secret is wrong.
        """
        first = entries[0]
        if first.spec.provisioner == "Existing":
            existing = first.spec.class_snapshot.existing
            if existing is None:
                raise Invalid(
                    f"DataStore {first.metadata.name}: spec.classSnapshot.existing is missing", reason="ClassInvalid"
                )
            return await existing_server(self.world, first.spec.type, existing)
        classes = sorted({entry.spec.class_name for entry in entries})
        if len(classes) > 1:
            raise Invalid(
                f"spec.stores: the {first.spec.type} stores of one policy share one {first.spec.provisioner} server, but name "
                f"the classes {' and '.join(classes)}; name one class",
                reason="ClassInvalid",
                field="spec.stores",
            )
        if first.spec.provisioner == "CloudNativePG":
            return await self._clusters().of(entries)
        return await self._embedded(entries)

    async def as_left(self, entry: DataStore) -> Server | None:
        """The server of an entry whose namespace is not served: nothing there is read or written. None for embedded buckets.

        What the operator keeps itself is enough to reach a database that runs on.
        """
        if entry.spec.provisioner == "CloudNativePG":
            return await self._clusters().as_left()
        if entry.spec.provisioner == "Existing":
            return await self.of([entry])
        if entry.spec.type != "PostgreSQL":
            return None
        authority = await self.authorities.state(self.world)
        values = await postgresql_administrator(self.world, self.reference)
        return self._database(values["password"], authority.bundle())

    def _clusters(self) -> Clusters:
        return Clusters(self.world, self.reference, self.regarding)

    def _database(self, password: str, bundle: str) -> DatabaseServer:
        host = server_host(self.reference, "postgresql")
        return DatabaseServer(host, postgresql.PORT, postgresql.ADMINISTRATOR, password, bundle)

    async def _embedded(self, entries: Sequence[DataStore]) -> Server:
        kind = "postgresql" if entries[0].spec.type == "PostgreSQL" else "s3"
        settings = entries[0].spec.class_snapshot.embedded or Embedded()
        authority = await self.authorities.state(self.world)
        certificate = await self._certificate(kind, authority)
        running = await self.world.cluster.get(
            STATEFUL_SET, server_name(self.reference, kind), self.reference.namespace
        )
        settings = settings.model_copy(update={"storage": size_of(running) or settings.storage})
        server: Server
        if kind == "postgresql":
            objects, server = await self._postgresql(settings, certificate, authority.bundle())
        else:
            objects, server = await self._s3(settings, certificate, authority.bundle(), entries)
        if not any(entry.spec.volumes for entry in entries):
            claim = f"data-{server_name(self.reference, kind)}-0"
            await refuse_foreign(self.world, self.reference, objects, [(VOLUME_CLAIM, claim)])
        elif running is not None:
            await keep_claim(self.world, self.reference, running)
        for manifest in objects:
            await self.world.applier.apply(manifest, self.regarding)
        await self._wait(kind)
        await retain_volume(self.world, self.reference, kind, entries)
        return server

    async def _postgresql(
        self, settings: Embedded, certificate: ServerCertificate, bundle: str
    ) -> tuple[tuple[Manifest, ...], Server]:
        values = await postgresql_administrator(self.world, self.reference)
        described = EmbeddedPostgres(
            policy=self.reference,
            operator=self.world.operator,
            image=self._image(settings, self.world.images.postgresql),
            certificate=certificate,
            verifier=values["verifier"],
            storage=settings.storage,
            storage_class_name=settings.storage_class_name,
            resources=resources_of(settings.resources),
        )
        return postgresql.embedded_postgresql(described), self._database(values["password"], bundle)

    async def _s3(
        self, settings: Embedded, certificate: ServerCertificate, bundle: str, entries: Sequence[DataStore]
    ) -> tuple[tuple[Manifest, ...], Server]:
        values = await s3_administrator(self.world, self.reference, entries)
        described = EmbeddedS3(
            policy=self.reference,
            operator=self.world.operator,
            image=self._image(settings, self.world.images.seaweedfs),
            certificate=certificate,
            access_key=values["accessKey"],
            secret_key=values["secretKey"],
            kek=values["kek"],
            storage=settings.storage,
            storage_class_name=settings.storage_class_name,
            resources=resources_of(settings.resources),
        )
        access = BucketServer(
            url=seaweedfs.endpoint(self.reference),
            region=seaweedfs.REGION,
            iam=Iam.AWS,
            administrator=AccessKey(values["accessKey"], values["secretKey"]),
            ca=bundle,
        )
        return seaweedfs.embedded_s3(described), access

    async def _certificate(self, kind: str, authority: AuthorityState) -> ServerCertificate:
        name = f"{server_name(self.reference, kind)}-tls"
        values = secret_values(await self.world.cluster.get(SECRET, name, self.reference.namespace))
        wanted = server_dns_names(self.reference, kind)
        now = self.world.now()
        if "tls.crt" in values and "tls.key" in values:
            known = ServerCertificate(values["tls.crt"], values["tls.key"])
            facts = read_server_certificate(known, authority.current)
            if renewal_reason(facts, wanted, now) is None:
                return known
        return issue_server_certificate(authority.current, wanted, now)

    async def _wait(self, kind: str) -> None:
        name = server_name(self.reference, kind)
        found = await self.world.cluster.get(STATEFUL_SET, name, self.reference.namespace)
        status = (found or {}).get("status") or {}
        if found is not None and status.get("readyReplicas", 0) >= 1:
            return
        claim = await self.world.cluster.get(VOLUME_CLAIM, f"data-{name}-0", self.reference.namespace)
        if claim is not None and (claim.get("status") or {}).get("phase") == "Pending":
            raise NotReady(
                f"the volume of {name} is not bound yet; see: kubectl -n {self.reference.namespace} describe pvc data-{name}-0",
                reason=Reason.WAITING_FOR_VOLUME,
            )
        raise NotReady(
            f"{name} is starting; see: kubectl -n {self.reference.namespace} get pod {name}-0",
            reason=Reason.WAITING_FOR_SERVER,
        )

    def _image(self, settings: Embedded, default: Image) -> Image:
        return Image(settings.image, default.pull_policy, default.pull_secrets) if settings.image else default
