"""No identity management at all: the platform made the identities by hand and hands their keys out (``iam: Static``)."""

from __future__ import annotations

from collections.abc import Sequence

from tenant_retention.domain.bucket_identities import AccessKey, ObservedIdentity
from tenant_retention.domain.bucket_steps import IdentityStep
from tenant_retention.domain.errors import Invalid


class StaticIdentities:
    """Sees nothing and changes nothing; ``plan_bucket`` plans no identity steps for such a class. An ``IdentityDriver``."""

    def observe(self, users: Sequence[str]) -> tuple[ObservedIdentity, ...]:
        """Always users that we know nothing of."""
        return tuple(ObservedIdentity(user) for user in users)

    def apply(self, step: IdentityStep) -> AccessKey | None:
        """Raises Invalid (ClassInvalid): such a step needs another ``iam``."""
        raise Invalid(
            f"cannot {step.describe()}: the class hands out staticCredentials; use iam AWS or MinIO, or add the role",
            reason="ClassInvalid",
            field="spec.existing.iam",
        )
