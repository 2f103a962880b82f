"""What the operator needs of an object store: administration, and probes with a tenant's own keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, ObservedIdentity
from tenant_retention.domain.bucket_steps import BucketStep, IdentityStep
from tenant_retention.domain.buckets import BucketUsage, ObservedBucket, WantedBucket


@dataclass(frozen=True)
class EndpointFacts:
    """One look at an endpoint with the administrator's key (D6, D7). ``latency``: one signed round trip."""

    latency: timedelta


@dataclass(frozen=True)
class Breach:
    """Something that had to be refused and was not: in words, without keys."""

    what: str


@dataclass(frozen=True)
class AccessReport:
    """What a probe tried and what was wrong: ``tried`` counts requests, ``breaches`` are what was allowed but must not be."""

    tried: int
    breaches: tuple[Breach, ...] = ()


class BucketAdministration(Protocol):
    """The administrator's side of one endpoint."""

    def check(self) -> EndpointFacts:
        """Connects, verifies the certificate, signs one request. Raises Unavailable (ServerUnreachable) or Invalid
        (CertificateInvalid, AuthenticationFailed)."""

    def observe(self, wanted: WantedBucket) -> ObservedBucket:
        """Everything ``plan_bucket`` looks at. Raises Invalid (StoreConflict) if the bucket is another account's."""

    def apply(self, step: BucketStep) -> AccessKey | None:
        """Carries one step out; repeating it after a lost reply is harmless. The key, where the step issues one.

        Raises Invalid (SettingNotKept) if the store refuses the setting, NotReady if a bucket of that name appeared meanwhile.
        """

    def usage(self, bucket: str, page_limit: int = 20) -> BucketUsage:
        """Counts by listing at most ``page_limit`` pages of 1,000 versions."""


class IdentityDriver(Protocol):
    """How one kind of store makes users, policies and keys."""

    def observe(self, users: Sequence[str]) -> tuple[ObservedIdentity, ...]:
        """The users in that order with policies, groups and keys; ``exists`` False where there is none."""

    def apply(self, step: IdentityStep) -> AccessKey | None:
        """Carries one step out; repeating it is harmless."""


class BucketProbe(Protocol):
    """Tries keys as a tenant would. Nothing it does stays in a bucket, whatever the outcome."""

    def verify_access(self, bucket: str, keys: Mapping[BucketRole, AccessKey]) -> AccessReport:
        """Each key can do what its role may (write, read, list, delete), and is refused the rest.

        Waits for new keys to become known. Raises NotReady (NotYetVerified) if one does not within the time limit.
        """

    def verify_isolation(self, keys: Mapping[BucketRole, AccessKey], foreign_buckets: tuple[str, ...]) -> AccessReport:
        """Every key, and nobody at all, is refused everything in buckets that are not its own."""

    def is_dead(self, key: AccessKey, bucket: str) -> bool:
        """True if the store no longer knows the key."""
