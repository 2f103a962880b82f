"""The forms in which one e-mail address may stand in a column: its domain in Unicode and in ASCII (P12)."""

from __future__ import annotations

import re
import unicodedata

import idna

from tenant_retention.domain.subject_lines import Line, is_nobody

_LOCAL_PART = re.compile(r"[^\s@<>()\[\]\\,;:\"]+")
_ASCII_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NOBODYS_DOMAINS = frozenset({"invalid", "anonymous", "unknown"})


def address_spellings(line: Line) -> frozenset[str]:
    """The address in lower case, its domain both ways. Raises Invalid where the line is no address."""
    local, at, domain = unicodedata.normalize("NFC", line.text).lower().partition("@")
    if not at or "@" in domain or not _LOCAL_PART.fullmatch(local):
        raise line.refused("is no e-mail address; write name@domain without brackets, quotes or the person's name")
    if is_nobody(local) and local != "private":
        raise line.refused("is an address of nobody, so it may mean anybody; write the person's own")
    ascii_form = _ascii(domain.removesuffix("."))
    if ascii_form is None:
        raise line.refused("has a domain that cannot exist; write name@domain, as in mail programs")
    if ascii_form.rpartition(".")[2] in _NOBODYS_DOMAINS:
        raise line.refused("is an address of nobody, so it may mean anybody; write the person's own")
    return frozenset({f"{local}@{ascii_form}", f"{local}@{_unicode(ascii_form)}"})


def _ascii(domain: str) -> str | None:
    """The A-labels; None where there are none: the error would show the address in the traceback of what is said of it."""
    if _ASCII_DOMAIN.fullmatch(domain):
        return domain
    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError:
        return None


def _unicode(ascii_form: str) -> str:
    """The U-labels, or the same where it has none."""
    try:
        return idna.decode(ascii_form)
    except idna.IDNAError:
        # Domains of before the standard, and labels that it does not know, are found as they are.
        return ascii_form
