"""Buckets as a policy's owner, a careless administrator and a crash see them: one contract on the fake, SeaweedFS and MinIO."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from tenant_retention.adapters.s3.provisioning import Provisioned, provision_bucket
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, HeldKeys, Iam
from tenant_retention.domain.bucket_marker import is_on, tags_of
from tenant_retention.domain.bucket_steps import CreateBucket, IssueKey
from tenant_retention.domain.buckets import WantedBucket, plan_bucket, want_bucket
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.names import StoreIdentity
from tests.stores.object_stores import ALLOWED, ObjectStore

ROLES = (BucketRole.APP, BucketRole.READER, BucketRole.ENFORCER)


def a_bucket(store: ObjectStore, *, object_lock: bool = False, policy: str = "acme") -> WantedBucket:
    """A bucket that no other test knows: the installation is new every time."""
    identity = StoreIdentity(str(uuid4()), "customer-acme", policy, "Content")
    return want_bucket(identity, str(uuid4()), store.iam, object_lock=object_lock)


def provision(store: ObjectStore, wanted: WantedBucket, keys: dict[BucketRole, AccessKey] | None = None) -> Provisioned:
    """One reconcile with the keys that the Secrets hold; ``keys`` takes up what it issues."""
    keys = {} if keys is None else keys
    held = {role: HeldKeys(key.key_id) for role, key in keys.items()}
    done = provision_bucket(store.administration, wanted, held, in_ledger=True)
    if done.error is not None:
        raise done.error
    keys.update(done.issued)
    return done


def provisioned(store: ObjectStore, *, object_lock: bool = False) -> tuple[WantedBucket, dict[BucketRole, AccessKey]]:
    """A bucket as wanted whose keys are known everywhere."""
    wanted = a_bucket(store, object_lock=object_lock)
    keys: dict[BucketRole, AccessKey] = {}
    provision(store, wanted, keys)
    assert store.probe.verify_access(wanted.name, keys).breaches == ()
    return wanted, keys


def test_a_new_bucket_is_marked_versioned_encrypted_and_has_a_key_for_each_role(object_store: ObjectStore) -> None:
    wanted = a_bucket(object_store)
    done = provision(object_store, wanted)
    observed = object_store.administration.observe(wanted)
    assert is_on(wanted.marker, observed.tags)
    assert (observed.versioning, observed.encryption, observed.object_lock) == ("Enabled", "AES256", False)
    assert set(done.issued) == set(ROLES)
    assert f"create bucket {wanted.name}" in done.changes


def test_a_second_reconcile_changes_nothing_and_issues_nothing(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    before = dict(keys)
    assert provision(object_store, wanted, keys).changes == ()
    assert keys == before


def test_where_a_category_has_a_min_the_bucket_has_object_lock_without_a_default__M8(object_store: ObjectStore) -> None:
    wanted, _ = provisioned(object_store, object_lock=True)
    observed = object_store.administration.observe(wanted)
    assert (observed.object_lock, observed.default_retention, observed.versioning) == (True, False, "Enabled")


def test_a_bucket_whose_category_gets_a_min_later_gets_object_lock_or_says_that_the_store_cannot__M8(
    object_store: ObjectStore,
) -> None:
    wanted, keys = provisioned(object_store)
    later = replace(wanted, object_lock=True)
    if wanted.iam is Iam.MINIO:
        with pytest.raises(Invalid, match="cannot enable object lock") as refused:
            provision(object_store, later, keys)
        assert refused.value.reason == "SettingNotKept"
    else:
        assert provision(object_store, later, keys).changes == (f"enable object lock of bucket {wanted.name}",)
        assert object_store.administration.observe(later).object_lock is True
        assert provision(object_store, later, keys).changes == ()


def test_a_bucket_with_data_and_without_our_marker_is_a_conflict_and_stays_as_it_is(object_store: ObjectStore) -> None:
    wanted = a_bucket(object_store)
    object_store.make_bucket(wanted.name, {})
    object_store.write_by_hand(wanted.name, "somebody/else")
    with pytest.raises(Invalid, match=r"no marker.*choose another") as refused:
        provision(object_store, wanted)
    assert refused.value.reason == "StoreConflict"
    assert object_store.tags(wanted.name) == {}
    assert len(object_store.versions(wanted.name)) == 1


def test_an_empty_bucket_that_somebody_else_tagged_is_a_conflict(object_store: ObjectStore) -> None:
    wanted = a_bucket(object_store)
    object_store.make_bucket(wanted.name, {"team": "billing"})
    with pytest.raises(Invalid) as refused:
        provision(object_store, wanted)
    assert refused.value.reason == "StoreConflict"
    assert object_store.tags(wanted.name) == {"team": "billing"}


def test_of_two_policies_that_want_the_same_bucket_the_first_wins(object_store: ObjectStore) -> None:
    wanted, _ = provisioned(object_store)
    other = replace(wanted, marker=replace(wanted.marker, policy="other", store="other"))
    with pytest.raises(Invalid, match="another store's marker") as refused:
        provision(object_store, other)
    assert refused.value.reason == "StoreConflict"
    assert is_on(wanted.marker, object_store.tags(wanted.name))


def test_a_crash_between_creating_and_marking_is_continued(object_store: ObjectStore) -> None:
    wanted = a_bucket(object_store, object_lock=True)
    object_store.administration.apply(CreateBucket(wanted.name, object_lock=True))
    done = provision(object_store, wanted)
    assert is_on(wanted.marker, object_store.tags(wanted.name))
    assert f"create bucket {wanted.name}" not in "".join(done.changes)


def test_an_empty_bucket_is_not_adopted_without_a_ledger_entry(object_store: ObjectStore) -> None:
    wanted = a_bucket(object_store)
    object_store.make_bucket(wanted.name, {})
    with pytest.raises(Invalid) as refused:
        provision_bucket(object_store.administration, wanted, {}, in_ledger=False)
    assert refused.value.reason == "StoreConflict"


def test_a_bucket_that_appears_while_it_is_made_is_looked_at_again_before_it_is_marked(
    object_store: ObjectStore,
) -> None:
    wanted = a_bucket(object_store)
    object_store.make_bucket(wanted.name, {"team": "billing"})
    with pytest.raises(NotReady):
        object_store.administration.apply(CreateBucket(wanted.name, object_lock=False))
    assert object_store.tags(wanted.name) == {"team": "billing"}


def test_a_recreated_namespace_finds_its_bucket_released_until_an_administrator_confirms(
    object_store: ObjectStore,
) -> None:
    wanted, keys = provisioned(object_store)
    reborn = replace(wanted, marker=replace(wanted.marker, namespace_uid=str(uuid4())))
    with pytest.raises(Invalid, match=r"spec\.claimRef") as refused:
        provision(object_store, reborn, keys)
    assert refused.value.reason == "StoreReleased"
    confirmed = replace(reborn, confirmed_uids=frozenset({wanted.marker.namespace_uid}))
    provision(object_store, confirmed, keys)
    assert is_on(reborn.marker, object_store.tags(wanted.name))


def test_tags_that_others_add_beside_the_marker_stay_and_a_removed_marker_is_a_conflict(
    object_store: ObjectStore,
) -> None:
    wanted, keys = provisioned(object_store)
    object_store.set_tags(wanted.name, {**tags_of(wanted.marker), "cost-centre": "7"})
    assert provision(object_store, wanted, keys).changes == ()
    object_store.set_tags(wanted.name, {"cost-centre": "7"})
    with pytest.raises(Invalid) as refused:
        provision(object_store, wanted, keys)
    assert refused.value.reason == "StoreConflict"


def test_an_expiry_rule_added_by_hand_would_delete_before_min_and_is_removed__M8(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    object_store.add_expiry_rule(wanted.name)
    changes = provision(object_store, wanted, keys).changes
    assert "remove 1 foreign lifecycle rules" in changes[0]
    assert object_store.administration.observe(wanted).foreign_rules == 0
    assert provision(object_store, wanted, keys).changes == ()


def test_suspended_versioning_is_switched_on_again_and_told_once(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    object_store.suspend_versioning(wanted.name)
    assert provision(object_store, wanted, keys).changes == (f"enable versioning of bucket {wanted.name}",)
    assert provision(object_store, wanted, keys).changes == ()


def test_a_bucket_policy_that_opens_the_bucket_is_removed(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    object_store.open_to_everybody(wanted.name)
    assert provision(object_store, wanted, keys).changes == (
        f"remove the foreign bucket policy of bucket {wanted.name}",
    )
    assert object_store.administration.observe(wanted).policy is False


def test_a_default_retention_set_by_hand_would_count_from_the_upload_and_is_dropped(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store, object_lock=True)
    object_store.set_default_retention(wanted.name)
    assert provision(object_store, wanted, keys).changes == (f"drop the default retention of bucket {wanted.name}",)
    assert object_store.administration.observe(wanted).default_retention is False


def test_the_app_writes_and_reads_but_deletes_neither_objects_nor_versions__M8(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    version = object_store.put(keys[BucketRole.APP], wanted.name, "recordings/1", b"hello")
    assert not version.startswith("!")
    assert object_store.get(keys[BucketRole.APP], wanted.name, "recordings/1") == ALLOWED
    assert object_store.delete(keys[BucketRole.APP], wanted.name, "recordings/1", None) == "AccessDenied"
    assert object_store.delete(keys[BucketRole.APP], wanted.name, "recordings/1", version) == "AccessDenied"
    assert object_store.versions(wanted.name) == {("recordings/1", version, False)}


def test_the_reader_only_reads(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    version = object_store.put(keys[BucketRole.APP], wanted.name, "recordings/1", b"hello")
    reader = keys[BucketRole.READER]
    assert object_store.get(reader, wanted.name, "recordings/1") == ALLOWED
    assert object_store.put(reader, wanted.name, "recordings/2", b"x") == "!AccessDenied"
    assert object_store.delete(reader, wanted.name, "recordings/1", version) == "AccessDenied"


def test_the_enforcer_deletes_versions_but_writes_nothing(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    version = object_store.put(keys[BucketRole.APP], wanted.name, "recordings/1", b"hello")
    enforcer = keys[BucketRole.ENFORCER]
    assert object_store.put(enforcer, wanted.name, "recordings/2", b"x") == "!AccessDenied"
    assert object_store.delete(enforcer, wanted.name, "recordings/1", version) == ALLOWED
    assert object_store.versions(wanted.name) == set()


def test_one_tenants_keys_are_refused_in_another_tenants_bucket__X2(object_store: ObjectStore) -> None:
    first, keys = provisioned(object_store)
    second, other_keys = provisioned(object_store)
    for own, foreign in ((keys, second), (other_keys, first)):
        report = object_store.probe.verify_isolation(own, (foreign.name,))
        assert report.breaches == ()
        assert report.tried > len(ROLES)
        assert object_store.put(own[BucketRole.APP], foreign.name, "intruder", b"x") == "!AccessDenied"


def test_a_probe_leaves_not_even_an_empty_folder(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    neighbour, _ = provisioned(object_store)
    object_store.put(keys[BucketRole.APP], wanted.name, "audio/1", b"kept")
    object_store.probe.verify_access(wanted.name, keys)
    object_store.probe.verify_isolation(keys, (neighbour.name,))
    assert {name.rstrip("/") for name in object_store.top(wanted.name)} == {"audio"}
    assert object_store.top(neighbour.name) == set()


def test_a_key_that_reaches_another_bucket_is_a_breach_and_the_probe_leaves_nothing_there__X2(
    object_store: ObjectStore,
) -> None:
    first, keys = provisioned(object_store)
    second, second_keys = provisioned(object_store)
    object_store.widen_policy(first, BucketRole.APP, second.name)
    report = object_store.probe.verify_isolation({BucketRole.APP: keys[BucketRole.APP]}, (second.name,))
    told = {breach.what for breach in report.breaches}
    assert f"the app key was allowed to write in bucket {second.name}" in told
    assert f"the app key was allowed to list in bucket {second.name}" in told
    assert f"the app key was allowed to change the lifecycle setting in bucket {second.name}" in told
    assert object_store.versions(second.name) == set()
    assert provision(object_store, second, second_keys).changes == ()


def test_an_app_key_that_may_delete_is_a_breach_and_the_policy_is_put_right__M8(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    object_store.widen_policy(wanted, BucketRole.APP, wanted.name)
    told = {breach.what for breach in object_store.probe.verify_access(wanted.name, keys).breaches}
    assert f"the app key was allowed to delete versions in bucket {wanted.name}" in told
    assert object_store.versions(wanted.name) == set()
    assert provision(object_store, wanted, keys).changes == (
        f"write the policy of user {_user(wanted, BucketRole.APP)}",
    )
    assert object_store.probe.verify_access(wanted.name, keys).breaches == ()


def test_a_further_policy_that_somebody_attached_is_taken_away(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    object_store.attach_policy(wanted, BucketRole.APP)
    changes = provision(object_store, wanted, keys).changes
    assert "remove surplus policy" in changes[0]
    assert (object_store.administration.observe(wanted).identities or {})[BucketRole.APP].attached == ()
    assert provision(object_store, wanted, keys).changes == ()
    assert object_store.probe.verify_access(wanted.name, keys).breaches == ()


def test_a_key_whose_answer_was_lost_is_removed_and_another_one_issued(object_store: ObjectStore) -> None:
    wanted = a_bucket(object_store)
    lost = object_store.add_key(wanted, BucketRole.APP)
    keys: dict[BucketRole, AccessKey] = {}
    provision(object_store, wanted, keys)
    assert keys[BucketRole.APP].key_id != lost.key_id
    assert object_store.probe.is_dead(lost, wanted.name)
    assert not object_store.probe.is_dead(keys[BucketRole.APP], wanted.name)


def test_a_key_made_by_hand_is_removed_and_the_one_in_use_lives_on(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    surplus = object_store.add_key(wanted, BucketRole.APP)
    before = dict(keys)
    changes = provision(object_store, wanted, keys).changes
    assert changes == (f"remove an access key of user {_user(wanted, BucketRole.APP)} that nothing uses",)
    assert keys == before
    assert object_store.probe.is_dead(surplus, wanted.name)


def test_a_key_that_somebody_deletes_is_issued_anew(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    before = dict(keys)
    object_store.remove_key(wanted, BucketRole.ENFORCER, keys[BucketRole.ENFORCER])
    done = provision(object_store, wanted, keys)
    assert set(done.issued) == {BucketRole.ENFORCER}
    assert keys[BucketRole.APP] == before[BucketRole.APP]
    assert object_store.probe.verify_access(wanted.name, keys).breaches == ()


def test_keys_rotate_with_overlap_and_the_old_one_is_dead_when_it_is_no_longer_held(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    held = {role: HeldKeys(key.key_id) for role, key in keys.items()}
    old = keys[BucketRole.APP]
    rotating = {**held, BucketRole.APP: HeldKeys(old.key_id, rotate=True)}
    new = provision_bucket(object_store.administration, wanted, rotating, in_ledger=True).issued[BucketRole.APP]
    overlap = {**held, BucketRole.APP: HeldKeys(new.key_id, overlapping=(old.key_id,))}
    assert provision_bucket(object_store.administration, wanted, overlap, in_ledger=True).changes == ()
    both = {BucketRole.APP: new, BucketRole.ENFORCER: keys[BucketRole.ENFORCER]}
    assert object_store.probe.verify_access(wanted.name, both).breaches == ()
    assert not object_store.probe.is_dead(old, wanted.name)
    after = {**held, BucketRole.APP: HeldKeys(new.key_id)}
    provision_bucket(object_store.administration, wanted, after, in_ledger=True)
    assert object_store.probe.is_dead(old, wanted.name)
    assert not object_store.probe.is_dead(new, wanted.name)


def test_a_role_that_is_no_longer_wanted_loses_its_user_and_its_key(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    fewer = replace(wanted, roles=(BucketRole.APP, BucketRole.ENFORCER))
    assert provision(object_store, fewer, dict(keys)).changes == (f"remove user {_user(wanted, BucketRole.READER)}",)
    assert object_store.probe.is_dead(keys[BucketRole.READER], wanted.name)
    assert not object_store.probe.is_dead(keys[BucketRole.APP], wanted.name)


def test_objects_and_bytes_are_counted_and_the_count_says_when_there_is_more(object_store: ObjectStore) -> None:
    wanted, keys = provisioned(object_store)
    for name, body in (("a", b"1"), ("b", b"22"), ("b", b"333")):
        object_store.put(keys[BucketRole.APP], wanted.name, name, body)
    usage = object_store.administration.usage(wanted.name)
    assert (usage.objects, usage.versions, usage.total_bytes, usage.complete) == (2, 3, 6, True)
    assert object_store.administration.usage(wanted.name, page_limit=0).complete is False


def test_a_bucket_with_platform_made_identities_gets_no_users_and_keeps_its_bucket_policy(
    object_store: ObjectStore,
) -> None:
    wanted = replace(a_bucket(object_store), iam=Iam.STATIC)
    object_store.make_bucket(wanted.name, {})
    object_store.open_to_everybody(wanted.name)
    provision(object_store, wanted)
    observed = object_store.administration.observe(wanted)
    steps = plan_bucket(wanted, observed, {}, in_ledger=True)
    assert not any(isinstance(step, IssueKey) for step in steps)
    assert observed.policy is True


def _user(wanted: WantedBucket, role: BucketRole) -> str:
    return {identity.role: identity.user for identity in wanted.identities()}[role]
