"""The Secret that says whom a DataSubjectRequest is about: unchangeable, and this request's alone, since it goes with it (T7)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tenant_retention.api.v1alpha1.common import GROUP
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datasubjectrequest import DataSubjectRequest
from tenant_retention.domain.errors import Invalid, NotReady

REQUEST_ANNOTATION = f"{GROUP}/request"
"""By it whoever makes a Secret gives it to the request of this name: it is read for no other, and removed with it."""
_MANAGED_BY = "app.kubernetes.io/managed-by"
_FIELD = "spec.subject.secretRef.name"


def read_secret(request: DataSubjectRequest, secret: Mapping[str, Any] | None) -> dict[str, bytes]:
    """The data of the Secret, for ``parse_subject``. Raises NotReady (SecretNotFound) while there is none, and Invalid
    (SecretNotUsable) for one that can change or is not this request's own: another's would be removed in the end."""
    name = request.spec.subject.secret_ref.name
    if secret is None or secret["metadata"].get("deletionTimestamp"):
        raise NotReady(
            f"{_FIELD}: there is no Secret {name} in this namespace; create it",
            reason=Reason.SECRET_NOT_FOUND,
            field=_FIELD,
        )
    why = _refused(request, secret)
    if why is not None:
        raise Invalid(f"{_FIELD}: Secret {name} {why}", reason=Reason.SECRET_NOT_USABLE, field=_FIELD)
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def is_owned(request: DataSubjectRequest, secret: Mapping[str, Any]) -> bool:
    """Whether it goes with the request already; otherwise the operator has to make it so."""
    return any(owner.get("uid") == request.metadata.uid for owner in secret["metadata"].get("ownerReferences") or ())


def _refused(request: DataSubjectRequest, secret: Mapping[str, Any]) -> str | None:
    meta = secret["metadata"]
    given = (meta.get("annotations") or {}).get(REQUEST_ANNOTATION) == request.metadata.name
    others = [owner for owner in meta.get("ownerReferences") or () if owner.get("uid") != request.metadata.uid]
    if secret.get("type", "Opaque") != "Opaque":
        return "is not of type Opaque; make one for this request alone"
    if others or _MANAGED_BY in (meta.get("labels") or {}):
        return (
            "is somebody else's, who manages it, and would be removed with the request; make one for this request alone"
        )
    if not given and not is_owned(request, secret):
        return (
            f"is not given to this request; make one with the annotation {REQUEST_ANNOTATION}: {request.metadata.name}"
        )
    if secret.get("immutable") is not True:
        return "can change; make it with immutable: true"
    return None
