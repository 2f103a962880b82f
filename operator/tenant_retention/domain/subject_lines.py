"""The lines of a Secret that says who a request is about: each one identifier, refused where it could mean anybody (P12, P14).

What is refused is told by key and line alone: neither a message nor a repr shows what is written there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tenant_retention.domain.errors import Invalid

MOST_IDENTIFIERS = 200
"""Identifiers of one key: a person has a few, and each is looked for in every store."""
LONGEST_IDENTIFIER = 320
"""Characters; the longest e-mail address has 254."""
NOBODY = re.compile(
    r"anonym(ous|i[sz]ed)?|(unknown|private|withheld)( (number|caller))?|no (number|caller id)|un(available|defined)|restricted"
    r"|hidden|blocked|suppressed|removed|deleted|erased|redacted|masked|none|null|nil|n/a|nobody"
)
"""What is written where nobody is known, or somebody no longer is."""
_AROUND = " \t<>()[]{}\"'`.,:;!-_#="
"""What such a word may stand in: ``<unknown>``, ``(none)``."""


@dataclass(frozen=True, repr=False)
class Line:
    """One identifier, and where it stands."""

    key: str
    number: int
    text: str

    def __repr__(self) -> str:
        return f"Line({self.key}, line {self.number})"

    def refused(self, why: str) -> Invalid:
        """The refusal of this line, which does not repeat it."""
        return Invalid(
            f"{self.key}, line {self.number}: {why}", reason="SubjectInvalid", field=f"{self.key}:{self.number}"
        )


def lines_of(key: str, content: bytes, constants: Collection[str]) -> Iterator[Line]:
    """The identifiers of one key, each once; blank lines are none. Raises Invalid for the first that is not one person's.

    ``constants``: what the profiles' anonymization writes into columns, which is nobody's any more.
    """
    text = _decoded(content)
    if text is None:
        raise Invalid(f"{key}: is not UTF-8 text", reason="SubjectInvalid", field=key)
    removed = {_folded(constant) for constant in constants}
    seen: set[str] = set()
    for number, written in enumerate(text.split("\n"), 1):
        line = Line(key, number, written.strip())
        if not line.text or line.text in seen:
            continue
        seen.add(line.text)
        if len(seen) > MOST_IDENTIFIERS:
            raise line.refused(f"over {MOST_IDENTIFIERS} identifiers; make several requests")
        _check(line, removed)
        yield line


def _check(line: Line, removed: Collection[str]) -> None:
    folded = _folded(line.text)
    if len(line.text) > LONGEST_IDENTIFIER:
        raise line.refused(f"over {LONGEST_IDENTIFIER} characters; write one identifier a line")
    if any(unicodedata.category(character) == "Cc" for character in line.text):
        raise line.refused("has a character that is no text, such as a tab or NUL; write one identifier a line")
    if any(character in folded for character in "*%?"):
        raise line.refused("has a wildcard (* % ?), which does not exist here; write the identifier itself")
    if folded.startswith("hmac:"):
        raise line.refused("is what an anonymization writes, not an identifier; write the identifier itself")
    if is_nobody(folded) or folded in removed or not any(character.isalnum() for character in folded):
        raise line.refused("is written where nobody is known, so it may mean anybody; write the identifier itself")


def is_nobody(text: str) -> bool:
    """Whether this is a word for nobody, whatever its case and the brackets around it."""
    folded = _folded(text)
    return bool(NOBODY.fullmatch(folded) or NOBODY.fullmatch(folded.strip(_AROUND)))


def _decoded(content: bytes) -> str | None:
    """None where it is not UTF-8: the error itself would show the bytes."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()
