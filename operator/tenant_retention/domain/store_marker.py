"""Whose store it is: the one marker that databases and buckets carry (PROVISIONING.md section 2)."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace

from tenant_retention.domain.names import StoreIdentity


@dataclass(frozen=True)
class StoreMarker:
    """What makes a store ours. In a database: JSON, the comment of its owner role, written in the transaction that creates the
    role. On a bucket: tags (``bucket_marker``)."""

    installation: str
    namespace: str
    namespace_uid: str
    policy: str
    purpose: str
    store: str
    region: str = ""
    unit: str = ""
    policy_uid: str = ""

    @classmethod
    def of(cls, identity: StoreIdentity, namespace_uid: str, policy_uid: str = "") -> StoreMarker:
        """The marker of the store with this identity, for the policy with this UID in the namespace with that one."""
        return cls(
            installation=identity.installation,
            namespace=identity.namespace,
            namespace_uid=namespace_uid,
            policy=identity.policy,
            purpose=identity.purpose,
            store=identity.store_id(),
            region=identity.region,
            unit=identity.unit,
            policy_uid=policy_uid,
        )

    def to_json(self) -> str:
        """ASCII only: NUL, quotes and newlines in a name are escapes here and harm nothing."""
        return json.dumps({each.name: getattr(self, each.name) for each in fields(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None) -> StoreMarker | None:
        """The marker in a comment; None if there is no comment, or it is somebody else's text."""
        try:
            found = json.loads(text or "")
        except ValueError:
            return None
        if not isinstance(found, dict):
            return None
        # Markers were written before they named the policy's UID.
        found = {"policy_uid": "", **found}
        wanted = [each.name for each in fields(cls)]
        if not all(isinstance(found.get(name), str) for name in wanted):
            return None
        return cls(**{name: found[name] for name in wanted})

    def names_the_store_of(self, other: StoreMarker) -> bool:
        """True if both name the same store, whatever became of its namespace and its policy meanwhile."""
        return replace(self, namespace_uid="", policy_uid="") == replace(other, namespace_uid="", policy_uid="")

    def bearer(self) -> Bearer:
        """Whose it is by UID."""
        return Bearer(self.namespace_uid, self.policy_uid)


@dataclass(frozen=True)
class Bearer:
    """The namespace and the policy that a store was last bound to, by UID. ``policy_uid`` empty: its marker does not say."""

    namespace_uid: str
    policy_uid: str = ""

    def is_of_before(self, now: Bearer, confirmed: frozenset[str]) -> bool:
        """True if the namespace was made again, the cluster restored, or the policy is another one of the same name, and no
        administrator confirmed that (``confirmed``: UIDs of before): a lost ledger releases nothing and binds nothing (X5)."""
        return self.namespace_uid not in {now.namespace_uid, *confirmed} or self.policy_uid not in {
            "",
            now.policy_uid,
            *confirmed,
        }
