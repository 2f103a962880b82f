"""Whose a column is: a row may be about several persons, and a request clears the columns of one (P12)."""

from __future__ import annotations

from collections.abc import Mapping

from tenant_retention.api.v1alpha1.profile_tables import Table, TableColumn

IDENTITIES = frozenset({"PhoneNumber", "EmailAddress", "ChatIdentity"})
"""Roles by which a person who is no member of staff is found; a table that has two of one role is about several."""
STAFF = frozenset({"StaffId", "Agent"})
ONE_PERSON = "person"
"""The person of a table that is about one."""
ROWS_PERSON = ""
"""Whoever the row is about: a name or a text in a table that has no such person, or several."""


def persons_of(table: Table) -> Mapping[str, str | None]:
    """By column: the profile's word, what goes without saying by role, or None for what is nobody's."""
    identities = [column.role for column in table.columns if column.person is None and column.role in IDENTITIES]
    one = bool(identities) and len(set(identities)) == len(identities)
    return {column.name: column.person or _by_role(column, one) for column in table.all_columns}


def _by_role(column: TableColumn, one: bool) -> str | None:
    if column.role in IDENTITIES:
        return ONE_PERSON if one else _own(column)
    if column.role in STAFF:
        return _own(column)
    if column.role == "PersonName":
        return ONE_PERSON if one else ROWS_PERSON
    return ROWS_PERSON if column.role == "FreeText" else None


def _own(column: TableColumn) -> str:
    """A person for this column alone; one called ``person`` must not become the table's."""
    return column.name if column.name != ONE_PERSON else f"{ONE_PERSON}_"
