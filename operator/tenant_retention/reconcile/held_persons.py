"""Whose rows a LegalHold is on, as the databases of one policy are told: by its Secret and the policy's region (X3)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tenant_retention.api.v1alpha1.legalhold import LegalHold
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.ports.cluster import Manifest
from tenant_retention.domain.subject_secrets import hold_subject
from tenant_retention.domain.subjects import Subject, constants_of, parse_subject
from tenant_retention.reconcile.rules import read_policy, recall
from tenant_retention.reconcile.subject_secrets import take_secret
from tenant_retention.reconcile.world import World


async def identifiers_of(world: World, hold: LegalHold, namespace: str) -> Mapping[str, bytes] | None:
    """What the hold's Secret says; None: it is on nobody. Raises NotReady and Invalid as ``take_secret`` does."""
    owner = hold_subject(hold)
    return None if owner is None else await take_secret(world, owner, namespace)


async def subject_in(
    world: World, reference: PolicyRef, manifest: Manifest, identifiers: Mapping[str, bytes] | None
) -> Subject | None:
    """The person as the policy's columns may spell it. Raises Invalid (SubjectInvalid) as ``parse_subject`` does."""
    if identifiers is None:
        return None
    policy, _ = await read_policy(world, reference, manifest)
    # What its rules write into columns is nobody's. Rules that cannot be read now write as they last did.
    last = await recall(world, reference)
    constants = constants_of(last.definition) if last is not None and last.definition is not None else frozenset()
    # In a thread: the first number loads what is known of all countries' numbers.
    return await asyncio.to_thread(parse_subject, identifiers, policy.spec.phone_default_region, constants)
