"""The Secret that says whom a DataSubjectRequest or a LegalHold is about: unchangeable, and this object's alone, since it goes with
it (T7, X3)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenant_retention.api.v1alpha1.common import GROUP
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datasubjectrequest import DataSubjectRequest
from tenant_retention.api.v1alpha1.legalhold import LegalHold
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.manifests.inputs import HoldRef, RequestRef

REQUEST_ANNOTATION = f"{GROUP}/request"
"""By it whoever makes a Secret gives it to the request of this name: it is read for no other, and removed with it."""
HOLD_ANNOTATION = f"{GROUP}/hold"
"""The same for a LegalHold."""
_MANAGED_BY = "app.kubernetes.io/managed-by"
_FIELD = "spec.subject.secretRef.name"


@dataclass(frozen=True)
class SubjectOwner:
    """An object that is about somebody, and how it is called. ``annotation``: by which its Secret is given to it."""

    reference: RequestRef | HoldRef
    secret: str
    word: str
    annotation: str


def request_subject(request: DataSubjectRequest) -> SubjectOwner:
    """Whom a request is about."""
    secret, meta = request.spec.subject.secret_ref.name, request.metadata
    return SubjectOwner(RequestRef(meta.name, meta.uid or "", secret), secret, "request", REQUEST_ANNOTATION)


def hold_subject(hold: LegalHold) -> SubjectOwner | None:
    """Whose rows a hold is on; None: whoever's."""
    if hold.spec.subject is None:
        return None
    meta = hold.metadata
    return SubjectOwner(HoldRef(meta.name, meta.uid or ""), hold.spec.subject.secret_ref.name, "hold", HOLD_ANNOTATION)


def read_secret(owner: SubjectOwner, secret: Mapping[str, Any] | None) -> dict[str, bytes]:
    """The data of the Secret, for ``parse_subject``. Raises NotReady (SecretNotFound) while there is none, and Invalid
    (SecretNotUsable) for one that can change or is not this object's own: another's would be removed in the end."""
    if secret is None or secret["metadata"].get("deletionTimestamp"):
        raise NotReady(
            f"{_FIELD}: there is no Secret {owner.secret} in this namespace; create it",
            reason=Reason.SECRET_NOT_FOUND,
            field=_FIELD,
        )
    why = _refused(owner, secret)
    if why is not None:
        raise Invalid(f"{_FIELD}: Secret {owner.secret} {why}", reason=Reason.SECRET_NOT_USABLE, field=_FIELD)
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def is_owned(owner: SubjectOwner, secret: Mapping[str, Any]) -> bool:
    """Whether it goes with the object already; otherwise the operator has to make it so."""
    return any(each.get("uid") == owner.reference.uid for each in secret["metadata"].get("ownerReferences") or ())


def _refused(owner: SubjectOwner, secret: Mapping[str, Any]) -> str | None:
    meta, name = secret["metadata"], owner.reference.name
    given = (meta.get("annotations") or {}).get(owner.annotation) == name
    others = [each for each in meta.get("ownerReferences") or () if each.get("uid") != owner.reference.uid]
    if secret.get("type", "Opaque") != "Opaque":
        return f"is not of type Opaque; make one for this {owner.word} alone"
    if others or _MANAGED_BY in (meta.get("labels") or {}):
        return (
            f"is somebody else's, who manages it, and would be removed with the {owner.word}; make one for this "
            f"{owner.word} alone"
        )
    if not given and not is_owned(owner, secret):
        return f"is not given to this {owner.word}; make one with the annotation {owner.annotation}: {name}"
    if secret.get("immutable") is not True:
        return "can change; make it with immutable: true"
    return None
