"""CEL rules of DataSubjectRequest: actions that go together, and that what was asked for is never changed."""

from tenant_retention.api.v1alpha1.common import Rule
from tenant_retention.api.v1alpha1.store_rules import immutable

REQUEST_SPEC = (
    immutable("policyRefs", "spec.policyRefs"),
    immutable("subject", "spec.subject"),
    immutable("actions", "spec.actions"),
    Rule(
        "!('Erase' in self.actions) || self.actions.size() == 1",
        "spec.actions: Erase stands alone; it clears and deletes whatever the others do",
        ".actions",
    ),
)
