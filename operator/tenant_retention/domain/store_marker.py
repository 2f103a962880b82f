"""Whose store it is: the one marker that databases and buckets carry (PROVISIONING.md section 2)."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

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

    @classmethod
    def of(cls, identity: StoreIdentity, namespace_uid: str) -> StoreMarker:
        """The marker of the store with this identity in the namespace with this UID."""
        return cls(
            installation=identity.installation,
            namespace=identity.namespace,
            namespace_uid=namespace_uid,
            policy=identity.policy,
            purpose=identity.purpose,
            store=identity.store_id(),
            region=identity.region,
            unit=identity.unit,
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
        wanted = [each.name for each in fields(cls)]
        if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in wanted):
            return None
        return cls(**{name: found[name] for name in wanted})

    def differs_only_in_namespace_uid(self, other: StoreMarker) -> bool:
        """True if both name the same claim, but its namespace was made again, or the cluster restored."""
        mine, theirs = ({**vars(marker), "namespace_uid": ""} for marker in (self, other))
        return mine == theirs and self.namespace_uid != other.namespace_uid
