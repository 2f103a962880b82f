"""What the last scans found where it may not be, as a reason not to be compliant (P10, P11); pure."""

from __future__ import annotations

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.domain.category_status import Counts
from tenant_retention.domain.conditions import Finding


def unwanted_finding(counts: Counts) -> Finding | None:
    """Content without consent before digits without a mask; None where nothing was found."""
    for reason, text, step in (
        (Reason.CONTENT_AGAINST_CONSENT, "content is stored without consent", "takes it away"),
        (Reason.DIGITS_UNMASKED, "digits stand in masked columns", "blanks them"),
    ):
        found = {
            name: each.against_consent if reason is Reason.CONTENT_AGAINST_CONSENT else each.unmasked
            for name, each in counts.categories.items()
        }
        told = ", ".join(f"{name} ({number})" for name, number in sorted(found.items()) if number)
        if told:
            message = (
                f"{text}: {told}; the next run {step} unless a hold, an object lock or the guard keeps it (status.approval): "
                "correct what writes it"
            )
            return Finding(ConditionType.COMPLIANT, False, reason, message[:1024])
    return None
