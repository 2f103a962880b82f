"""An object store that fails in every way that real ones do while a tenant's bucket is made: the next reconcile ends as one that never
was disturbed, no key is lost or doubled, and no half-made bucket is called ready."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tenant_retention.adapters.s3.administration import S3BucketAdministration
from tenant_retention.adapters.s3.connection import Patience, S3Connection
from tenant_retention.adapters.s3.tenant_buckets import S3TenantBuckets, identities
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, wanted_identity
from tenant_retention.domain.bucket_marker import is_on
from tenant_retention.domain.bucket_steps import RemoveUser
from tenant_retention.domain.buckets import want_bucket
from tenant_retention.domain.errors import NotReady, RetentionError, Unavailable
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.ports.stores import BucketOutcome, BucketRequest
from tests.stores.faulty_s3 import INSIDE_200, Fault, Faults, FaultyS3, faulty_s3
from tests.stores.servers.s3 import S3Server

FAULTS: list[Fault] = [fault for fault in Fault if fault not in INSIDE_200]
STRIDE = 7
ONCE = Patience(connect=5, read=1.5, retries=0, backoff=0.01)
AGAIN = replace(ONCE, retries=2)


class Customer:
    """A bucket that is to be made, and the keys that the operator keeps."""

    def __init__(self, server: S3Server, proxy: FaultyS3) -> None:
        self.server, self.proxy = server, proxy
        identity = StoreIdentity(str(uuid4()), "customer-acme", "acme", "Content")
        self.direct = BucketRequest(server.bucket_server(), identity, str(uuid4()), "uid of acme", True, {})
        self.keys: dict[BucketRole, AccessKey] = {}
        self.told: list[RetentionError] = []

    def made(
        self, patience: Patience | None = None, *, spoiled: tuple[Fault, int] | None = None
    ) -> BucketOutcome | None:
        """One reconcile, in which that answer is spoiled; None: it did not come to its end, and is tried again."""
        server = replace(self.direct.server, url=self.proxy.url, ca=self.proxy.ca) if spoiled else self.direct.server
        asked = iter(range(1, 10_000))
        if spoiled:
            fault, number = spoiled
            self.proxy.faults = Faults(fault, lambda *_: next(asked) == number)
        request = replace(self.direct, server=server, held=dict(self.keys))
        try:
            outcome = S3TenantBuckets(patience=patience).prepare_bucket(request)
        except (Unavailable, NotReady) as problem:
            self.told.append(problem)
            return None
        self.keys |= outcome.keys
        self.told += [outcome.unfinished] if outcome.unfinished else []
        return outcome

    def is_ready(self) -> None:
        """It is as wanted; each identity has exactly the key that is kept for it, which may do its work and nothing else."""
        again = self.made()
        assert again is not None
        assert (again.changes, again.unfinished) == ((), None)
        with S3Connection(self.server.endpoint, self.server.administrator) as connection:
            administration = S3BucketAdministration(connection, identities(connection, self.server.iam))
            wanted = want_bucket(
                self.direct.identity,
                self.direct.namespace_uid,
                self.server.iam,
                object_lock=True,
                policy_uid=self.direct.policy_uid,
            )
            observed = administration.observe(wanted)
        assert is_on(wanted.marker, observed.tags)
        assert (observed.versioning, observed.object_lock) == ("Enabled", True)
        known = observed.identities or {}
        assert {role: [key.key_id for key in known[role].keys] for role in BucketRole} == {
            role: [self.keys[role].key_id] for role in BucketRole
        }
        assert S3TenantBuckets().probe_bucket(self.direct, self.keys, "").breaches == ()

    def forget(self) -> None:
        """SeaweedFS gets slow with the number of its users."""
        with S3Connection(self.server.endpoint, self.server.administrator) as connection:
            for role in BucketRole:
                identities(connection, self.server.iam).apply(RemoveUser(wanted_identity(self.direct.name, role).user))


@pytest.fixture
def proxy(seaweedfs: S3Server, tmp_path: Path) -> Iterator[FaultyS3]:
    """Stands between operator and store."""
    with faulty_s3(seaweedfs, tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("fault", "patience"),
    # Asked again by itself, whatever was lost is done twice.
    [*((fault, ONCE) for fault in FAULTS), (Fault.CUT_AFTER, AGAIN)],
    ids=[*FAULTS, "asked again after a cut"],
)
def test_an_answer_that_comes_late_broken_or_not_at_all_leaves_a_bucket_that_the_next_reconcile_ends__D1_D7(
    seaweedfs: S3Server, proxy: FaultyS3, fault: Fault, patience: Patience
) -> None:
    number, met = 1 + FAULTS.index(fault), 0
    while True:
        acme = Customer(seaweedfs, proxy)
        outcome = acme.made(patience, spoiled=(fault, number))
        assert proxy.faults is not None
        if proxy.faults.spoiled == 0 and outcome is not None and outcome.unfinished is None:
            acme.forget()
            break
        met += 1
        for _ in range(3):
            if outcome is not None and outcome.unfinished is None:
                break
            outcome = acme.made()
        where = f"{fault} of answer {number}: {acme.told}"
        assert all(isinstance(problem, Unavailable | NotReady) for problem in acme.told), where
        assert outcome is not None, where
        assert outcome.unfinished is None, where
        acme.is_ready()
        acme.forget()
        number += STRIDE
    assert met >= 5
