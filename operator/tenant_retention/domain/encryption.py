"""Whether data travels and lies encrypted, as it was tried at the stores, and what may be said of it (T8); pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.domain.conditions import Finding


@dataclass(frozen=True)
class EncryptionState:
    """What the looks at all stores of a policy say. ``breaches``: where data travels or lies in the clear, each with the
    next step; ``untried``: stores that nobody has looked at yet; ``undeclared``: databases, and caches that write
    to files, whose class does not say whether the server encrypts what it stores, which cannot be seen from outside."""

    breaches: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()
    undeclared: tuple[str, ...] = ()


def encryption_finding(state: EncryptionState | None, previous: Sequence[Mapping[str, Any]]) -> Finding:
    """The condition ``EncryptionVerified``. ``previous``: the conditions told last: what was found in the clear stays told
    until every store was looked at again, also by a new process."""
    type_ = ConditionType.ENCRYPTION_VERIFIED
    if state is not None and state.breaches:
        return Finding(type_, False, Reason.ENCRYPTION_MISSING, "; ".join(state.breaches)[:1024])
    if state is None or state.untried:
        for told in previous:
            if (told["type"], told["reason"]) == (type_.value, Reason.ENCRYPTION_MISSING.value):
                return Finding(type_, False, Reason.ENCRYPTION_MISSING, str(told["message"]))
        names = f": {', '.join(state.untried)}" if state is not None else ""
        return Finding(type_, None, Reason.NOT_YET_VERIFIED, f"each store is tried once it is ready{names}"[:1024])
    transport = (
        "every role reached its store by verified TLS, a connection without TLS was refused, and what is written to a "
        "bucket lies encrypted"
    )
    if state.undeclared:
        names = ", ".join(state.undeclared)
        text = (
            f"{transport}; whether the server of {names} encrypts what it stores cannot be seen from outside: where its "
            "volumes do, set spec.encryptionAtRest: Declared in the DataStoreClass"
        )
        return Finding(type_, None, Reason.AT_REST_UNKNOWN, text[:1024])
    return Finding(type_, True, Reason.VERIFIED, transport)
