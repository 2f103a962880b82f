"""What a LegalHold and a DataSubjectRequest are for: policies of their namespace, by name or all of them; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenant_retention.api.v1alpha1.common import LocalRef
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.conditions import reason_of
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError

_TOLD = 3
"""So many problems are told in the condition; status.stores has the others."""


def chosen_policies(
    kind: str, named: Sequence[LocalRef], there: Iterable[str]
) -> tuple[tuple[str, ...], tuple[RetentionError, ...]]:
    """The policies of the namespace that an object of this kind is for, and why not those that it names in vain."""
    known = set(there)
    names = [reference.name for reference in named]
    if not names and not known:
        return (), (NotReady("the namespace has no TenantRetentionPolicy yet", reason=Reason.PENDING),)
    missing = tuple(
        Invalid(
            f"spec.policyRefs: there is no TenantRetentionPolicy {name} in this namespace; create it, or make a {kind} without",
            reason=Reason.POLICY_NOT_FOUND,
            field="spec.policyRefs",
        )
        for name in names
        if name not in known
    )
    return tuple(name for name in names if name in known) if names else tuple(sorted(known)), missing


def concerns(named: Sequence[LocalRef], policy: str) -> bool:
    """Whether an object that names these is for a policy of this name in its namespace."""
    return not named or any(reference.name == policy for reference in named)


def unfinished(policy: Mapping[str, Any], databases: int) -> RetentionError | None:
    """Why a policy with so many databases in the ledger may get more of them. Those have no row yet; but until the object is in
    all of them nobody may read that it is."""
    status = policy.get("status") or {}
    wanted = int(str(status.get("databases") or "0/0").partition("/")[2] or 0)
    if status.get("observedGeneration") == policy["metadata"].get("generation", 0) and databases >= max(wanted, 1):
        return None
    name = policy["metadata"]["name"]
    return NotReady(f"policy {name} does not have all its databases yet; see its status", reason=Reason.PENDING)


def summed_up(problems: Sequence[tuple[RetentionError, str]]) -> tuple[Reason, str]:
    """Reason and message of a condition from at least one problem, each with how it is told."""
    # What somebody must change before what time changes.
    sorted_ = sorted(problems, key=lambda found: not isinstance(found[0], Invalid))
    told = [text for _, text in sorted_[:_TOLD]]
    told += [f"and {len(sorted_) - _TOLD} more, see status.stores"] if len(sorted_) > _TOLD else []
    return reason_of(sorted_[0][0].reason), "; ".join(told)
