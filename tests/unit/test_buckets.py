"""The plan for a bucket: what follows from what is wanted and what is there, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tenant_retention.domain.bucket_identities import (
    NO_KEYS,
    POLICY_NAME,
    AccessKey,
    BucketRole,
    HeldKeys,
    Iam,
    ObservedIdentity,
    ObservedKey,
    policy_document,
    user_name,
)
from tenant_retention.domain.bucket_marker import tags_of
from tenant_retention.domain.bucket_steps import (
    CreateBucket,
    CreateUser,
    IssueKey,
    LeaveGroup,
    PutPolicy,
    RemoveKey,
    RemovePolicy,
    SetObjectLock,
    SetVersioning,
    WriteMarker,
)
from tenant_retention.domain.buckets import ObservedBucket, WantedBucket, plan_bucket, want_bucket
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.names import StoreIdentity

IDENTITY = StoreIdentity("installation-1", "customer-acme", "acme", "Content")


def wanted(**changes: object) -> WantedBucket:
    """A bucket of acme."""
    return replace(want_bucket(IDENTITY, "uid-1", Iam.AWS, object_lock=False), **changes)  # type: ignore[arg-type]


def as_wanted(bucket: WantedBucket, **changes: object) -> ObservedBucket:
    """What is there when all is well."""
    identities = {
        role: ObservedIdentity(
            user_name(bucket.name, role),
            exists=True,
            policies=((POLICY_NAME, policy_document(bucket.name, role)),),
            keys=(ObservedKey(f"KEY{role}"),),
        )
        for role in BucketRole
    }
    observed = ObservedBucket(
        exists=True,
        tags=tags_of(bucket.marker),
        versioning="Enabled",
        encryption="AES256",
        lifecycle_days=bucket.abort_uploads_after_days,
        object_lock=bucket.object_lock,
        identities=identities,
    )
    return replace(observed, **changes)  # type: ignore[arg-type]


HELD = {role: HeldKeys(f"KEY{role}") for role in BucketRole}


def with_identity(observed: ObservedBucket, role: BucketRole, **changes: object) -> ObservedBucket:
    """The same with one identity changed by hand."""
    known: Mapping[BucketRole, ObservedIdentity] = observed.identities or {}
    changed = replace(known[role], **changes)  # type: ignore[arg-type]
    return replace(observed, identities={**known, role: changed})


def plan(bucket: WantedBucket, observed: ObservedBucket, held: Mapping[BucketRole, HeldKeys] = HELD) -> list[object]:
    return list(plan_bucket(bucket, observed, held, in_ledger=True))


def test_nothing_is_to_be_done_where_all_is_as_wanted() -> None:
    assert plan(wanted(), as_wanted(wanted())) == []


def test_a_new_bucket_is_marked_before_anything_else_is_set_so_that_a_crash_leaves_the_smallest_gap() -> None:
    steps = plan(wanted(), ObservedBucket(exists=False, tags={}), {})
    assert [type(step) for step in steps[:2]] == [CreateBucket, WriteMarker]
    assert [step.role for step in steps if isinstance(step, IssueKey)] == list(BucketRole)


def test_object_lock_is_asked_for_at_creation_because_some_stores_can_have_it_only_then__M8() -> None:
    bucket = wanted(object_lock=True)
    steps = plan(bucket, ObservedBucket(exists=False, tags={}), {})
    assert steps[0] == CreateBucket(bucket.name, object_lock=True)
    assert not any(isinstance(step, SetObjectLock | SetVersioning) for step in steps)


def test_a_bucket_that_gets_its_first_min_later_has_versioning_before_object_lock__M8() -> None:
    bucket = wanted(object_lock=True)
    steps = plan(bucket, as_wanted(bucket, object_lock=False, versioning="Suspended"))
    assert steps == [SetVersioning(bucket.name, enabled=True), SetObjectLock(bucket.name)]


def test_object_lock_that_is_no_longer_wanted_stays_and_versioning_with_it() -> None:
    bucket = wanted(versioning=False)
    assert plan(bucket, as_wanted(bucket, object_lock=True)) == []
    assert plan(bucket, as_wanted(bucket)) == [SetVersioning(bucket.name, enabled=False)]


def test_a_stronger_encryption_chosen_by_the_platform_is_left_alone() -> None:
    assert plan(wanted(), as_wanted(wanted(), encryption="aws:kms")) == []


def test_every_step_says_what_it_does_and_none_names_a_key() -> None:
    bucket = wanted(object_lock=True)
    drifted = with_identity(
        as_wanted(bucket, policy=True, encryption=None, foreign_rules=2, default_retention=True),
        BucketRole.APP,
        keys=(ObservedKey("KEYsurplus"),),
        attached=("arn:aws:iam::1:policy/wide",),
        groups=("admins",),
    )
    told = [step.describe() for step in plan_bucket(bucket, drifted, HELD, in_ledger=True)]
    assert len(told) == len(set(told)) == 8
    assert not any("KEY" in text for text in told)


def test_surplus_rights_go_before_a_key_is_issued() -> None:
    drifted = with_identity(
        as_wanted(wanted()), BucketRole.APP, keys=(), attached=("arn",), groups=("g",), policies=(("mine", "{}"),)
    )
    kinds = [type(step) for step in plan(wanted(), drifted)]
    assert kinds == [RemovePolicy, LeaveGroup, RemovePolicy, PutPolicy, IssueKey]


def test_surplus_keys_go_before_a_new_one_because_two_are_the_limit_at_aws() -> None:
    app = user_name(wanted().name, BucketRole.APP)
    keys = (ObservedKey("A"), ObservedKey("B"))
    steps = plan(wanted(), with_identity(as_wanted(wanted()), BucketRole.APP, keys=keys))
    assert steps == [RemoveKey(app, "A"), RemoveKey(app, "B"), IssueKey(BucketRole.APP, app)]


def test_an_inactive_key_is_as_good_as_none() -> None:
    app = user_name(wanted().name, BucketRole.APP)
    drifted = with_identity(as_wanted(wanted()), BucketRole.APP, keys=(ObservedKey("KEYapp", active=False),))
    assert plan(wanted(), drifted) == [RemoveKey(app, "KEYapp"), IssueKey(BucketRole.APP, app)]


def test_rotation_keeps_the_old_key_and_the_next_look_ends_it_only_when_nothing_holds_it() -> None:
    app = user_name(wanted().name, BucketRole.APP)
    there = as_wanted(wanted())
    rotating = {**HELD, BucketRole.APP: HeldKeys("KEYapp", rotate=True)}
    assert plan(wanted(), there, rotating) == [IssueKey(BucketRole.APP, app)]
    both = with_identity(there, BucketRole.APP, keys=(ObservedKey("KEYapp"), ObservedKey("NEW")))
    assert plan(wanted(), both, {**HELD, BucketRole.APP: HeldKeys("NEW", ("KEYapp",))}) == []
    assert plan(wanted(), both, {**HELD, BucketRole.APP: HeldKeys("NEW")}) == [RemoveKey(app, "KEYapp")]


def test_a_user_that_somebody_deleted_is_made_again_with_policy_and_key() -> None:
    app = user_name(wanted().name, BucketRole.APP)
    drifted = with_identity(as_wanted(wanted()), BucketRole.APP, exists=False, policies=(), keys=())
    kinds = [type(step) for step in plan(wanted(), drifted)]
    assert kinds == [CreateUser, PutPolicy, IssueKey]
    assert plan(wanted(), drifted)[0] == CreateUser(app)


def test_a_conflict_plans_nothing_at_all_not_even_identities() -> None:
    foreign = ObservedBucket(exists=True, tags={"owner": "somebody"}, empty=True)
    with pytest.raises(Invalid) as refused:
        plan(wanted(), foreign)
    assert refused.value.reason == "StoreConflict"
    assert "somebody" not in refused.value.message


def test_names_that_are_equal_after_cutting_give_different_buckets_and_users() -> None:
    long = "customer-" + "x" * 54
    first, second = (
        want_bucket(StoreIdentity("i", long, "p" * 250 + end, "Content"), "u", Iam.AWS, object_lock=False)
        for end in ("a", "b")
    )
    assert first.name != second.name
    assert len(first.name) <= 63
    users = {user_name(bucket.name, role) for bucket in (first, second) for role in BucketRole}
    assert len(users) == 6
    assert max(map(len, users)) <= 64


def test_minio_gets_no_lifecycle_rule_because_it_refuses_it_and_sweeps_uploads_itself() -> None:
    assert want_bucket(IDENTITY, "u", Iam.MINIO, object_lock=False).abort_uploads_after_days is None
    assert want_bucket(IDENTITY, "u", Iam.AWS, object_lock=False).abort_uploads_after_days == 7


def test_a_secret_is_in_no_representation() -> None:
    assert "hush" not in repr(AccessKey("AK", "hush"))
    assert NO_KEYS.ids() == frozenset()
