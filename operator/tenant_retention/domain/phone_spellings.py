"""The forms in which one phone number may stand in a column, by Google's metadata of the countries' numbers (P12)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.subject_lines import Line

_SIGNS = frozenset("+./() ")


def phone_spellings(line: Line, region: str | None) -> frozenset[str]:
    """The number as ``+31612345678``, with an international prefix, without one, and as its own country writes it.

    ``region``: two letters, whose numbers are written without a country, in the line and in columns; None: nobody's are.
    A form that in that region is another person's number is left out. Raises Invalid where the line is no number.
    """
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise Invalid(
            "spec.phoneDefaultRegion: no country has these two letters; write one such as NL, of ISO 3166",
            reason="SpecInvalid",
            field="spec.phoneDefaultRegion",
        )
    text = unicodedata.normalize("NFKC", line.text)
    if not all(_may_stand_in_number(character) for character in text):
        raise line.refused("has characters that no phone number has; write digits, without an extension")
    if region is None and not text.lstrip("( ").startswith("+"):
        raise line.refused("has no country: write it with +, or set the policy's phoneDefaultRegion")
    number = _valid(text, region)
    if number is None or number.extension:
        raise line.refused("is no phone number that can exist; write the whole number with + and its country")
    international = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    digits = international.removeprefix("+")
    forms = {f"00{digits}", digits}
    if region is not None:
        forms |= {f"{prefix}{digits}" for prefix in _international_prefixes(region)}
        forms |= set(_national_forms(number, region))
        forms = {form for form in forms if not _is_anothers(form, number, region)}
    return frozenset({international, *forms})


def _may_stand_in_number(character: str) -> bool:
    return character.isdecimal() or character in _SIGNS or unicodedata.category(character) == "Pd"


def _valid(text: str, region: str | None) -> PhoneNumber | None:
    """None where it is none: the error would be in the traceback of what is said of it."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _international_prefixes(region: str) -> Iterator[str]:
    """What is dialled there before the country, where it is one sequence of digits: 011, 810 (written 8~10)."""
    metadata = PhoneMetadata.metadata_for_region(region)
    for prefix in (metadata.international_prefix, metadata.preferred_international_prefix) if metadata else ():
        digits = (prefix or "").replace("~", "")
        if digits.isdecimal():
            yield digits


def _national_forms(number: PhoneNumber, region: str) -> Iterator[str]:
    """As it is written within the country: with its trunk prefix, and without where nobody writes one. Leading zeros stay."""
    if number.country_code != phonenumbers.country_code_for_region(region):
        return
    written = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    yield "".join(character for character in written if character.isdecimal())
    trunk = phonenumbers.ndd_prefix_for_region(region, True)
    if trunk:
        yield trunk + phonenumbers.national_significant_number(number)


def _is_anothers(form: str, number: PhoneNumber, region: str) -> bool:
    """Whether somebody else's number is written like this there. In China 13125551234 is not the American +13125551234."""
    other = _valid(form, region)
    return other is not None and other != number and form in _national_forms(other, region)
