"""What a database refuses to store: content and surveys of e-mails and e-tasks (P5), scores beyond 0 to 10 (P6)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
import yaml

from tenant_retention.api.v1alpha1.common import LocalRef
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.rules import Subject, define
from tests.stores.tenant_databases import TenantDatabase, TenantDatabases, days_ago
from tests.stores.test_database_profiles import EXAMPLES


def rules(*, ranged: bool = True) -> RetentionDefinition:
    """The archive of the example, with a year of months."""
    profile = RetentionProfile.model_validate(yaml.safe_load((EXAMPLES / "puzzel-archive.yaml").read_text())).spec
    policy = TenantRetentionPolicySpec(profile_ref=LocalRef(name="puzzel-archive"))
    found = define(profile, policy, Subject("installation", "customer", "acme", "uid", 1, 1))
    tables = [table.model_copy(update={"back": "P3M"}) for table in found.tables]
    if not ranged:
        tables = [
            table.model_copy(
                update={"columns": tuple(each.model_copy(update={"range": None}) for each in table.columns)}
            )
            for table in tables
        ]
    return found.model_copy(update={"tables": tuple(tables)})


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty archive."""
    with tenant_databases.having(rules()) as made:
        yield made


def request(database: TenantDatabase, session: str, channel: str | None) -> None:
    database.write(
        "INSERT INTO requests (id, started_at, session_id, channel) VALUES (%s, %s, %s, %s)",
        uuid4(),
        days_ago(1),
        session,
        channel,
    )


def store(database: TenantDatabase, table: str, session: str) -> str:
    """The application stores one; what the database answers."""
    statement = {
        "recordings": "INSERT INTO recordings (id, started_at, session_id, object_key) VALUES (%s, %s, %s, 'key')",
        "chat_logs": "INSERT INTO chat_logs (id, started_at, session_id, object_key) VALUES (%s, %s, %s, 'key')",
        "surveys": "INSERT INTO surveys (id, started_at, session_id, score) VALUES (%s, %s, %s, 10)",
    }[table]
    try:
        database.write(statement, uuid4(), days_ago(1), session)
    except psycopg.Error as error:
        return "repeats the session" if session in str(error) else error.diag.message_detail or ""
    return "stored"


@pytest.mark.parametrize(
    ("channel", "may_have"),
    [
        ("phone", {"recordings", "surveys"}),
        ("chat", {"chat_logs", "surveys"}),
        ("email", set()),
        ("task", set()),
        ("facebook", set()),
        (None, {"recordings", "chat_logs", "surveys"}),
    ],
)
def test_emails_and_tasks_are_records_alone_and_phone_and_chat_have_content_of_their_own_and_a_survey__P5(
    database: TenantDatabase, channel: str | None, may_have: set[str]
) -> None:
    request(database, "some-session", channel)
    for table in ("recordings", "chat_logs", "surveys"):
        expected = "stored" if table in may_have else "RecordHasNone"
        assert store(database, table, "some-session") == expected, table
        count = database.value("SELECT count(*) FROM (SELECT FROM {}) AS t".format(f"public.{table}"))  # noqa: S608
        assert count == (table in may_have)


def test_no_way_in_leads_round_it_neither_a_month_nor_an_update_nor_many_rows__P5(database: TenantDatabase) -> None:
    request(database, "call", "phone")
    request(database, "mail", "email")
    assert store(database, "recordings", "call") == "stored"
    month = f"recordings_p{days_ago(1):%Y%m}"
    for statement, parameters in (
        (
            f"INSERT INTO {month} (id, started_at, session_id, object_key) VALUES (%s, %s, 'mail', 'key')",  # noqa: S608
            (uuid4(), days_ago(1)),
        ),
        ("UPDATE recordings SET session_id = 'mail'", ()),
        (
            "INSERT INTO recordings (id, started_at, session_id, object_key)"
            " SELECT gen_random_uuid(), %s, unnest(ARRAY['call', 'call', 'mail']), 'key'",
            (days_ago(1),),
        ),
    ):
        with pytest.raises(psycopg.Error) as caught:
            database.write(statement, *parameters)
        assert caught.value.sqlstate in ("RTG00", "42501"), statement
    assert database.value("SELECT count(*) FROM public.recordings") == 1


SCORE = "INSERT INTO surveys (id, started_at, session_id, score) VALUES (%s, %s, 's1', %s)"


@pytest.mark.parametrize(("score", "stored"), [(-1, False), (0, True), (10, True), (11, False), (None, True)])
def test_a_score_is_0_to_10_and_no_other_is_stored__P6(
    database: TenantDatabase, score: int | None, stored: bool
) -> None:
    if stored:
        database.write(SCORE, uuid4(), days_ago(1), score)
        return
    with pytest.raises(psycopg.Error) as caught:
        database.write(SCORE, uuid4(), days_ago(1), score)
    assert (caught.value.sqlstate, caught.value.diag.message_detail) == ("RTG00", "OutsideRange")
    assert "score of surveys" in str(caught.value)
    assert "takes 0 to 10" in str(caught.value)


def test_a_score_is_not_changed_to_another_one_and_the_owner_is_refused_too__P6(database: TenantDatabase) -> None:
    database.write(SCORE, uuid4(), days_ago(1), 7)
    for write in (database.write, database.rows):
        with pytest.raises(psycopg.Error, match="takes 0 to 10"):
            write(SCORE, uuid4(), days_ago(1), 12)
    with pytest.raises(psycopg.Error, match="takes 0 to 10"):
        database.write("UPDATE surveys SET score = 12")
    assert database.value("SELECT score FROM public.surveys") == 7


def test_a_range_that_comes_later_refuses_what_is_new_and_leaves_rows_of_before_writable__P6_M11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(rules(ranged=False)) as database:
        database.write(SCORE, uuid4(), days_ago(1), 99)
        assert "score of surveys takes 0 to 10" in database.apply(rules())
        assert database.apply(rules()) == (), "nothing is left to do"
        database.write("UPDATE surveys SET comment = 'late'")
        with pytest.raises(psycopg.Error, match="takes 0 to 10"):
            database.write(SCORE, uuid4(), days_ago(1), 99)
        with database.as_owner() as owner:
            owner.execute(
                "DROP TRIGGER retention_range_probe ON public.surveys".replace(
                    "retention_range_probe", trigger(database)
                )
            )
        assert "score of surveys takes 0 to 10" in database.apply(rules()), "put right"
        database.apply(rules(ranged=False))
        database.write(SCORE, uuid4(), days_ago(1), Decimal(99))


def trigger(database: TenantDatabase) -> str:
    name = database.value(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'public.surveys'::regclass AND tgname LIKE 'retention_range_insert%%'"
    )
    return str(name)


def test_rules_that_use_neither_have_the_digest_that_they_had__X7() -> None:
    plain = rules(ranged=False)
    assert rules().rules_digest() == plain.rules_digest()
    open_ = plain.model_copy(update={"tables": tuple(t.model_copy(update={"only_with": None}) for t in plain.tables)})
    assert open_.rules_digest() == plain.rules_digest(), "what may be stored decides no deletion"
