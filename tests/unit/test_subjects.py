"""Who a request is about: every form of a number or an address, nobody who could be anybody, and no value told (P12, P14)."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import traceback
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.subject_lines import LONGEST_IDENTIFIER, MOST_IDENTIFIERS
from tenant_retention.domain.subjects import ROLES, Spelling, Subject, digest_of, parse_subject

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
REGIONS = ("NL", "DE", "US", "GB", "IN", "IT", "CN")
SHAPES = ("{canary}{text}", "{text}{canary}", "{canary}@{text}", "{text}@{canary}.{canary}")
every_key = pytest.mark.parametrize("key", ROLES)


def named(key: str, *lines: str, region: str | None = None) -> set[str]:
    """The values by which one person is looked for, all of one role."""
    subject = parse_subject({key: "\n".join(lines).encode()}, region)
    assert {spelling.role for spelling in subject.spellings} == {ROLES[key]}
    return {spelling.value for spelling in subject.spellings}


def refusal(data: dict[str, bytes], region: str | None = "NL", constants: tuple[str, ...] = ()) -> Invalid:
    with pytest.raises(Invalid) as refused:
        parse_subject(data, region, constants)
    return refused.value


@pytest.mark.parametrize(
    ("region", "written", "expected"),
    [
        ("NL", "06 - 1234.5678", "+31612345678 0031612345678 31612345678 0612345678"),
        ("NL", "0031 6 12345678", "+31612345678 0031612345678 31612345678 0612345678"),
        ("NL", "+44 (0)20 7946 0000", "+442079460000 00442079460000 442079460000"),
        ("DE", "0151/12345678", "+4915112345678 004915112345678 4915112345678 015112345678"),
        ("DE", "+31612345678", "+31612345678 0031612345678 31612345678"),
        ("US", "(212) 555-0123", "+12125550123 0012125550123 01112125550123 12125550123 2125550123"),
        ("US", "1-212-555-0123", "+12125550123 0012125550123 01112125550123 12125550123 2125550123"),
        ("US", "011 31 6 12345678", "+31612345678 0031612345678 01131612345678 31612345678"),
        ("GB", "020 7946 0000", "+442079460000 00442079460000 442079460000 02079460000"),
        ("GB", "+44 1534 123456", "+441534123456 00441534123456 441534123456 01534123456"),
        ("IN", "098765 43210", "+919876543210 00919876543210 919876543210 09876543210"),
        ("IT", "06 698 12345", "+390669812345 00390669812345 390669812345 0669812345"),
        ("IT", "320 1234567", "+393201234567 00393201234567 393201234567 3201234567"),
        ("CN", "131 2555 1234", "+8613125551234 008613125551234 8613125551234 13125551234 013125551234"),
        ("CN", "010 1234 5678", "+861012345678 00861012345678 861012345678 01012345678"),
        # In China 13125551234 is somebody else's.
        ("CN", "+1 312 555 1234", "+13125551234 0013125551234"),
        ("RU", "8 (912) 345-67-89", "+79123456789 0079123456789 81079123456789 79123456789 89123456789"),
        (None, "+31612345678", "+31612345678 0031612345678 31612345678"),
        ("NL", "\uff0b31\u00a06\u201012345678", "+31612345678 0031612345678 31612345678 0612345678"),
    ],
)
def test_a_number_is_looked_for_in_every_form_that_is_nobody_elses__P12(
    region: str | None, written: str, expected: str
) -> None:
    assert named("phones", written, region=region) == set(expected.split())


@pytest.mark.parametrize("region", REGIONS)
def test_no_form_of_a_number_is_another_number_of_that_country__P12(region: str) -> None:
    for country in REGIONS:
        example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
        assert example is not None
        written = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        forms = named("phones", written, region=region)
        # Whoever asks with any of the forms that name a country is the same person.
        for form in (form for form in forms if form.startswith("+")):
            assert named("phones", form, region=region) == forms
        assert all(set(form) <= set("+0123456789") for form in forms)


@pytest.mark.parametrize(
    "written",
    ["12", "112", "0000000000", "0612345678 ext 5", "0612345678,5", "0612345678#5", "+31 6 1234567890123", "sip:31612345678",
     "+31612345678+31612345679", "0612345678/0612345679", "+999 12345678", "1-800-FLOWERS", "jan@example.com", "+"],
)  # fmt: skip
def test_a_number_that_is_no_number_is_refused__P12(written: str) -> None:
    refused = refusal({"phones": f"+31612345678\n\n{written}\n".encode()})
    assert (refused.reason, refused.field) == ("SubjectInvalid", "phones:3")
    assert refused.message.startswith("phones, line 3: ")


def test_a_number_without_a_country_needs_the_policys_region_and_that_must_be_one() -> None:
    for written in ("0612345678", "0031612345678", "31612345678"):
        assert "phoneDefaultRegion" in refusal({"phones": written.encode()}, None).message
    refused = refusal({"phones": b"+31612345678"}, "XX")
    assert (refused.reason, refused.field) == ("SpecInvalid", "spec.phoneDefaultRegion")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Jan.Jansen+Bills@Example.COM", "jan.jansen+bills@example.com"),
        ("jan@MÜNCHEN.example", "jan@münchen.example jan@xn--mnchen-3ya.example"),
        ("jan@xn--mnchen-3ya.example", "jan@münchen.example jan@xn--mnchen-3ya.example"),
        ("jan@mu\u0308nchen.example", "jan@münchen.example jan@xn--mnchen-3ya.example"),
        ("ÅSA@例え。テスト", "åsa@例え.テスト åsa@xn--r8jz45g.xn--zckzah"),
        # Two characters in IDNA 2008: strasse.example is somebody else's domain.
        ("jan@straße.example", "jan@straße.example jan@xn--strae-oqa.example"),
        ("jan@example.com.", "jan@example.com"),
        ("private@jansen.example", "private@jansen.example"),
        ("o'neil/x_{y}@mail-host", "o'neil/x_{y}@mail-host"),
        ("jan@r3---sn.example", "jan@r3---sn.example"),
        ("jan@xn--i-7iq.example", "jan@xn--i-7iq.example"),
    ],
)
def test_an_address_is_looked_for_in_lower_case_and_its_domain_both_ways__P12(written: str, expected: str) -> None:
    assert named("emails", written) == set(expected.split())


@pytest.mark.parametrize(
    "written",
    ["jan", "@example.com", "jan@", "a@b@example.com", "Jan <jan@example.com>", "mailto:jan@example.com", "jan@[10.0.0.1]",
     "jan@exa mple.com", "jan@-x.example", "jan@a..example", "jan@♥.example", "anonymous@anonymous.invalid", "jan@x.invalid",
     "ANONYMOUS@example.com", "unknown@example.com", '"jan"@example.com', "a@b.example,c@d.example"],
)  # fmt: skip
def test_an_address_that_is_none_or_nobodys_is_refused__P12(written: str) -> None:
    refused = refusal({"emails": f"\n{written}".encode()})
    assert (refused.reason, refused.field) == ("SubjectInvalid", "emails:2")


@every_key
@pytest.mark.parametrize(
    "written",
    ["anonymous", "ANONYMOUS", "Unknown", "<unknown>", "(none)", "Anonymized", "removed", "restricted", "Private", "withheld",
     "ａｎｏｎｙｍｏｕｓ", "n/a", "-", "...", "???", "*", "%", "a%", "*@example.com", "+31*", "j*", "***", "***123", "_",
     "hmac:" + "a" * 64, "HMAC:" + "0" * 64, "a\tb", "a\0b", "x" * (LONGEST_IDENTIFIER + 1), "Gone", "gone "],
)  # fmt: skip
def test_what_may_mean_anybody_is_refused_everywhere__P14(key: str, written: str) -> None:
    refused = refusal({key: written.encode()}, constants=("gone",))
    assert (refused.reason, refused.field) == ("SubjectInvalid", f"{key}:1")


@pytest.mark.parametrize("key", ["chatIds", "staffIds"])
def test_chat_and_staff_ids_are_looked_for_as_they_are_written(key: str) -> None:
    assert named(key, "  Jan Jansen#42  ", "", "Jan Jansen#42", "7", "Østen") == {"Jan Jansen#42", "7", "Østen"}


def test_a_person_may_have_several_identifiers_of_every_kind__P14() -> None:
    data = {
        "phones": "\ufeff0612345678\r\n\r\n+31 6 12345678\r\n".encode(),
        "emails": b"jan@example.com",
        "chatIds": b"",
        "staffIds": b"s-1",
    }
    subject = parse_subject(data, "NL")
    assert list(subject.spellings) == sorted(set(subject.spellings))
    assert [(each.role, each.value) for each in subject.spellings] == [
        ("EmailAddress", "jan@example.com"),
        ("PhoneNumber", "+31612345678"),
        ("PhoneNumber", "0031612345678"),
        ("PhoneNumber", "0612345678"),
        ("PhoneNumber", "31612345678"),
        ("StaffId", "s-1"),
    ]
    assert repr(subject) == str(subject) == "Subject(EmailAddress: 1, PhoneNumber: 4, StaffId: 1)"
    assert repr(subject.spellings[0]) == f"{subject.spellings[0]}" == "Spelling(EmailAddress)"


def test_whoever_names_nobody_or_too_many_is_refused() -> None:
    for data in ({}, {"phones": b""}, {"emails": b" \n\n", "chatIds": b"\n"}):
        assert refusal(data).field == "data"
    most = "\n".join(f"person-{number}" for number in range(MOST_IDENTIFIERS))
    assert len(parse_subject({"chatIds": most.encode()}, None).spellings) == MOST_IDENTIFIERS
    assert refusal({"chatIds": f"{most}\none more".encode()}).field == f"chatIds:{MOST_IDENTIFIERS + 1}"


def test_a_key_that_is_not_known_is_refused_without_its_name() -> None:
    refused = refusal({"0612345678": b"x", "phones": b"0612345678"})
    assert refused.field == "data"
    assert "0612345678" not in refused.message


@every_key
def test_bytes_that_are_no_text_are_refused(key: str) -> None:
    assert refusal({key: b"\xff\xfe06"}).field == key


@every_key
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\n")), shape=st.sampled_from(SHAPES))
def test_no_refusal_and_no_repr_shows_what_was_written__P14(key: str, text: str, shape: str) -> None:
    canary = "zq7kx91"
    written = shape.format(canary=canary, text=text).encode()
    try:
        told = repr(parse_subject({key: written}, "NL"))
    except Invalid as refused:
        # An error below it could be shown with its value.
        below = repr(refused.__context__ or "")
        told = "".join(traceback.format_exception(refused)) + repr(refused) + str(refused.field) + below
    assert canary not in told


@given(digits=st.integers(min_value=10_000_000, max_value=59_999_999))
def test_every_form_of_a_number_names_the_same_person__P12(digits: int) -> None:
    forms = named("phones", f"+316{digits}", region="NL")
    assert len(forms) == 4
    assert {frozenset(named("phones", form, region="NL")) for form in forms} == {frozenset(forms)}


@given(
    local=st.from_regex(r"[a-z0-9]{1,20}x", fullmatch=True), label=st.from_regex(r"[a-zäöüéñ]{1,20}", fullmatch=True)
)
def test_both_forms_of_an_address_name_the_same_person__P12(local: str, label: str) -> None:
    forms = named("emails", f"{local}@{label}.example")
    assert all(named("emails", form) == named("emails", form.upper()) == forms for form in forms)


def test_a_digest_is_what_the_database_computes_of_role_and_value() -> None:
    spelling = Spelling("ChatIdentity", "Østen")
    expected = hashlib.sha256(b"salt" + b"ChatIdentity" + b"\0" + "Østen".encode()).digest()
    assert digest_of(spelling, b"salt") == expected
    assert digest_of(Spelling("StaffId", "Østen"), b"salt") != expected
    assert digest_of(spelling, b"other") != expected


def test_the_libraries_are_imported_only_for_a_number_or_an_address() -> None:
    script = (
        "import sys\n"
        "from tenant_retention.domain.subjects import parse_subject\n"
        "parse_subject({'chatIds': b'jan'}, None)\n"
        "print(*[name for name in ('phonenumbers', 'idna') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(OPERATOR)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_a_subject_is_equal_to_itself_however_it_is_written() -> None:
    assert parse_subject({"phones": b"0612345678"}, "NL") == parse_subject({"phones": b"+31 (0)6 12 34 56 78"}, "NL")
    assert parse_subject({"staffIds": b"a\nb"}, None) == Subject((Spelling("StaffId", "a"), Spelling("StaffId", "b")))
