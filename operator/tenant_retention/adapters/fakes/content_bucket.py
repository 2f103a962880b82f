"""A tenant's content bucket in memory: the same contract as the real one, for tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tenant_retention.domain.ports.enforcement import Claim, ObjectDeletion


@dataclass
class InMemoryContentBucket:
    """A bucket: objects as (key, version). ``errors`` by key are answered as the store's code."""

    objects: set[tuple[str, str]] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        outcomes = []
        for claim in claims:
            error = self.errors.get(claim.key)
            if error is None:
                self.objects -= {
                    (key, version)
                    for key, version in self.objects
                    if key == claim.key and claim.version in (None, version)
                }
            outcomes.append(ObjectDeletion(claim_id=claim.claim_id, error=error))
        return tuple(outcomes)
