"""A reconcile that is killed before or after any step, or whose answer is lost: the next one ends where it should."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tenant_retention.adapters.s3.provisioning import provision_bucket
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, HeldKeys, Iam
from tenant_retention.domain.bucket_marker import is_on
from tenant_retention.domain.bucket_steps import BucketStep, RemoveUser
from tenant_retention.domain.buckets import BucketUsage, ObservedBucket, WantedBucket, want_bucket
from tenant_retention.domain.errors import NotReady, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.buckets import BucketAdministration, EndpointFacts
from tests.stores.object_stores import ObjectStore


class Killed(BaseException):
    """The process ended here."""


class Interrupted:
    """An administration whose process ends at step ``number``: before its effect, or after it without an answer."""

    def __init__(self, inner: BucketAdministration, number: int, *, effect: bool, end: type[BaseException]) -> None:
        self._inner = inner
        self._left = number
        self._effect = effect
        self._end = end
        self.reached = False

    def apply(self, step: BucketStep) -> AccessKey | None:
        if self._left == 0 and not self.reached:
            self.reached = True
            if self._effect:
                self._inner.apply(step)
            raise self._end("the answer was lost")
        self._left -= 1
        return self._inner.apply(step)

    def check(self) -> EndpointFacts:
        return self._inner.check()

    def observe(self, wanted: WantedBucket) -> ObservedBucket:
        return self._inner.observe(wanted)

    def usage(self, bucket: str, page_limit: int = 20) -> BucketUsage:
        return self._inner.usage(bucket, page_limit)


def until_wanted(store: ObjectStore, wanted: WantedBucket, keys: dict[BucketRole, AccessKey]) -> None:
    """Reconciles until nothing is left to do; three times must be enough."""
    for _ in range(3):
        held = {role: HeldKeys(key.key_id) for role, key in keys.items()}
        done = provision_bucket(store.administration, wanted, held, in_ledger=True)
        keys.update(done.issued)
        assert done.error is None or isinstance(done.error, NotReady), done.error
        if not done.changes and done.error is None:
            return
    raise AssertionError(f"still not as wanted: {done.changes}, {done.error}")


@pytest.mark.parametrize(
    ("object_store", "effect", "end"),
    [
        ("fake", False, Killed),
        ("fake", True, Killed),
        ("fake", False, Unavailable),
        ("fake", True, Unavailable),
        ("seaweedfs", True, Killed),
        ("minio_server", True, Killed),
    ],
    indirect=["object_store"],
)
def test_a_reconcile_that_ends_at_any_step_is_continued_and_leaves_no_surplus_key(
    object_store: ObjectStore, effect: bool, end: type[BaseException]
) -> None:
    steps = 0
    while True:
        identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Content")
        wanted = want_bucket(identity, str(uuid4()), object_store.iam, object_lock=True)
        keys: dict[BucketRole, AccessKey] = {}
        interrupted = Interrupted(object_store.administration, steps, effect=effect, end=end)
        try:
            keys.update(provision_bucket(interrupted, wanted, {}, in_ledger=True).issued)
        except Killed:
            keys = {}
        if not interrupted.reached:
            assert steps > 10
            return
        until_wanted(object_store, wanted, keys)
        observed = object_store.administration.observe(wanted)
        assert is_on(wanted.marker, observed.tags)
        known = observed.identities or {}
        assert {role: [key.key_id for key in known[role].keys] for role in BucketRole} == {
            role: [keys[role].key_id] for role in BucketRole
        }
        if object_store.iam is Iam.AWS:
            # SeaweedFS gets slow with the number of its users.
            for made in wanted.identities():
                object_store.administration.apply(RemoveUser(made.user))
        steps += 1
