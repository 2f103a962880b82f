"""CEL rules of TenantRetentionPolicy and RetentionRun: what the API server refuses at apply, with the field it names."""

from tenant_retention.api.v1alpha1.common import Rule
from tenant_retention.api.v1alpha1.durations import cel_never_longer
from tenant_retention.api.v1alpha1.store_rules import immutable

POLICY_NAME = (
    Rule(
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be a DNS label of at most 40 characters: a-z, 0-9 and '-'",
    ),
)

CATEGORY_RETENTION = (
    Rule(
        f"!has(self.anonymizeAfter) || {cel_never_longer('self.anonymizeAfter', 'self.keep')}",
        "anonymizeAfter must not be longer than keep",
        ".anonymizeAfter",
    ),
    Rule(
        f"!has(self.archiveAfter) || ({cel_never_longer('self.archiveAfter', 'self.keep')} && "
        f"!{cel_never_longer('self.keep', 'self.archiveAfter')})",
        "archiveAfter must be shorter than keep",
        ".archiveAfter",
    ),
)

POLICY_SPEC = (
    immutable("profileRef", "spec.profileRef"),
    Rule(
        "!has(self.units) || self.units.all(u, !has(u.sharedWith) || self.units.exists(o, o.name == u.sharedWith && "
        "has(o.database) && o.database == 'Dedicated'))",
        "spec.units[].sharedWith must name a unit with database Dedicated",
        ".units",
    ),
)

UNIT = (
    Rule(
        "!has(self.region) || has(self.database)",
        "database is required with region: Shared with the units of that region, or Dedicated",
        ".database",
        "FieldValueRequired",
    ),
    Rule(
        "!has(self.sharedWith) || (!has(self.region) && !has(self.database))",
        "sharedWith: the unit uses another unit's databases; it has no region and no database of its own",
        ".sharedWith",
        "FieldValueForbidden",
    ),
)

RUN_SPEC = (
    Rule("self == oldSelf", "spec is immutable; make a new RetentionRun", None, "FieldValueForbidden"),
    Rule(
        "!has(self.approves) || !has(self.mode) || self.mode == 'Enforce'",
        "spec.approves is only allowed with mode Enforce",
        ".approves",
        "FieldValueForbidden",
    ),
)
