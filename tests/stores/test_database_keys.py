"""Names of objects that a store could take for another object's, inside the database (M8): keys are refused when written, never
claimed, and never compared as if they were plain; versions are the same however they are spelled."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from uuid import uuid4

import psycopg
import pytest

from tenant_retention.domain.object_keys import UNPLAIN, folded_version, is_plain
from tenant_retention.domain.orphans import ObjectRow, StoredObject
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, archive, days_ago
from tests.stores.test_database_content import RULES, begin, left

SEGMENTS = (
    "",
    "a",
    ".",
    "..",
    "...",
    ".uploads",
    "uploads",
    ".versions",
    "x.versions",
    "x.versions.y",
    "a\\b",
    "a\nb",
    "\r",
)
INSERT = (
    "INSERT INTO recordings (id, session_id, started_at, object_key, object_version) VALUES (%s, 's', %s, %s, 'v1')"
)


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    with tenant_databases.having(RULES) as made:
        yield made


def before_the_rule(database: TenantDatabase, number: int, age: float, key: str) -> None:
    """A row that was written before the database refused such keys."""
    with database.as_owner() as owner:
        names = owner.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'public.recordings'::regclass AND conname LIKE 'retention_plain%'"
        ).fetchall()
        for (name,) in names:
            owner.execute(f"ALTER TABLE public.recordings DROP CONSTRAINT {name}".encode())
    database.write(INSERT, number, days_ago(age), key)


def test_the_rule_is_the_same_in_the_database_and_in_the_program__M8(database: TenantDatabase) -> None:
    keys = ["/".join(parts) for count in (1, 2, 3) for parts in product(SEGMENTS, repeat=count)]
    condition = database.value("SELECT retention.unplain_key_condition('key')")
    assert UNPLAIN in condition.replace("\\\\", "\\")
    asked = "SELECT key FROM unnest(%s::text[]) AS key WHERE CONDITION".replace("CONDITION", condition)
    unplain = {key for (key,) in database.rows(asked, keys)}
    assert unplain == {key for key in keys if not is_plain(key)}


@pytest.mark.parametrize("key", ["rec//young.wav", "/rec/young.wav", "rec\\young.wav", "rec/./young.wav", ".uploads/x"])
def test_the_application_cannot_write_a_key_that_could_name_another_object__M8(
    database: TenantDatabase, key: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="retention_plain_object_key"):
        database.write(INSERT, 1, days_ago(1), key)
    database.write(INSERT, 1, days_ago(1), "")
    with pytest.raises(psycopg.errors.CheckViolation, match="retention_plain_object_key"):
        database.write("UPDATE recordings SET object_key = %s", key)
    database.write("UPDATE recordings SET object_key = 'rec/young.wav'")


def test_rows_from_before_the_rule_survive_an_upgrade_and_the_next_ones_are_refused__M8(
    database: TenantDatabase,
) -> None:
    before_the_rule(database, 1, 1, "rec//young.wav")
    (told,) = database.apply(RULES)
    assert told.startswith("check on recordings.object_key added: the objects of older rows")
    assert database.apply(RULES) == ()
    with pytest.raises(psycopg.errors.CheckViolation):
        database.write(INSERT, 2, days_ago(1), "rec//other.wav")
    assert left(database, "recordings") == {1}
    with database.as_owner() as owner:
        owner.execute("DELETE FROM public.recordings")
    assert database.apply(RULES) == ("check on recordings.object_key holds for every row",)
    assert database.apply(RULES) == ()


def test_a_check_that_somebody_removed_is_put_back_and_told(database: TenantDatabase) -> None:
    before_the_rule(database, 1, 1, "rec/young.wav")
    (told,) = database.apply(RULES)
    assert told.startswith("check on recordings.object_key added")
    assert database.apply(RULES) == ("check on recordings.object_key holds for every row",)
    assert database.apply(RULES) == ()


def test_rows_from_before_the_rule_are_not_read_under_the_lock_that_adds_it_and_only_their_month_stays_in_doubt__M10(
    database: TenantDatabase,
) -> None:
    before_the_rule(database, 1, 1, "rec//young.wav")
    database.write(INSERT, 2, days_ago(100), "rec/old.wav")
    unproven = (
        "SELECT conrelid::regclass::text FROM pg_constraint"
        " WHERE conname ~ 'retention_plain' AND NOT convalidated ORDER BY length(conrelid::regclass::text)"
    )
    database.apply(RULES)
    assert len(database.rows(unproven)) > 3
    database.apply(RULES)
    month = database.value("SELECT tableoid::regclass::text FROM public.recordings WHERE id = 1")
    assert [name.removeprefix("public.") for (name,) in database.rows(unproven)] == [
        "recordings",
        month.removeprefix("public."),
    ]


@pytest.mark.parametrize(
    "key", ["rec//young.wav", "/rec/young.wav", "rec\\young.wav", "rec/x/../young.wav", "rec/young.wav/."]
)
def test_an_object_that_a_young_row_from_before_the_rule_spells_otherwise_is_not_claimed_and_its_old_row_stays__M8(
    database: TenantDatabase, key: str
) -> None:
    before_the_rule(database, 1, 1, key)
    database.write(INSERT, 2, days_ago(30), "rec/young.wav")
    database.write(INSERT, 3, days_ago(30), "rec/other.wav")
    database.apply(RULES)
    enforcement, run_id = begin(database)
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    assert claim.key == "rec/other.wav"
    assert enforcement.confirm_claims(run_id, [claim.claim_id]) == 1
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    evidence = enforcement.finish_run(run_id)
    enforcement.close()
    assert left(database, "recordings") == {1, 2}
    assert (evidence.outcome, evidence.categories[0].residue) == ("Incomplete", 1)


def test_a_month_comes_back_to_a_table_with_rows_from_before_the_rule__X3(tenant_databases: TenantDatabases) -> None:
    rules = archive(back="P3M")
    with tenant_databases.having(rules) as database:
        before_the_rule(database, 1, 1, "rec//young.wav")
        database.apply(rules)
        month, starts, ends = database.rows(
            "SELECT partition, born_from, born_to FROM retention.partition WHERE table_name = 'recordings' ORDER BY 2 LIMIT 1"
        )[0]
        database.write("INSERT INTO recordings (id, session_id, started_at) VALUES (9, 's', %s)", starts)
        with database.as_owner() as owner:
            owner.execute(f"ALTER TABLE public.recordings DETACH PARTITION public.{month}".encode())
            owner.execute(
                "INSERT INTO retention.detached_partition VALUES (%s, 'recordings', 'recordings', %s, %s, 1, %s, now())",
                [month, starts, ends, uuid4()],
            )
            owner.execute("INSERT INTO retention.hold (category) VALUES ('recordings')")
        enforcement, run_id = begin(database, rules)
        enforcement.finish_detached(run_id)
        enforcement.close()
        assert left(database, "recordings") == {1, 9}
        assert database.value("SELECT count(*) FROM retention.detached_partition") == 0


VERSION = "6f4a6c1e-97d2-4c8f-8f6e-0d3f2a1b4c5d"
SPELLINGS = (
    VERSION.upper(),
    VERSION.replace("-", ""),
    f"urn:uuid:{VERSION}",
    f"{{{VERSION}}}",
    f"a{VERSION}b",
    f"{VERSION}  ",
    f"  {VERSION.replace('-', '')}  ",
    "00000000-0000-0000-0000-000000000000",
)
NAMED = "INSERT INTO recordings (id, session_id, started_at, object_key, object_version) VALUES (%s, %s, %s, %s, %s)"


def test_two_spellings_of_a_version_are_told_apart_alike_in_the_database_and_in_the_program__M8(
    database: TenantDatabase,
) -> None:
    others = (
        VERSION,
        "v1",
        "V1",
        "null",
        "NULL",
        "",
        "0" * 32,
        "a" * 31,
        "a" * 33,
        VERSION + "\n",
        VERSION[:-1] + "g",
        "ſ",
    )
    versions = [*SPELLINGS, *others]
    asked = (
        "SELECT retention.folded_version(version) FROM unnest(%s::text[]) WITH ORDINALITY AS x(version, n) ORDER BY n"
    )
    assert [folded for (folded,) in database.rows(asked, versions)] == [folded_version(each) for each in versions]


def test_every_spelling_of_a_version_is_found_by_every_other__M8(database: TenantDatabase) -> None:
    spellings = [*SPELLINGS[:-1], VERSION, f"{{{VERSION.upper()}}}", f"urn:uuid:{VERSION}abc"]
    condition = database.value("SELECT retention.same_version_condition('one', 'other')")
    asked = "SELECT count(*) FROM unnest(%s::text[]) AS one, unnest(%s::text[]) AS other WHERE CONDITION".replace(
        "CONDITION", condition
    )
    zeros = ["0" * 32, "00000000-0000-0000-0000-000000000000", "null", " null"]
    assert database.value(asked, spellings, spellings) == len(spellings) ** 2
    assert database.value(asked, zeros, zeros) == len(zeros) ** 2
    others = ["v1", "V1", "NULL", VERSION[:-1] + "e", "a" * 32, "A" * 31, "aB/c", "Ab/c"]
    assert database.value(asked, others, [*spellings, *zeros]) == 0
    assert database.value(asked, others, others) == len(others)
    assert database.value(asked, others, [None]) == len(others)


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_a_version_that_an_old_row_spells_otherwise_than_a_young_or_held_one_is_not_claimed_and_the_old_row_goes_alone__M8_X3(
    database: TenantDatabase, spelled: str
) -> None:
    version = "null" if spelled.startswith("0000") else VERSION
    database.write(NAMED, 1, "young", days_ago(1), "rec/young.wav", version)
    database.write(NAMED, 2, "held", days_ago(40), "rec/held.wav", version)
    for number, key in ((3, "rec/young.wav"), (4, "rec/held.wav"), (5, "rec/other.wav")):
        database.write(NAMED, number, "old", days_ago(30), key, spelled)
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES ('held')")
    enforcement, run_id = begin(database)
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    assert (claim.key, claim.version) == ("rec/other.wav", spelled)
    assert enforcement.confirm_claims(run_id, [claim.claim_id]) == 1
    asked = [ObjectRow("rec/young.wav", spelled), ObjectRow("rec/held.wav", spelled), ObjectRow("rec/young.wav", "v1")]
    assert [each.place for each in enforcement.objects_named_here(run_id, asked)] == [0, 1]
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    enforcement.close()
    assert left(database, "recordings") == {1, 2}


@pytest.mark.parametrize("column", ["object_key", "object_version"])
def test_one_row_with_an_endless_name_of_its_object_does_not_keep_all_others_from_going__M10(
    database: TenantDatabase, column: str
) -> None:
    names = {"object_key": "rec/1.wav", "object_version": "v1"}
    database.write(NAMED, 1, "s", days_ago(30), *names.values())
    endless = names | {column: "v" * 1025}
    with pytest.raises(psycopg.errors.CheckViolation, match=f"retention_short_{column}"):
        database.write(NAMED, 2, "s", days_ago(31), *endless.values())
    longest = names | {column: "v" * 1024}
    database.write(NAMED, 2, "s", days_ago(31), *longest.values())
    enforcement, run_id = begin(database)
    assert len(enforcement.claim_content(run_id, "recordings", 10)) == 2
    enforcement.close()


def test_a_row_keeps_the_object_whose_key_it_spells_otherwise_also_from_categories_of_files__M5_M8(
    database: TenantDatabase,
) -> None:
    before_the_rule(database, 1, 60, "logs//call1.wav")
    enforcement = database.enforcer()
    listed = [StoredObject(key, "v1", None) for key in ("logs/call1.wav", "logs/other.wav", "logs/call1.wav")]
    assert enforcement.unnamed_objects(listed) == (1,)
    enforcement.close()
