"""At which age rows move to the archive: min and keep bound the choice, and what is not chosen changes nothing (D3, X1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.archive_rules import check_archive
from tenant_retention.domain.definition import ARCHIVE, RetentionDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.placement import HomeStore, further_stores
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.evidence import CategoryEvidence, RunEvidence
from tenant_retention.domain.rules import Subject, define, inside_bounds
from tenant_retention.domain.run_status import attempts_as_one
from tenant_retention.domain.topology import check_stores, needed_stores
from tenant_retention.enforcement.plans import check_definition
from tests.support.enforcement import archive
from tests.unit.test_anonymize_rules import CATALOGUE, PROFILE

SUBJECT = Subject("installation", "customer-acme", "acme", "uid", 3, 1)


def policy(*retention: dict[str, str], **more: Any) -> TenantRetentionPolicySpec:
    return TenantRetentionPolicySpec.from_object(
        {"profileRef": {"name": "small"}, "retention": list(retention), **more}
    )


def records(after: str, keep: str = "P6M") -> dict[str, str]:
    return {"category": "records", "keep": keep, "archiveAfter": after}


def defined(*retention: dict[str, str], profile: RetentionProfileSpec = PROFILE) -> RetentionDefinition:
    return define(profile, policy(*retention), SUBJECT)


@pytest.mark.parametrize("after", ["P1M", "P31D", "P5M", "P180D"])
def test_an_age_from_min_on_and_below_keep_is_written_into_the_definition__D3_X1(after: str) -> None:
    found = defined(records(after))
    assert found.category("records").archive_after == after
    assert found.category("recordings").archive_after is None
    assert found.database_names() == ("Analytical", ARCHIVE)
    assert [table.name for table in found.tables_of(ARCHIVE)] == ["calls"], "content never lies in the archive"
    check_definition(found)


@pytest.mark.parametrize(
    ("retention", "texts"),
    [
        (records("P30D"), ["P30D is shorter than min P1M", "write P1M or longer"]),
        (records("P6M"), ["P6M is not shorter than keep P6M", "write less than P6M"]),
        (records("P24W", "P168D"), ["P24W is not shorter than keep P168D"]),
        (
            {"category": "recordings", "keep": "P14D", "archiveAfter": "P7D"},
            ["only records with tables and without objects"],
        ),
    ],
)
def test_an_age_outside_its_bounds_is_refused_with_field_value_and_bound__X1(
    retention: dict[str, str], texts: list[str]
) -> None:
    with pytest.raises(Invalid) as refusal:
        defined(retention)
    assert refusal.value.field == f"spec.retention[{retention['category']}].archiveAfter"
    assert refusal.value.reason == "ArchiveOutOfBounds"
    assert all(text in refusal.value.message for text in texts), refusal.value.message


def test_rows_that_keys_of_the_cache_are_about_are_not_archived_as_their_keys_would_end__T1_X1() -> None:
    cached = {**CATALOGUE["categories"][0], "cache": {"prefix": "calls", "table": "calls", "keyColumn": "id"}}
    profile = RetentionProfileSpec.from_object({**CATALOGUE, "categories": [cached, CATALOGUE["categories"][1]]})
    with_cache = policy(records("P2M"), stores=[{"purpose": "Cache", "className": "valkey"}])
    with pytest.raises(Invalid) as refusal:
        define(profile, with_cache, SUBJECT)
    assert (refusal.value.field, refusal.value.reason) == ("spec.retention[records].archiveAfter", "ArchiveOutOfBounds")
    assert "with the cache that spec.stores names" in refusal.value.message
    assert inside_bounds(profile, with_cache).archive_after("records") is None, (
        "the last good rules archive nothing more"
    )
    assert defined(records("P2M"), profile=profile).category("records").archive_after == "P2M", "without a cache it may"


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [("P1M", "P5Y", ("P6M", "P4M")), ("P5M", "P5Y", ("P6M", "P5M")), ("P1M", "P2M", ("P2M", None))],
)
def test_what_is_invalid_under_todays_profile_goes_on_inside_its_bounds__M8_M10(
    minimum: str, maximum: str, expected: tuple[str, str | None]
) -> None:
    changed = {**CATALOGUE["categories"][0], "min": minimum, "max": maximum, "default": maximum}
    content = {**CATALOGUE["categories"][1], "max": maximum, "default": "P14D"}
    profile = RetentionProfileSpec.from_object({**CATALOGUE, "categories": [changed, content]})
    last = inside_bounds(profile, policy(records("P4M")))
    assert (last.keep("records"), last.archive_after("records")) == expected
    check_definition(define(profile, last, SUBJECT))


def test_policies_that_archive_nothing_keep_their_digest_and_the_age_is_in_it__X7() -> None:
    # Of a version before there was an archive.
    assert archive().rules_digest() == "sha256:2c1c4d1a9f608219dddd81df4401690902b18e2c00d72e5b8e81babc4cf4d5a3"
    digests = {each.rules_digest() for each in (defined(), defined(records("P2M")), defined(records("P3M")))}
    assert len(digests) == 3


def test_attempts_of_one_job_are_told_as_what_was_due_at_first_and_all_that_moved__D3_X6() -> None:
    moved = CategoryEvidence(
        category="records", candidates=0, acted=0, held=0, skipped=0, failed=0, surplus=0, oldest_left=None, residue=0
    )
    at = datetime(2026, 11, 22, tzinfo=UTC)
    attempts = [
        RunEvidence(
            sequence=number,
            run_id=uuid4(),
            mode=Mode.ENFORCE,
            outcome=outcome,
            started_at=at,
            finished_at=at,
            policy_generation=1,
            rules_digest="",
            categories=(moved.model_copy(update={"archive_due": due, "archived": archived}),),
            previous_digest="",
            digest="",
        )
        for number, (outcome, due, archived) in enumerate([("Interrupted", 9, 4), ("Succeeded", 5, 5)])
    ]
    (told,) = attempts_as_one(attempts).categories
    assert (told.archive_due, told.archived) == (9, 9)


def test_an_archive_is_made_where_something_is_archived_and_only_one_at_home__D3() -> None:
    assert needed_stores(PROFILE, policy()) == {"Analytical": "PostgreSQL"}
    units = {"units": [{"name": "sydney", "region": "APAC", "database": "Shared"}]}
    wanted = policy(records("P2M"), **units)
    assert needed_stores(PROFILE, wanted) == {"Analytical": "PostgreSQL", ARCHIVE: "PostgreSQL"}
    homes = {name: HomeStore("EMEA", "postgres") for name in ("Analytical", ARCHIVE)}
    assert [store.place.name for store in further_stores(wanted, homes)] == ["Analytical/APAC"]


def test_the_platform_names_the_class_of_an_archive_before_anything_is_archived_but_not_for_a_unit__D3_X2() -> None:
    named = policy(stores=[{"purpose": ARCHIVE, "className": "postgres"}])
    check_stores(PROFILE, named)
    definition = defined()
    check_archive(named, definition, in_files=False)
    with pytest.raises(Invalid) as refusal:
        check_archive(policy(stores=[{"purpose": ARCHIVE, "unit": "clinic"}]), definition, in_files=False)
    assert (refusal.value.field, refusal.value.reason) == ("spec.stores[Archive].unit", "ClassInvalid")
