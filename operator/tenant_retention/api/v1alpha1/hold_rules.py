"""CEL rules of LegalHold: what it must select, and that it is only ever released."""

from tenant_retention.api.v1alpha1.common import Rule
from tenant_retention.api.v1alpha1.store_rules import immutable

MOST_COMBINATIONS = 10_000
"""Each becomes a row in every database."""


def _size(name: str) -> str:
    return f"({_given(name)} ? self.select.{name}.size() : 1)"


def _given(name: str) -> str:
    return f"(has(self.select) && has(self.select.{name}) && self.select.{name}.size() > 0)"


HOLD_SPEC = (
    immutable("policyRefs", "spec.policyRefs"),
    immutable("subject", "spec.subject"),
    immutable("select", "spec.select"),
    immutable("reference", "spec.reference"),
    Rule(
        "!has(oldSelf.release) || (has(self.release) && self.release == oldSelf.release)",
        "spec.release is immutable once it is set: to hold again make a new LegalHold",
        ".release",
        "FieldValueForbidden",
    ),
    Rule(
        "has(self.subject) || (has(self.select) && (has(self.select.from) || has(self.select.to))) || "
        + " || ".join(_given(name) for name in ("sessions", "categories", "units")),
        "spec.select must have at least one of sessions, categories, units, from and to where there is no spec.subject",
        ".select",
        "FieldValueRequired",
    ),
    Rule(
        "!has(self.select) || !has(self.select.from) || !has(self.select.to) || self.select.from < self.select.to",
        "spec.select.from must be before spec.select.to",
        ".select.from",
    ),
    Rule(
        f"{_size('sessions')} * {_size('categories')} * {_size('units')} <= {MOST_COMBINATIONS}",
        f"spec.select: sessions, categories and units make over {MOST_COMBINATIONS} combinations; make several LegalHolds",
        ".select",
    ),
)
