"""Which rules are in force for a policy: its own, or the last good ones inside today's bounds (X1, M10).

The last good choice and what it meant are kept in a Secret of the operator's namespace: a tenant cannot edit it, and it survives a restart
of the operator, a profile that went and a spec that is wrong now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy, TenantRetentionPolicySpec
from tenant_retention.domain.archive_rules import DATABASE, FILES, check_archive
from tenant_retention.domain.backup_rules import BackupRules, check_backups, check_request
from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.cache_rules import check_cache
from tenant_retention.domain.cluster_backups import ClusterBackups, check_cluster_backups, longest_life
from tenant_retention.domain.conditions import patience_ended
from tenant_retention.domain.copies import margin
from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError
from tenant_retention.domain.ledger import Claimant
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.operator_secrets import administrator_secret
from tenant_retention.domain.placement import check_units
from tenant_retention.domain.ports.cluster import PROFILE, SECRET, Manifest
from tenant_retention.domain.rules import Subject, define, inside_bounds
from tenant_retention.domain.topology import WantedStore, check_stores, needed_stores, wanted_stores
from tenant_retention.reconcile.archive_place import archive_type
from tenant_retention.reconcile.backup_settings import backup_rules
from tenant_retention.reconcile.cluster_backups import read_cluster_backups
from tenant_retention.reconcile.tenancy import Home
from tenant_retention.reconcile.world import World, conditions_of, parse, parse_policy, secret_values

_WHAT = "last-good"
_Model = TypeVar("_Model")


@dataclass(frozen=True)
class LastGood:
    """The newest pair of policy and profile that agreed, with their generations and what they meant: the definition, and the
    stores by purpose. ``profile`` None: this version cannot read it. ``definition`` None: a version kept the choice that did
    not keep more yet, or this one cannot read it. ``backups`` None: there never were any; ``cluster``: the Cluster's own."""

    policy: TenantRetentionPolicySpec
    policy_generation: int
    profile: RetentionProfileSpec | None
    profile_generation: int
    definition: RetentionDefinition | None
    stores: Mapping[str, str]
    backups: BackupRules | None = None
    cluster: ClusterBackups | None = None

    def life(self) -> timedelta:
        """How long the copies live that outlive the others."""
        return longest_life(self.backups, self.cluster)


@dataclass(frozen=True)
class Rules:
    """What is enforced. ``definition`` None: there never was a good one. ``problem``: why it is not the spec's own.
    ``profile`` None: what is enforced comes from one that cannot be used any more. ``stores``: what the rules need.
    ``backups`` None: there never were any. ``late``: the Cluster's own backups that should be gone by now."""

    definition: RetentionDefinition | None = None
    profile: RetentionProfileSpec | None = None
    policy: TenantRetentionPolicySpec | None = None
    problem: RetentionError | None = None
    stores: tuple[WantedStore, ...] = ()
    backups: BackupRules | None = None
    late: tuple[str, ...] = ()


async def read_policy(
    world: World, reference: PolicyRef, manifest: Manifest
) -> tuple[TenantRetentionPolicy, Invalid | None]:
    """The policy; where its spec cannot be read (an older stored version), its last good choice, and what is wrong.

    Whether runs may delete is taken from the spec as far as it can be read: doubt keeps the data, and debt is counted.
    Raises Invalid where there never was a good choice.
    """
    try:
        return parse_policy(manifest), None
    except Invalid as problem:
        last = await recall(world, reference)
        if last is None:
            raise
        written = manifest.get("spec") or {}
        deletes = written.get("mode", "Enforce") == "Enforce"
        switches = {"mode": "Enforce" if deletes else "DryRun", "suspend": written.get("suspend", False) is not False}
        spec = {**last.policy.to_object(), **switches}
        return parse_policy({**manifest, "spec": spec, "status": {}}), problem


async def resolve(
    world: World,
    reference: PolicyRef,
    policy: TenantRetentionPolicy,
    home: Home | None,
    unreadable: RetentionError | None = None,
) -> Rules:
    """The rules of ``policy`` now; remembers them where they are good (M10: an invalid policy goes on being enforced).

    ``unreadable``: what is wrong with the spec that ``policy`` stands for; ``home`` None: its namespace is not served.
    """
    last = await recall(world, reference)
    if home is None:
        return await _fall_back(world, policy, last, unreadable)
    copies = await read_cluster_backups(world, reference, last.cluster if last is not None else None)
    try:
        if unreadable is not None:
            raise unreadable
        profile, generation = await _profile(world, policy, home)
        claimant = Claimant(reference.namespace, home.uid, reference.name, reference.uid)
        needed = needed_stores(profile, policy.spec, await archive_type(world, claimant, policy))
        backups = await backup_rules(world, policy, needed, last.backups if last is not None else None)
        check_backups(profile, backups)
        if copies.problem is not None:
            raise copies.problem
        cluster = copies.rules
        check_cluster_backups(profile, cluster)
        in_files = needed.get(ARCHIVE) == FILES
        earlier = margin(longest_life(backups, cluster), in_files=in_files)
        definition = define(profile, policy.spec, _subject(world, policy, generation, earlier))
        check_stores(profile, policy.spec)
        check_request(policy.spec, backups)
        check_cache(profile, policy.spec, last.stores if last is not None else {})
        check_archive(policy.spec, definition, in_files=in_files)
        check_units(policy.spec)
    except RetentionError as problem:
        return replace(await _fall_back(world, policy, last, problem), late=copies.late)
    needed |= _bucket_of(backups)
    definition = definition.placed_in(name for name, type_ in needed.items() if type_ == "PostgreSQL")
    now = LastGood(policy.spec, policy.metadata.generation, profile, generation, definition, needed, backups, cluster)
    if now != last:
        await _remember(world, reference, now)
    return Rules(definition, profile, policy.spec, None, wanted_stores(needed, policy.spec), backups, copies.late)


async def recall(world: World, reference: PolicyRef) -> LastGood | None:
    """The last good choice; None if there is none, or none that this version can read."""
    name = administrator_secret(world.operator, reference, _WHAT, {})["metadata"]["name"]
    text = secret_values(await world.cluster.get(SECRET, name, world.operator.namespace)).get("choice")
    if text is None:
        return None
    try:
        kept = json.loads(text)
        return LastGood(
            TenantRetentionPolicySpec.from_object(kept["policy"]),
            int(kept["policyGeneration"]),
            _readable(RetentionProfileSpec.from_object, kept["profile"]),
            int(kept["profileGeneration"]),
            _readable(RetentionDefinition.model_validate, kept.get("definition")),
            dict(kept.get("stores") or {}),
            _readable(BackupRules.recalled, kept.get("backups")),
            _readable(lambda found: ClusterBackups(**found), kept.get("clusterBackups")),
        )
    except (ValidationError, ValueError, KeyError, TypeError):
        return None


async def forget(world: World, reference: PolicyRef) -> None:
    """Removes the last good choice of a policy that is gone and left no store."""
    meta = administrator_secret(world.operator, reference, _WHAT, {})["metadata"]
    await world.cluster.delete(SECRET, meta["name"], meta["namespace"])


def _readable(read: Callable[[Any], _Model], kept: object) -> _Model | None:
    """What was kept, None where this version cannot read it: one half that is lost must not take the other along."""
    try:
        return read(kept)
    except (ValidationError, ValueError, TypeError, KeyError):
        return None


async def _remember(world: World, reference: PolicyRef, good: LastGood) -> None:
    choice = {
        "policy": good.policy.to_object(),
        "policyGeneration": good.policy_generation,
        "profile": good.profile.to_object() if good.profile else None,
        "profileGeneration": good.profile_generation,
        "definition": good.definition.model_dump(mode="json", by_alias=True) if good.definition else None,
        "stores": dict(good.stores),
        "backups": asdict(good.backups) if good.backups else None,
        "clusterBackups": asdict(good.cluster) if good.cluster else None,
    }
    values = {"choice": json.dumps(choice, sort_keys=True)}
    await world.cluster.apply(administrator_secret(world.operator, reference, _WHAT, values))


async def _profile(world: World, policy: TenantRetentionPolicy, home: Home) -> tuple[RetentionProfileSpec, int]:
    name = policy.spec.profile_ref.name
    found = await world.cluster.get(PROFILE, name)
    if found is None:
        raise NotReady(
            f"spec.profileRef.name: there is no RetentionProfile {name}; create it",
            reason=Reason.WAITING_FOR_PROFILE,
            field="spec.profileRef.name",
        )
    profile = parse(RetentionProfile, found, Reason.PROFILE_INVALID)
    selector = profile.spec.allowed_namespaces
    if selector is not None and not selector.matches(home.labels):
        raise Invalid(
            f"spec.profileRef.name: profile {name} does not allow namespace {home.name} (spec.allowedNamespaces); "
            "label the namespace or name another profile",
            reason=Reason.PROFILE_NOT_ALLOWED,
            field="spec.profileRef.name",
        )
    return profile.spec, profile.metadata.generation


async def _fall_back(
    world: World, policy: TenantRetentionPolicy, last: LastGood | None, problem: RetentionError | None
) -> Rules:
    if last is None:
        return Rules(problem=problem)
    found = await world.cluster.get(PROFILE, policy.spec.profile_ref.name)
    candidates = [(last.profile, last.profile_generation)] if last.profile is not None else []
    if found is not None:
        try:
            today = parse(RetentionProfile, found, Reason.PROFILE_INVALID)
            candidates.insert(0, (today.spec, today.metadata.generation))
        except Invalid:
            # Today's profile cannot be read: its last readable form bounds the choice.
            found = None
    archive = last.stores.get(ARCHIVE, DATABASE)
    for profile, generation in candidates:
        subject = _subject(world, policy, generation, margin(last.life(), in_files=archive == FILES))
        subject = replace(subject, policy_generation=last.policy_generation)
        try:
            choice = inside_bounds(profile, last.policy)
            definition = define(profile, choice, subject)
        except Invalid:
            continue
        needed = {**needed_stores(profile, choice, archive), **_bucket_of(last.backups)}
        definition = definition.placed_in(name for name, type_ in needed.items() if type_ == "PostgreSQL")
        return Rules(definition, profile, choice, problem, wanted_stores(needed, choice), last.backups)
    if last.definition is None:
        return Rules(problem=problem)
    # An upgrade brought checks that neither form of the profile passes: what it meant before goes on, as the databases have
    # it, until somebody changes the profile (M10).
    # The choice is kept by name: it may be of a policy before, whose UID must not get into the stores' markers again.
    definition = last.definition.model_copy(update={"policy_uid": policy.metadata.uid or ""})
    return Rules(definition, None, last.policy, problem, wanted_stores(last.stores, last.policy), last.backups)


def _bucket_of(backups: BackupRules | None) -> dict[str, str]:
    """The bucket that backups lie in; it stays while there may be old ones in it."""
    return {BACKUPS: "S3"} if backups is not None else {}


def _subject(world: World, policy: TenantRetentionPolicy, generation: int, earlier: timedelta) -> Subject:
    return Subject(
        installation=world.installation,
        namespace=policy.metadata.namespace or "",
        policy=policy.metadata.name,
        policy_uid=policy.metadata.uid or "",
        policy_generation=policy.metadata.generation,
        profile_generation=generation,
        margin=earlier,
    )


def settle_waiting(world: World, manifest: dict[str, object], problem: RetentionError | None) -> RetentionError | None:
    """A profile, class or CloudNativePG that is missing for five minutes is the user's turn: Reconciling becomes Stalled."""
    turns = {
        Reason.WAITING_FOR_PROFILE.value: Reason.PROFILE_NOT_FOUND,
        Reason.WAITING_FOR_CLASS.value: Reason.CLASS_NOT_FOUND,
        Reason.WAITING_FOR_CLOUD_NATIVE_PG.value: Reason.CLOUD_NATIVE_PG_MISSING,
    }
    stalled = turns.get(problem.reason) if problem is not None else None
    if problem is None or stalled is None:
        return problem
    if not patience_ended(conditions_of(manifest), Reason(problem.reason), stalled, world.now()):
        return problem
    return Invalid(problem.message, reason=stalled, field=problem.field)
