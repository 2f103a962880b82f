"""Brings one bucket to what is wanted, and believes it only after reading it back. The same for real stores and the fake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, HeldKeys
from tenant_retention.domain.bucket_steps import BucketStep, IssueKey, RemoveKey, SetLifecycle
from tenant_retention.domain.buckets import WantedBucket, plan_bucket
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError
from tenant_retention.domain.ports.buckets import BucketAdministration


@dataclass(frozen=True)
class Provisioned:
    """What was done. ``issued``: new keys by role, to be put into the binding Secrets at once.

    ``error``: why it is not as wanted yet; keys that were issued before are still in ``issued`` and must not be lost.
    ``refused``: the long-stop lifecycle rule, where the store does not know it.
    """

    changes: tuple[str, ...] = ()
    issued: Mapping[BucketRole, AccessKey] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    error: RetentionError | None = None


def provision_bucket(
    administration: BucketAdministration,
    wanted: WantedBucket,
    held: Mapping[BucketRole, HeldKeys],
    *,
    in_ledger: bool,
) -> Provisioned:
    """Observe, plan, apply, read back. Idempotent; nothing is touched in a bucket that is not ours.

    Errors before the first step are raised; later ones are in the outcome, so that issued keys are never lost.
    Raises Invalid (StoreConflict, StoreReleased ...), NotReady, Unavailable.
    """
    steps = plan_bucket(wanted, administration.observe(wanted), held, in_ledger=in_ledger)
    changes: list[str] = []
    refused: list[str] = []
    issued: dict[BucketRole, AccessKey] = {}
    try:
        for step in steps:
            carried_out, key = _apply(administration, step, refused)
            if isinstance(step, IssueKey) and key is not None:
                issued[step.role] = key
            changes += [carried_out.describe()] if carried_out else []
        if steps:
            _read_back(administration, wanted, {**held, **_held_now(held, issued)}, refused)
    except RetentionError as error:
        return Provisioned(tuple(changes), issued, tuple(refused), error)
    return Provisioned(tuple(changes), issued, tuple(refused))


def _apply(
    administration: BucketAdministration, step: BucketStep, refused: list[str]
) -> tuple[BucketStep | None, AccessKey | None]:
    """The step that was carried out, and the key it issued."""
    try:
        return step, administration.apply(step)
    except Invalid as error:
        if not isinstance(step, SetLifecycle) or error.reason != "SettingNotKept":
            raise
    # The long-stop alone may be missing, every run aborts uploads by itself; a foreign expiry rule may not stay (M8).
    refused.append(step.describe())
    without = SetLifecycle(step.bucket, None, step.foreign)
    return (without, administration.apply(without)) if step.foreign else (None, None)


def _held_now(
    held: Mapping[BucketRole, HeldKeys], issued: Mapping[BucketRole, AccessKey]
) -> dict[BucketRole, HeldKeys]:
    before = {role: held.get(role, HeldKeys()) for role in issued}
    return {role: HeldKeys(key.key_id, tuple(sorted(before[role].ids()))) for role, key in issued.items()}


def _read_back(
    administration: BucketAdministration,
    wanted: WantedBucket,
    held: Mapping[BucketRole, HeldKeys],
    refused: list[str],
) -> None:
    left = plan_bucket(wanted, administration.observe(wanted), held, in_ledger=True)
    kept = [step.describe() for step in left if not (refused and isinstance(step, SetLifecycle) and not step.foreign)]
    if any(isinstance(step, IssueKey | RemoveKey) for step in left):
        # Identities spread slowly at some stores: the new key is there, the listing does not know it yet, or still has the
        # old one. And a key whose answer was lost was asked for twice: the next reconcile removes the one that nobody holds.
        raise NotReady(f"the identities of bucket {wanted.name} are not known everywhere yet", reason="Provisioning")
    if kept:
        raise Invalid(
            f"the store accepted but did not keep: {'; '.join(kept)}; check what it supports", reason="SettingNotKept"
        )
