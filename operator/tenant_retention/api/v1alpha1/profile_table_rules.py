"""CEL rules of the tables of a RetentionProfile and their columns: what the API server refuses at apply (X1)."""

from tenant_retention.api.v1alpha1.common import Rule
from tenant_retention.api.v1alpha1.durations import cel_never_longer

ANONYMIZE = (
    Rule(
        "(self.method == 'Constant') == has(self.value)",
        "anonymize.value is required with method Constant and only allowed there",
        ".value",
    ),
)

RANGE = (Rule("self.min <= self.max", "range.min must not be greater than range.max", ".min"),)

_METHOD = "self.anonymize.method"

COLUMN = (
    Rule(
        f"!has(self.anonymize) || {_METHOD} != 'SetNull' || !has(self.nullable) || self.nullable",
        "anonymize.method SetNull needs a column that may be NULL",
        ".anonymize",
    ),
    Rule(
        f"!has(self.anonymize) || {_METHOD} == 'SetNull' || self.type == 'Text' || ({_METHOD} == 'Generalize' && "
        f"self.type in ['Integer', 'BigInteger', 'Numeric', 'Timestamp', 'Date']) || ({_METHOD} == 'Constant' && "
        "self.type in ['Integer', 'BigInteger', 'Numeric'] && has(self.anonymize.value) && "
        "self.anonymize.value.matches('^-?[0-9]{1,9}$'))",
        "anonymize.method does not fit the type: Text takes all, numbers SetNull, Generalize and a Constant that is a number, "
        "Timestamp and Date SetNull and Generalize, the others SetNull",
        ".anonymize",
    ),
    Rule(
        "!has(self.anonymize) || !has(self.role) || !(self.role in ['SessionId', 'Unit', 'ObjectKey'])",
        "a column with role SessionId, Unit or ObjectKey is written once and cannot be anonymized",
        ".anonymize",
    ),
    Rule(
        "!has(self.mask) || (has(self.role) && self.role == 'MaskedDigits')",
        "mask is only allowed with role MaskedDigits",
        ".mask",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.person) || !has(self.role) || "
        "!(self.role in ['SessionId', 'Unit', 'ObjectKey', 'MaskedDigits', 'Consent'])",
        "person is not allowed with role SessionId, Unit, ObjectKey, MaskedDigits or Consent: they are about the session, not "
        "about one person",
        ".person",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.range) || self.type in ['Integer', 'BigInteger', 'Numeric']",
        "range is only allowed with type Integer, BigInteger or Numeric",
        ".range",
        "FieldValueForbidden",
    ),
)

LONGEST_BACK, LONGEST_AHEAD = "P50Y", "P5Y"
"""Bounds on the months of a table: they are made in one transaction, and each takes a few of the locks that all databases
of a server share. A slip such as ``P700Y`` must not stop the neighbours."""

PARTITIONS = (
    Rule(
        cel_never_longer("self.back", f"'{LONGEST_BACK}'"),
        f"partitions.back must not be longer than {LONGEST_BACK}",
        ".back",
    ),
    Rule(
        cel_never_longer("self.ahead", f"'{LONGEST_AHEAD}'"),
        f"partitions.ahead must not be longer than {LONGEST_AHEAD}",
        ".ahead",
    ),
)

_SYSTEM_COLUMNS = "['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid']"
"""PostgreSQL refuses a table with one of them; the tenants of the profile would wait for ever."""

TABLE = (
    Rule(
        "!has(self.onlyWith) || self.onlyWith.table != self.name",
        "onlyWith.table must name another table: that of the record",
        ".onlyWith",
    ),
    Rule(
        f"!(self.bornAt in {_SYSTEM_COLUMNS}) && self.columns.all(column, !(column.name in {_SYSTEM_COLUMNS}))",
        "columns must not have the name of one of PostgreSQL's system columns (xmin, ctid and the like)",
        ".columns",
    ),
    Rule(
        "self.primaryKey.all(key, key == self.bornAt || self.columns.exists(column, column.name == key))",
        "primaryKey must name declared columns",
        ".primaryKey",
    ),
    Rule(
        "self.columns.all(column, column.name != self.bornAt || "
        "(column.type == 'Timestamp' && has(column.nullable) && !column.nullable))",
        "the bornAt column must be of type Timestamp with nullable: false",
        ".bornAt",
    ),
    Rule(
        "self.columns.all(column, !has(column.anonymize) || (column.name != self.bornAt && !(column.name in self.primaryKey)))",
        "the columns of primaryKey, and bornAt, cannot be anonymized: rows are found by them",
        ".columns",
    ),
)
