"""What lies in the operator's namespace, and the RoleBinding by which it serves a tenant's namespace.

Administrators' and observers' credentials and the certificate authority's key never enter a tenant's namespace.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tenant_retention.domain.certificates import Authority, AuthorityState
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.bindings import postgres_keys
from tenant_retention.domain.manifests.inputs import OperatorRef, PolicyRef, PostgresCredentials
from tenant_retention.domain.manifests.metadata import (
    MANAGED_BY,
    NAMESPACE_LABEL,
    Manifest,
    labels,
    manifest,
    operator_secret_name,
    secret,
)
from tenant_retention.domain.names import purpose_label

AUTHORITY_SECRET: Final = "tenant-retention-authority"
AUTHORITY_LABELS: Final = {
    "app.kubernetes.io/name": "tenant-retention",
    "app.kubernetes.io/component": "authority",
    "app.kubernetes.io/managed-by": MANAGED_BY,
}
ROLE_BINDING: Final = "tenant-retention-operator"
_SLOTS: Final = ("current", "following", "previous")


def administrator_secret(operator: OperatorRef, policy: PolicyRef, what: str, values: Mapping[str, str]) -> Manifest:
    """An embedded server's administrator; ``what``: ``postgresql-admin`` or ``s3-admin``; ``values``: plain text."""
    return _kept(operator, policy, what, "Opaque", values)


def observer_secret(
    operator: OperatorRef, policy: PolicyRef, purpose: str, credentials: PostgresCredentials
) -> Manifest:
    """The observer login of one database, with the keys of a binding."""
    what = f"{purpose_label(purpose)}-observer"
    name = operator_secret_name(policy, what)
    return _kept(
        operator, policy, what, "servicebinding.io/postgresql", postgres_keys(credentials, f"/bindings/{name}")
    )


def authority_secret(operator: OperatorRef, state: AuthorityState) -> Manifest:
    """The certificate authority with its successor or predecessor while one takes over from the other."""
    values: dict[str, str] = {}
    for slot in _SLOTS:
        authority: Authority | None = getattr(state, slot)
        if authority is not None:
            values[f"{slot}.crt"] = authority.certificate
            values[f"{slot}.made"] = authority.made.isoformat()
            values[f"{slot}.expires"] = authority.expires.isoformat()
            if authority.key is not None:
                values[f"{slot}.key"] = authority.key
    return secret(AUTHORITY_SECRET, operator.namespace, AUTHORITY_LABELS, "Opaque", values)


def read_authority(found: Manifest) -> AuthorityState:
    """The state that ``authority_secret`` wrote. Raises Invalid (SecretInvalid) if somebody broke it."""
    try:
        data = {key: b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
        current, following, previous = (_authority(data, slot) for slot in _SLOTS)
    except ValueError as error:
        raise _broken("has a value that is no text, or a date that is none") from error
    if current is None or current.key is None:
        raise _broken("has no current certificate and key")
    return AuthorityState(current, following, previous)


def tenant_role_binding(operator: OperatorRef, namespace: str) -> Manifest:
    """Gives the operator its one fixed role in a namespace that it serves."""
    labelled = {
        "app.kubernetes.io/name": "tenant-retention",
        "app.kubernetes.io/component": "access",
        "app.kubernetes.io/managed-by": MANAGED_BY,
    }
    return manifest("rbac.authorization.k8s.io/v1", "RoleBinding", ROLE_BINDING, namespace, labelled) | {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": operator.cluster_role},
        "subjects": [
            {"kind": "ServiceAccount", "name": operator.service_account, "namespace": operator.namespace},
        ],
    }


def _kept(operator: OperatorRef, policy: PolicyRef, what: str, kind: str, values: Mapping[str, str]) -> Manifest:
    labelled = labels(policy, "credentials") | {NAMESPACE_LABEL: policy.namespace}
    return secret(operator_secret_name(policy, what), operator.namespace, labelled, kind, values)


def _authority(data: Mapping[str, str], slot: str) -> Authority | None:
    certificate = data.get(f"{slot}.crt")
    if certificate is None:
        return None
    made, expires = (datetime.fromisoformat(data.get(f"{slot}.{word}", "")) for word in ("made", "expires"))
    if made.tzinfo is None or expires.tzinfo is None:
        raise ValueError("a date without its offset from UTC")
    return Authority(certificate, data.get(f"{slot}.key"), made, expires)


def _broken(what: str) -> Invalid:
    return Invalid(
        f"Secret {AUTHORITY_SECRET} {what}; put it back, or delete it to get a new certificate authority",
        reason="SecretInvalid",
    )
