"""The Kopf edge: every watch does one thing, it puts a key into the work queue.

Only ``on.event`` handlers: they leave no finalizer, no annotation and no progress in the objects, so there is nothing a
tenant could forge, and a first handling costs no patch. Deletion is an event like any other: the reconcile finds that
the object is gone and compares with the ledger.
"""

from __future__ import annotations

from typing import Any

import kopf

from tenant_retention.api.v1alpha1.common import GROUP, VERSION
from tenant_retention.domain.ports.cluster import HOLD, POLICY, PROFILE, REQUEST, RUN, STORE, STORE_CLASS
from tenant_retention.handlers.queue import Key, WorkQueue
from tenant_retention.handlers.seen import Seen

CHILD_SELECTOR = "app.kubernetes.io/managed-by=tenant-retention-operator"
POLICY_LABEL = "tenantretention.io/policy"
FINALIZER = "tenantretention.io/kopf"
PREFIX = "tenantretention.io"


def configure(settings: kopf.OperatorSettings) -> None:
    """Kopf's settings. Progress and diff-base live in the status, which a tenant cannot write; nothing is a finalizer of
    a policy. Children are selected by the server: else every StatefulSet and Job of the cluster is streamed."""
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.StatusProgressStorage(field="status.kopf.progress")
    settings.persistence.diffbase_storage = kopf.StatusDiffBaseStorage(field="status.kopf.last-handled-configuration")
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 30
    settings.watching.server_timeout = 600
    # A connection that died without a word would else be listened to for ever.
    settings.watching.client_timeout = 660
    for plural in ("statefulsets", "cronjobs", "jobs", "clusters"):
        settings.watching.label_selectors[plural] = CHILD_SELECTOR


def register(registry: kopf.OperatorRegistry, queue: WorkQueue, seen: Seen, *, in_cluster: bool) -> None:
    """Registers all watches in ``registry``."""
    login = kopf.login_with_service_account if in_cluster else kopf.login_with_kubeconfig
    kopf.on.login(registry=registry)(login)
    register_policies(registry, queue, seen)
    register_catalogue(registry, queue, seen)
    register_ledger(registry, queue, seen)
    register_children(registry, queue)


def register_policies(registry: kopf.OperatorRegistry, queue: WorkQueue, seen: Seen) -> None:
    """Policies, runs, holds and requests: their own keys. A namespace that is labelled wakes its policies, and so does a request
    that is gone: they take back what was not begun."""

    @kopf.on.event(GROUP, VERSION, POLICY.plural, registry=registry)
    async def policy_event(event: Any, name: str, namespace: Any, body: Any, **_: Any) -> None:
        if seen.policy(namespace, name, body, gone=event["type"] == "DELETED"):
            queue.add(Key(POLICY.name, namespace, name))

    @kopf.on.event(GROUP, VERSION, RUN.plural, registry=registry)
    async def run_event(name: str, namespace: Any, meta: Any, **_: Any) -> None:
        if seen.changed(RUN.name, meta["uid"], meta):
            queue.add(Key(RUN.name, namespace, name))

    @kopf.on.event(GROUP, VERSION, HOLD.plural, registry=registry)
    async def hold_event(name: str, namespace: Any, meta: Any, **_: Any) -> None:
        if seen.changed(HOLD.name, meta["uid"], meta):
            queue.add(Key(HOLD.name, namespace, name))

    @kopf.on.event(GROUP, VERSION, REQUEST.plural, registry=registry)
    async def request_event(event: Any, name: str, namespace: Any, meta: Any, **_: Any) -> None:
        if seen.changed(REQUEST.name, meta["uid"], meta):
            queue.add(Key(REQUEST.name, namespace, name))
        if event["type"] == "DELETED":
            queue.add(Key(REQUEST.name, namespace, name))
            for policy in seen.policies_in(namespace):
                queue.add(Key(POLICY.name, namespace, policy))

    @kopf.on.event("v1", "namespaces", registry=registry)
    async def namespace_event(name: str, **_: Any) -> None:
        for policy in seen.policies_in(name):
            queue.add(Key(POLICY.name, name, policy))


def register_catalogue(registry: kopf.OperatorRegistry, queue: WorkQueue, seen: Seen) -> None:
    """Profiles and classes: their own status, and every policy that they may concern."""

    @kopf.on.event(GROUP, VERSION, PROFILE.plural, registry=registry)
    async def profile_event(name: str, meta: Any, **_: Any) -> None:
        if seen.changed(PROFILE.name, name, meta):
            queue.add(Key(PROFILE.name, "", name))
            for namespace, policy in seen.policies_with_profile(name):
                queue.add(Key(POLICY.name, namespace, policy))

    @kopf.on.event(GROUP, VERSION, STORE_CLASS.plural, registry=registry)
    async def class_event(name: str, meta: Any, **_: Any) -> None:
        if seen.changed(STORE_CLASS.name, name, meta):
            queue.add(Key(STORE_CLASS.name, "", name))
            for namespace, policy in seen.policies():
                queue.add(Key(POLICY.name, namespace, policy))


def register_ledger(registry: kopf.OperatorRegistry, queue: WorkQueue, seen: Seen) -> None:
    """A ledger entry: itself, and the policy that it belongs to."""

    @kopf.on.event(GROUP, VERSION, STORE.plural, registry=registry)
    async def store_event(event: Any, name: str, meta: Any, spec: Any, **_: Any) -> None:
        if not seen.changed(STORE.name, name, meta):
            return
        queue.add(Key(STORE.name, "", name))
        reference = spec.get("policyRef") or {}
        if event["type"] == "DELETED" or meta.get("generation", 0) > 1:
            queue.add(Key(POLICY.name, reference.get("namespace", ""), reference.get("name", "")))


def register_children(registry: kopf.OperatorRegistry, queue: WorkQueue) -> None:
    """Servers, CronJobs and Jobs that we made: their policy, found by label; and the run or request a Job belongs to."""

    async def child_event(namespace: Any, labels: Any, meta: Any, **_: Any) -> None:
        if policy := labels.get(POLICY_LABEL):
            queue.add(Key(POLICY.name, namespace, policy))
        for owner in meta.get("ownerReferences", ()):
            if owner.get("kind") in (RUN.name, REQUEST.name):
                queue.add(Key(owner["kind"], namespace, owner["name"]))

    kopf.on.event("apps", "v1", "statefulsets", registry=registry)(child_event)
    kopf.on.event("batch", "v1", "cronjobs", registry=registry)(child_event)
    kopf.on.event("batch", "v1", "jobs", registry=registry)(child_event)
    # Kopf looks for definitions that come later, and starts the watch then.
    kopf.on.event("postgresql.cnpg.io", "v1", "clusters", registry=registry)(child_event)
