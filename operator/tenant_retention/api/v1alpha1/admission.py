"""The ValidatingAdmissionPolicy that holds a policy against its profile: unknown categories, bounds, content (X1, P4).

It lives here because it compares periods by the same CEL text as the CRDs. `paramKind` is RetentionProfile with an
empty selector, so the API server evaluates it once a profile; the match condition leaves the one that the policy names.
"""

from typing import Any

from tenant_retention.api.v1alpha1.common import API_VERSION, GROUP, VERSION
from tenant_retention.api.v1alpha1.durations import cel_never_longer

_CHOICES = "variables.retention.exists(r, r.category == c.name)"
_CHOICE = "variables.retention.filter(r, r.category == c.name)[0].keep"


def _violations(condition: str, message: str, choices: str = "retention") -> str:
    """CEL for the messages of all pairs of choice `r` and category `c` for which `condition` holds."""
    return (
        f"variables.{choices}.map(r, params.spec.categories.filter(c, c.name == r.category && "
        f"{condition}).map(c, {message})).flatten()"
    )


VARIABLES: tuple[tuple[str, str], ...] = (
    ("retention", "has(object.spec.retention) ? object.spec.retention : []"),
    (
        "unknown",
        "variables.retention.filter(r, !params.spec.categories.exists(c, c.name == r.category))"
        ".map(r, 'category ' + r.category + ' is not in profile ' + params.metadata.name + ', which has ' + "
        "params.spec.categories.map(c, c.name).join(', '))",
    ),
    (
        "ageless",
        _violations(
            "!has(c.max)",
            "'category ' + c.name + ': keep ' + r.keep + ' is not allowed: it is kept until termination and has no age'",
        ),
    ),
    (
        "tooShort",
        _violations(
            f"has(c.min) && !{cel_never_longer('c.min', 'r.keep')}",
            "'category ' + c.name + ': keep ' + r.keep + ' is shorter than min ' + c.min + ' of profile ' + "
            "params.metadata.name",
        ),
    ),
    (
        "tooLong",
        _violations(
            f"has(c.max) && !{cel_never_longer('r.keep', 'c.max')}",
            "'category ' + c.name + ': keep ' + r.keep + ' is longer than max ' + c.max + ' of profile ' + "
            "params.metadata.name",
        ),
    ),
    (
        "tooEarly",
        _violations(
            f"has(r.anonymizeAfter) && has(c.min) && !{cel_never_longer('c.min', 'r.anonymizeAfter')}",
            "'category ' + c.name + ': anonymizeAfter ' + r.anonymizeAfter + ' is shorter than min ' + c.min + ' of profile ' + "
            "params.metadata.name",
        ),
    ),
    (
        "archivedTooEarly",
        _violations(
            f"has(r.archiveAfter) && has(c.min) && !{cel_never_longer('c.min', 'r.archiveAfter')}",
            "'category ' + c.name + ': archiveAfter ' + r.archiveAfter + ' is shorter than min ' + c.min + ' of profile ' + "
            "params.metadata.name",
        ),
    ),
    (
        "notArchived",
        _violations(
            "has(r.archiveAfter) && (has(c.contentOf) || has(c.objects) || !has(c.tables) || c.clock.event != 'Created')",
            "'category ' + c.name + ': archiveAfter ' + r.archiveAfter + ' is not allowed: only records with tables and without "
            "objects, by clock Created, are archived'",
        ),
    ),
    (
        "archivedAndCached",
        _violations(
            "has(r.archiveAfter) && has(c.cache) && has(c.cache.table) && has(object.spec.stores) && "
            "object.spec.stores.exists(s, s.purpose == 'Cache')",
            "'category ' + c.name + ': archiveAfter ' + r.archiveAfter + ' is not allowed with the cache that spec.stores names: "
            "keys of archived rows would end'",
        ),
    ),
    (
        "methodless",
        _violations(
            "has(r.anonymizeAfter) && !(has(c.tables) && has(params.spec.tables) && params.spec.tables.exists(t, "
            "t.name in c.tables && t.columns.exists(column, has(column.anonymize))))",
            "'category ' + c.name + ': anonymizeAfter ' + r.anonymizeAfter + ' is not allowed: no column of its tables in profile ' "
            "+ params.metadata.name + ' says how it is anonymized'",
        ),
    ),
    (
        "keeps",
        "params.spec.categories.filter(c, has(c.default)).map(c, {'name': c.name, "
        f"'keep': {_CHOICES} ? {_CHOICE} : c.default, "
        f"'from': dyn({_CHOICES} ? '' : ' (the default of profile ' + params.metadata.name + ')')}})",
    ),
    # Content that nobody chose gives way to its record by itself; content at its min makes the record wait.
    (
        "outliving",
        "variables.retention.map(r, params.spec.categories.filter(c, c.name == r.category && has(c.contentOf) && "
        "!(has(c.min) && c.min == r.keep)).map(c, variables.keeps.filter(record, record.name == c.contentOf && "
        f"!{cel_never_longer('r.keep', 'record.keep')}).map(record, 'category ' + c.name + ': keep ' + r.keep + "
        "' is longer than keep ' + record.keep + record.from + ' of its record ' + record.name)).flatten()).flatten()",
    ),
    # Content names the person: it goes before its record loses the name.
    (
        "naming",
        "variables.retention.map(r, params.spec.categories.filter(c, c.name == r.category && has(c.contentOf) && "
        "!(has(c.min) && c.min == r.keep)).map(c, variables.retention.filter(record, record.category == c.contentOf && "
        f"has(record.anonymizeAfter) && !{cel_never_longer('r.keep', 'record.anonymizeAfter')}).map(record, 'category ' + "
        "c.name + ': keep ' + r.keep + ' is longer than anonymizeAfter ' + record.anonymizeAfter + ' of its record ' + "
        "record.category)).flatten()).flatten()",
    ),
)
_EXTENDED: tuple[tuple[str, str], ...] = (
    ("extended", "has(object.spec.extendedStorage) ? object.spec.extendedStorage : []"),
    (
        "extendedUnknown",
        "variables.extended.filter(r, !params.spec.categories.exists(c, c.name == r.category))"
        ".map(r, 'category ' + r.category + ' is not in profile ' + params.metadata.name + ', which has ' + "
        "params.spec.categories.map(c, c.name).join(', '))",
    ),
    (
        "extendedNotOffered",
        _violations(
            "!has(c.extendedMax)",
            "'category ' + c.name + ': keep ' + r.keep + ' is not offered: profile ' + params.metadata.name + "
            "' has no extendedMax for it'",
            "extended",
        ),
    ),
    (
        "extendedTooShort",
        _violations(
            f"has(c.extendedMax) && has(c.default) && !{cel_never_longer('c.default', 'r.keep')}",
            "'category ' + c.name + ': keep ' + r.keep + ' is shorter than default ' + c.default + ' of profile ' + "
            "params.metadata.name",
            "extended",
        ),
    ),
    (
        "extendedTooLong",
        _violations(
            f"has(c.extendedMax) && !{cel_never_longer('r.keep', 'c.extendedMax')}",
            "'category ' + c.name + ': keep ' + r.keep + ' is longer than extendedMax ' + c.extendedMax + ' of profile ' + "
            "params.metadata.name",
            "extended",
        ),
    ),
    # Dates are compared by the operator alone.
    (
        "extendedOutliving",
        "variables.extended.map(r, params.spec.categories.filter(c, c.name == r.category && has(c.contentOf) && "
        "has(c.extendedMax) && "
        "!variables.extended.exists(x, x.category == c.contentOf && "
        f"{cel_never_longer('r.keep', 'x.keep')})).map(c, variables.keeps.filter(record, record.name == c.contentOf && "
        f"!{cel_never_longer('r.keep', 'record.keep')}).map(record, 'category ' + c.name + ': keep ' + r.keep + "
        "' is longer than keep ' + record.keep + record.from + ' of its record ' + record.name)).flatten()).flatten()",
    ),
)


def bounds_policy() -> dict[str, Any]:
    """Return the spec of the policy."""
    return {
        "failurePolicy": "Fail",
        "paramKind": {"apiVersion": API_VERSION, "kind": "RetentionProfile"},
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [GROUP],
                    "apiVersions": [VERSION],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["tenantretentionpolicies"],
                }
            ]
        },
        "matchConditions": [
            {
                "name": "the-profile-that-the-policy-names",
                "expression": "params.metadata.name == object.spec.profileRef.name",
            },
            # A profile that changed later must not stop anybody from suspending or mending the policy.
            {
                "name": "only-where-the-choice-changes",
                "expression": f"oldObject == null || {_changes('retention')} || {_changes('extendedStorage')}",
            },
        ],
        "variables": [{"name": name, "expression": expression} for name, expression in (*VARIABLES, *_EXTENDED)],
        "validations": [
            {
                "expression": f"variables.{name}.size() == 0",
                "messageExpression": f"'spec.{field}: ' + variables.{name}.join('; ')",
                "message": f"spec.{field}: {fallback}",
                "reason": "Invalid",
            }
            for field, name, fallback in (
                ("retention", "unknown", "a category is not in the profile"),
                ("retention", "ageless", "a category that is kept until termination has no keep"),
                ("retention", "tooShort", "a keep is shorter than the profile's min"),
                ("retention", "tooLong", "a keep is longer than the profile's max"),
                ("retention", "outliving", "content would be kept longer than its record"),
                ("retention", "tooEarly", "an anonymizeAfter is shorter than the profile's min"),
                ("retention", "archivedTooEarly", "an archiveAfter is shorter than the profile's min"),
                ("retention", "notArchived", "a category cannot be archived"),
                ("retention", "archivedAndCached", "a category that is in the cache cannot be archived"),
                ("retention", "methodless", "a category without a method cannot be anonymized"),
                ("retention", "naming", "content would be kept longer than its record is left with its names"),
                ("extendedStorage", "extendedUnknown", "a category is not in the profile"),
                ("extendedStorage", "extendedNotOffered", "the profile has no extendedMax for a category"),
                ("extendedStorage", "extendedTooShort", "a keep is shorter than the profile's default"),
                ("extendedStorage", "extendedTooLong", "a keep is longer than the profile's extendedMax"),
                ("extendedStorage", "extendedOutliving", "content would be kept longer than its record"),
            )
        ],
    }


def _changes(field: str) -> str:
    return (
        f"has(object.spec.{field}) && !(has(oldObject.spec.{field}) && object.spec.{field} == oldObject.spec.{field})"
    )


def bounds_binding(policy_name: str) -> dict[str, Any]:
    """Return the spec of the binding of the policy called `policy_name`."""
    return {
        "policyName": policy_name,
        "validationActions": ["Deny"],
        # A missing profile is the operator's to report: Helm and Flux apply in any order.
        "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"},
    }
