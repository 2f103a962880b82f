"""Who a request is about: from the data of a Secret to the forms in which columns may hold that person (P12, P14)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.subject_lines import Line, lines_of

SubjectRole = Literal["PhoneNumber", "EmailAddress", "ChatIdentity", "StaffId"]
ROLES: Mapping[str, SubjectRole] = {
    "phones": "PhoneNumber",
    "emails": "EmailAddress",
    "chatIds": "ChatIdentity",
    "staffIds": "StaffId",
}
"""The keys of such a Secret, and the role of the columns in which each is looked for."""


@dataclass(frozen=True, order=True, repr=False)
class Spelling:
    """A form in which a column with this role, folded by the database, is the person's."""

    role: SubjectRole
    value: str

    def __repr__(self) -> str:
        """Without the value: no log and no traceback shows a person."""
        return f"Spelling({self.role})"


@dataclass(frozen=True, repr=False)
class Subject:
    """One person: all spellings, sorted, each once."""

    spellings: tuple[Spelling, ...]

    def __repr__(self) -> str:
        """How many of each role, nothing else."""
        counts = Counter(spelling.role for spelling in self.spellings)
        return f"Subject({', '.join(f'{role}: {count}' for role, count in sorted(counts.items()))})"


def parse_subject(data: Mapping[str, bytes], region: str | None, constants: Collection[str] = ()) -> Subject:
    """The person that a Secret names, one identifier a line. ``region``: the policy's phoneDefaultRegion.

    ``constants``: what the profiles' method Constant writes. Raises Invalid, by key and line and never with what is written
    there, where a line is no identifier or may mean anybody, where nobody is named, and for keys that are none of ROLES.
    """
    if not data.keys() <= ROLES.keys():
        # Not even by name: somebody may have written a number in its place.
        raise _refused(f"a key is none of {', '.join(ROLES)}")
    spellings = {
        Spelling(role, value)
        for key, role in ROLES.items()
        for line in lines_of(key, data.get(key, b""), constants)
        for value in _values(line, role, region)
    }
    if not spellings:
        raise _refused(f"nobody is named; write an identifier a line into one of {', '.join(ROLES)}")
    return Subject(tuple(sorted(spellings)))


def constants_of(definition: RetentionDefinition) -> frozenset[str]:
    """What anonymization by these rules writes into columns: it is nobody's any more."""
    return frozenset(
        column.anonymize.value
        for each in definition.tables
        for column in each.columns
        if column.anonymize is not None and column.anonymize.value
    )


def digest_of(spelling: Spelling, salt: bytes) -> bytes:
    """What the databases compare: SHA-256 over salt, role, NUL and value, as they compute it of what is in a column."""
    return hashlib.sha256(salt + spelling.role.encode() + b"\0" + spelling.value.encode()).digest()


def _values(line: Line, role: SubjectRole, region: str | None) -> frozenset[str]:
    # The libraries are imported only where somebody is named by a number or an address.
    if role == "PhoneNumber":
        from tenant_retention.domain.phone_spellings import phone_spellings

        return phone_spellings(line, region)
    if role == "EmailAddress":
        from tenant_retention.domain.address_spellings import address_spellings

        return address_spellings(line)
    return frozenset({line.text})


def _refused(why: str) -> Invalid:
    return Invalid(f"the Secret's data: {why}", reason="SubjectInvalid", field="data")
