"""``python -m tenant_retention``: wires the operator process together and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import kopf

from tenant_retention.adapters.kubernetes.client import KubernetesCluster
from tenant_retention.adapters.kubernetes.session import IN_CLUSTER_TOKEN, api_client
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.inputs import Image, OperatorRef
from tenant_retention.domain.ports.cluster import NAMESPACE, Cluster
from tenant_retention.handlers import watches
from tenant_retention.handlers.http import serve
from tenant_retention.handlers.queue import Key, WorkQueue
from tenant_retention.handlers.resync import Resync
from tenant_retention.handlers.seen import Seen
from tenant_retention.reconcile.catalogue import make_default_classes
from tenant_retention.reconcile.dispatch import Reconcile
from tenant_retention.reconcile.world import Applier, Images, StoreCalls, World
from tenant_retention.settings import Settings, read_settings
from tenant_retention.telemetry import Health, Telemetry, configure_logging

_LOG = logging.getLogger(__name__)


async def make_world(
    settings: Settings, cluster: Cluster, telemetry: Telemetry, pool: ThreadPoolExecutor, directory: Path
) -> World:
    """The surroundings of every reconcile. The installation's id defaults to the UID of kube-system."""
    installation = settings.installation
    if not installation:
        system = await cluster.get(NAMESPACE, "kube-system")
        if system is None:
            raise Invalid("INSTALLATION_ID: the cluster has no namespace kube-system; set the chart's installationId")
        installation = str(system["metadata"]["uid"])
    pull, secrets = settings.image_pull_policy, settings.image_pull_secrets
    return World(
        cluster=cluster,
        stores=RealTenantStores(directory),
        call=StoreCalls(pool, settings.per_backend),
        applier=Applier(cluster),
        shown=telemetry,
        operator=OperatorRef(
            namespace=settings.namespace,
            service_account=settings.service_account,
            cluster_role=settings.tenant_cluster_role,
        ),
        images=Images(
            job=Image(settings.job_image, pull, secrets),
            postgresql=Image(settings.postgresql_image, pull, secrets),
            seaweedfs=Image(settings.seaweedfs_image, pull, secrets),
        ),
        installation=installation,
        embedded_classes=settings.embedded_classes,
        grace_seconds=settings.run_grace_seconds,
        resync_seconds=settings.resync_seconds,
        now=lambda: datetime.now(UTC),
        entropy=os.urandom,
        cloudnativepg_namespace=settings.cloudnativepg_namespace,
    )


async def run(settings: Settings, kubeconfig: Path | None, *, in_cluster: bool) -> None:
    """Runs the operator until SIGTERM or until one of its parts ends."""
    telemetry, health, seen = Telemetry(), Health(time.monotonic), Seen()
    queue = WorkQueue(time.monotonic, lambda: random.uniform(0.5, 1.5))
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="authorities-")))
        pool = stack.enter_context(ThreadPoolExecutor(settings.store_threads, thread_name_prefix="store"))
        api = await stack.enter_async_context(api_client(kubeconfig, in_cluster=in_cluster))
        cluster = KubernetesCluster(api, settings.instance)
        world = await make_world(settings, cluster, telemetry, pool, directory)
        await make_default_classes(world)
        await stack.enter_async_context(serve(settings.http_port, queue, health, telemetry))
        resync = Resync(
            cluster,
            queue,
            seen,
            health,
            interval=settings.resync_seconds,
            namespaces=settings.watch_namespaces,
            spread=random.random,
        )
        reconcile = Reconcile(world)

        async def timed(key: Key) -> timedelta | None:
            begun, outcome = time.monotonic(), "error"
            try:
                again = await reconcile(key.kind, key.namespace, key.name)
                outcome = "success"
                return again
            finally:
                telemetry.reconciled(key.kind, outcome, time.monotonic() - begun)

        _LOG.info("the operator starts", extra={"installation": world.installation, "resync": settings.resync_seconds})
        await until_stopped(
            resync.run(), queue.run(settings.workers, timed), watch(settings, queue, seen, in_cluster=in_cluster)
        )


async def watch(settings: Settings, queue: WorkQueue, seen: Seen, *, in_cluster: bool) -> None:
    """Kopf's part: the watches."""
    registry, configuration = kopf.OperatorRegistry(), kopf.OperatorSettings()
    watches.configure(configuration)
    watches.register(registry, queue, seen, in_cluster=in_cluster)
    await kopf.operator(
        registry=registry,
        settings=configuration,
        standalone=True,
        # Kopf would look for the name of a user; the process runs as a number without one.
        identity=cast(Any, settings.instance),
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
    )


async def until_stopped(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs all parts until one ends. Kopf's ends in peace on SIGTERM (it has the signal handlers); whatever ends otherwise
    is raised: the process ends with it, and the kubelet starts it anew."""
    tasks = [asyncio.get_running_loop().create_task(part) for part in parts]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def main() -> int:
    """The process: settings from the environment, then everything until the end."""
    try:
        settings = read_settings(os.environ)
    except Invalid as problem:
        print(problem.message, file=sys.stderr)
        return 1
    configure_logging(settings.log_level)
    kubeconfig = os.environ.get("KUBECONFIG")
    asyncio.run(
        run(settings, Path(kubeconfig) if kubeconfig else None, in_cluster=not kubeconfig and IN_CLUSTER_TOKEN.exists())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
