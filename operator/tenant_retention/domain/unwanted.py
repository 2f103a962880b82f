"""What the last scans found where it may not be, as a reason not to be compliant (P10, P11, M7); pure."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.conditions import Finding


def unwanted_finding(counts: Counts) -> Finding | None:
    """Content without consent before digits without a mask before media without approval; None where nothing was found."""
    rows = sorted(counts.categories.items())
    for reason, text, step, found in (
        (
            Reason.CONTENT_AGAINST_CONSENT,
            "content is stored without consent",
            "takes it away",
            [(name, each.against_consent) for name, each in rows],
        ),
        (
            Reason.DIGITS_UNMASKED,
            "digits stand in masked columns",
            "blanks them",
            [(name, each.unmasked) for name, each in rows],
        ),
        (
            Reason.MEDIA_UNAPPROVED,
            "media was not approved in time",
            "takes it away",
            [(name, each.unapproved) for name, each in rows],
        ),
    ):
        told = ", ".join(f"{name} ({number})" for name, number in found if number)
        if told:
            message = (
                f"{text}: {told}; the next run {step} unless a hold, an object lock or the guard keeps it (status.approval): "
                "correct what writes it"
            )
            return Finding(ConditionType.COMPLIANT, False, reason, message[:1024])
    return None
