"""The Secret with the key that seals a policy's backups: in the tenant's namespace, made once, never owned by the policy (T6, X5)."""

from __future__ import annotations

from typing import Final

from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.metadata import LABEL_LIMIT, Manifest, labels, secret
from tenant_retention.domain.names import bounded

KEY: Final = "key"
"""The Secret's key: 64 hex digits, 32 bytes."""


def backup_key_name(policy: PolicyRef) -> str:
    """``acme-backup-key``."""
    return bounded(f"{policy.name}-backup-key", LABEL_LIMIT)


def backup_key_secret(policy: PolicyRef, key: str) -> Manifest:
    """The Secret; to be created, never applied: what it holds is never replaced."""
    return secret(backup_key_name(policy), policy.namespace, labels(policy, "backup-key"), "Opaque", {KEY: key})
