"""Profiles and classes: whether policies can use them, how many do; the default classes that are made once at start."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tenant_retention.api.v1alpha1.common import API_VERSION
from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.datastoreclass import DataStoreClass
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.domain.conditions import Finding, reason_of, render
from tenant_retention.domain.errors import Invalid, RetentionError
from tenant_retention.domain.ports.cluster import POLICY, PROFILE, STORE, STORE_CLASS, Manifest
from tenant_retention.domain.ports.stores import BucketServer
from tenant_retention.domain.profile_check import (
    check_profile,
)
from tenant_retention.domain.topology import of_class
from tenant_retention.reconcile.buckets import static_key
from tenant_retention.reconcile.cloudnativepg import require_cloudnativepg
from tenant_retention.reconcile.existing import existing_server
from tenant_retention.reconcile.telling import tell_status
from tenant_retention.reconcile.world import World, conditions_of, parse

_DEFAULTS = {"PostgreSQL": "embedded-postgresql", "S3": "embedded-s3"}


async def make_default_classes(world: World) -> None:
    """One embedded default class per type, at the start, where no class of that type is the default (PROVISIONING.md 1).

    A class that is no default serves nobody who names no class: one applied before the operator's first start, for one
    customer's own server, must not keep the default from being made. A class of the embedded one's name is left as it is.
    """
    if not world.embedded_classes:
        return
    classes = await world.cluster.list(STORE_CLASS)
    types = {found["spec"]["type"] for found in classes if found["spec"].get("default")}
    names = {found["metadata"]["name"] for found in classes}
    for type_, name in _DEFAULTS.items():
        if type_ not in types and name not in names:
            await world.cluster.create(
                {
                    "apiVersion": API_VERSION,
                    "kind": STORE_CLASS.name,
                    "metadata": {"name": name},
                    "spec": {"type": type_, "provisioner": "Embedded", "default": True},
                }
            )


async def reconcile_profile(world: World, name: str) -> timedelta | None:
    """The status of a profile: whether it agrees with itself, and how many policies name it."""
    manifest = await world.cluster.get(PROFILE, name)
    if manifest is None:
        return None
    problem: RetentionError | None = None
    categories = 0
    try:
        profile = parse(RetentionProfile, manifest, Reason.PROFILE_INVALID)
        categories = len(profile.spec.categories)
        check_profile(profile.spec)
    except Invalid as caught:
        problem = caught
    policies = [
        found for found in await world.cluster.list(POLICY) if found["spec"].get("profileRef", {}).get("name") == name
    ]
    await tell_status(
        world,
        PROFILE,
        manifest,
        {**_status(world, manifest, problem), "categories": categories, "policies": len(policies)},
    )
    return timedelta(seconds=max(world.resync_seconds, 30.0))


async def reconcile_class(world: World, name: str) -> timedelta | None:
    """The status of a class: whether its Secrets are there, and how many stores come from it."""
    manifest = await world.cluster.get(STORE_CLASS, name)
    if manifest is None:
        return None
    problem: RetentionError | None = None
    warnings: tuple[str, ...] = ()
    try:
        warnings = await _check_class(world, parse(DataStoreClass, manifest, Reason.CLASS_INVALID))
    except RetentionError as caught:
        problem = caught
    stores = [found for found in await world.cluster.list(STORE) if found["spec"].get("className") == name]
    await tell_status(
        world, STORE_CLASS, manifest, {**_status(world, manifest, problem, warnings), "stores": len(stores)}
    )
    return timedelta(seconds=max(world.resync_seconds, 30.0))


async def _check_class(world: World, found: DataStoreClass) -> tuple[str, ...]:
    """Secrets there, server reached, version, TLS and privileges as needed (D6, D7); warnings."""
    if found.spec.provisioner == "CloudNativePG":
        await require_cloudnativepg(world)
    existing = found.spec.existing
    if existing is None:
        return ()
    server = await existing_server(world, found.spec.type, existing)
    for credential in existing.static_credentials:
        await static_key(world, credential)
    backend = server.url if isinstance(server, BucketServer) else server.host
    try:
        return await world.call(backend, world.stores.check, server)
    except RetentionError as problem:
        raise of_class(problem, found.metadata.name, found.spec.type) from problem


def _status(
    world: World, manifest: Manifest, problem: RetentionError | None, warnings: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    generation = manifest["metadata"].get("generation", 0)
    finding = (
        Finding(ConditionType.READY, False, reason_of(problem.reason), problem.message)
        if problem is not None
        else Finding(ConditionType.READY, True, Reason.AVAILABLE, "; ".join(warnings))
    )
    return {
        "observedGeneration": generation,
        "conditions": render([finding], conditions_of(manifest), generation, world.now()),
    }
