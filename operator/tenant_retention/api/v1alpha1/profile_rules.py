"""CEL rules of a RetentionProfile and its categories: what the API server refuses at apply, with the field it names (X1)."""

from tenant_retention.api.v1alpha1.common import Rule
from tenant_retention.api.v1alpha1.durations import cel_never_longer

CLOCK = (
    Rule(
        "self.event == 'Closed' ? has(self.column) : !has(self.column)",
        "clock.column is required for event Closed and only allowed there",
        ".column",
    ),
)

OBJECTS = (
    Rule(
        "has(self.prefix) != has(self.table)",
        "objects needs either table (with keyColumn and versionColumn) or prefix",
        ".table",
        "FieldValueRequired",
    ),
    Rule(
        "has(self.table) == has(self.keyColumn) && has(self.table) == has(self.versionColumn)",
        "objects.keyColumn and objects.versionColumn are required with table and only allowed with it",
        ".keyColumn",
        "FieldValueRequired",
    ),
)

CONSENT = (
    Rule(
        "has(self.forcedColumn) == has(self.acceptedColumn)",
        "consent.forcedColumn and consent.acceptedColumn go together: forced recording needs acceptance",
        ".acceptedColumn",
        "FieldValueRequired",
    ),
)

QUARANTINE = (
    Rule(
        "has(self.onlyColumn) == has(self.onlyValue)",
        "quarantine.onlyColumn and quarantine.onlyValue go together",
        ".onlyValue",
        "FieldValueRequired",
    ),
)

CATEGORY = (
    Rule(
        f"!has(self.quarantine) || !has(self.max) || {cel_never_longer('self.quarantine.keep', 'self.max')}",
        "quarantine.keep must not be longer than max",
        ".quarantine",
    ),
    Rule(
        "self.clock.event == 'Terminated' || (has(self.default) && has(self.max))",
        "default and max are required unless clock.event is Terminated",
        ".max",
        "FieldValueRequired",
    ),
    Rule(
        "self.clock.event != 'Terminated' || !(has(self.default) || has(self.max) || has(self.min))",
        "min, default and max are not allowed with clock.event Terminated: the category has no age",
        ".max",
        "FieldValueForbidden",
    ),
    Rule(
        f"!has(self.min) || !has(self.max) || {cel_never_longer('self.min', 'self.max')}",
        "min must not be longer than max",
        ".min",
    ),
    Rule(
        f"!has(self.min) || !has(self.default) || {cel_never_longer('self.min', 'self.default')}",
        "default must not be shorter than min",
        ".default",
    ),
    Rule(
        f"!has(self.default) || !has(self.max) || {cel_never_longer('self.default', 'self.max')}",
        "default must not be longer than max",
        ".default",
    ),
    Rule(
        f"!has(self.extendedMax) || (has(self.max) && {cel_never_longer('self.max', 'self.extendedMax')})",
        "extendedMax must not be shorter than max",
        ".extendedMax",
    ),
    Rule(
        "(has(self.earlyDeletion) && self.earlyDeletion == 'Refused') == has(self.ground)",
        "ground is required with earlyDeletion Refused and only allowed there",
        ".ground",
    ),
    Rule(
        "!has(self.contentOf) || self.contentOf != self.name",
        "contentOf must name another category",
        ".contentOf",
    ),
    Rule(
        "!has(self.consent) || has(self.contentOf)",
        "consent is only allowed with contentOf: the record has the flags",
        ".consent",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.objects) || !has(self.objects.table) || (has(self.tables) && self.objects.table in self.tables)",
        "objects.table must be one of the category's tables",
        ".objects",
    ),
    Rule(
        "!has(self.cache) || !has(self.cache.table) || (has(self.tables) && self.cache.table in self.tables)",
        "cache.table must be one of the category's tables",
        ".cache",
    ),
    Rule(
        "self.clock.event != 'ObjectLastModified' || (has(self.objects) && has(self.objects.prefix))",
        "objects.prefix is required with clock.event ObjectLastModified",
        ".objects",
        "FieldValueRequired",
    ),
    Rule(
        "!has(self.objects) || !has(self.objects.prefix) || self.clock.event == 'ObjectLastModified'",
        "objects.prefix is only allowed with clock.event ObjectLastModified",
        ".objects",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.contentOf) || self.clock.event != 'ObjectLastModified'",
        "contentOf is not allowed with clock.event ObjectLastModified: files below a prefix have no record",
        ".contentOf",
        "FieldValueForbidden",
    ),
)

CACHE = (
    Rule(
        "has(self.table) == has(self.keyColumn)",
        "cache.keyColumn is required with table and only allowed with it",
        ".keyColumn",
        "FieldValueRequired",
    ),
)

_RECORD = "self.categories.exists(record, record.name == content.contentOf && !has(record.contentOf)"

SPEC = (
    Rule(
        f"self.categories.all(content, !has(content.contentOf) || {_RECORD}))",
        "categories: contentOf must name a record category of this profile that is not content itself",
        ".categories",
    ),
    Rule(
        "self.categories.all(content, !has(content.contentOf) || !has(content.default) || "
        f"{_RECORD} && (!has(record.default) || {cel_never_longer('content.default', 'record.default')})))",
        "categories: the default of content must not be longer than that of its record",
        ".categories",
    ),
    Rule(
        "self.categories.all(content, !has(content.contentOf) || !has(content.min) || "
        f"{_RECORD} && (!has(record.max) || {cel_never_longer('content.min', 'record.max')})))",
        "categories: the min of content must not be longer than the max of its record",
        ".categories",
    ),
    Rule(
        f"self.categories.all(content, !has(content.contentOf) || !has(content.database) || {_RECORD} && "
        "(has(record.database) ? record.database : 'Analytical') == content.database))",
        "categories: content lies in the database of its record; leave its database out",
        ".categories",
    ),
    Rule(
        "self.categories.all(category, !has(category.tables) || category.tables.all(name, "
        "has(self.tables) && self.tables.exists(table, table.name == name)))",
        "categories: every table of a category must be declared in spec.tables",
        ".categories",
    ),
    Rule(
        "self.categories.all(category, !has(category.tables) || category.tables.all(name, "
        "self.categories.filter(other, has(other.tables) && name in other.tables).size() == 1))",
        "categories: a table belongs to exactly one category",
        ".categories",
    ),
    Rule(
        "self.categories.all(category, !has(category.objects) || !has(category.objects.prefix) || "
        "self.categories.filter(other, has(other.objects) && has(other.objects.prefix) && "
        "other.objects.prefix.startsWith(category.objects.prefix)).size() == 1)",
        "categories: the objects.prefix of one category must not begin with that of another",
        ".categories",
    ),
    Rule(
        "self.categories.all(category, !has(category.clock.column) || !has(category.tables) || "
        "category.tables.all(name, has(self.tables) && self.tables.exists(table, table.name == name && "
        "table.columns.exists(column, column.name == category.clock.column && column.type == 'Timestamp'))))",
        "categories: clock.column must be a Timestamp column of every table of the category",
        ".categories",
    ),
    Rule(
        "self.categories.all(category, !has(category.objects) || !has(category.objects.table) || "
        "!has(category.objects.keyColumn) || !has(category.objects.versionColumn) || "
        "(has(self.tables) && self.tables.exists(table, table.name == category.objects.table && "
        "table.columns.filter(column, column.name == category.objects.keyColumn || "
        "column.name == category.objects.versionColumn).size() == 2)))",
        "categories: objects.keyColumn and objects.versionColumn must be columns of objects.table",
        ".categories",
    ),
    Rule(
        "self.categories.all(category, !has(category.cache) || "
        "self.categories.filter(other, has(other.cache) && other.cache.prefix == category.cache.prefix).size() == 1)",
        "categories: cache.prefix belongs to exactly one category",
        ".categories",
    ),
    Rule(
        "self.categories.all(category, !has(category.cache) || !has(category.cache.table) || "
        "!has(category.cache.keyColumn) || (has(self.tables) && self.tables.exists(table, "
        "table.name == category.cache.table && table.columns.exists(column, column.name == category.cache.keyColumn))))",
        "categories: cache.keyColumn must be a column of cache.table",
        ".categories",
    ),
    Rule(
        "self.categories.all(content, !has(content.consent) || !has(content.contentOf) || "
        "self.categories.exists(record, record.name == content.contentOf && has(record.tables) && "
        "content.consent.table in record.tables))",
        "categories: consent.table must be a table of the record that contentOf names",
        ".categories",
    ),
    Rule(
        "self.categories.all(category, !has(category.quarantine) || (has(category.tables) && category.tables.all(name, "
        "has(self.tables) && self.tables.exists(table, table.name == name && table.columns.exists(column, "
        "column.name == category.quarantine.approvedColumn && column.type == 'Timestamp') && "
        "(!has(category.quarantine.onlyColumn) || table.columns.exists(column, "
        "column.name == category.quarantine.onlyColumn && column.type == 'Text'))))))",
        "categories: quarantine needs, in every table of the category, approvedColumn of type Timestamp and onlyColumn of type Text",
        ".categories",
    ),
    Rule(
        "self.categories.all(content, !has(content.consent) || "
        "(has(self.tables) && self.tables.exists(table, table.name == content.consent.table && "
        "(has(content.consent.forcedColumn) && has(content.consent.acceptedColumn) "
        "? [content.consent.refusedColumn, content.consent.forcedColumn, content.consent.acceptedColumn] "
        ": [content.consent.refusedColumn]).all(flag, "
        "table.columns.exists(column, column.name == flag && column.type == 'Boolean')))))",
        "categories: the columns of consent must be Boolean columns of consent.table",
        ".categories",
    ),
    Rule(
        "!has(self.tables) || self.tables.all(each, !has(each.onlyWith) || self.tables.exists(record, "
        "record.name == each.onlyWith.table && record.columns.exists(column, "
        "column.name == each.onlyWith.column && column.type == 'Text')))",
        "tables: onlyWith.column must be a Text column of onlyWith.table",
        ".tables",
    ),
)
