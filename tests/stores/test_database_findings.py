"""What may not be stored and is there: found by one run, taken away by the next (P10, P11), inside the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tenant_retention.domain.definition import ColumnDefinition, RetentionDefinition
from tenant_retention.domain.orphans import ObjectRow
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.evidence import CategoryEvidence, RunEvidence
from tests.stores.tenant_databases import (
    TenantDatabase,
    TenantDatabases,
    category,
    days_ago,
    definition,
    records,
    table,
    take,
    text,
)
from tests.stores.test_database_consent import RULES, call, consenting, count, line, record

pytestmark = pytest.mark.oldest_and_newest


@pytest.fixture
def database(tenant_databases: TenantDatabases) -> Iterator[TenantDatabase]:
    """An empty archive whose content needs consent."""
    with tenant_databases.having(RULES) as made:
        yield made


def night(database: TenantDatabase, rules: RetentionDefinition = RULES, mode: Mode = Mode.ENFORCE) -> RunEvidence:
    """A whole run as the engine drives it; every object of the bucket can be deleted."""
    enforcement, run_id = database.enforcer(), uuid4()
    try:
        for each in enforcement.begin_run(run_id, mode, rules.rules_digest(), datetime.now(UTC)):
            while mode is Mode.ENFORCE and (claims := enforcement.claim_content(run_id, each.category, 100)):
                enforcement.confirm_claims(run_id, [claim.claim_id for claim in claims])
            for step in enforcement.partition_steps(run_id, each.category):
                if mode is Mode.ENFORCE:
                    take(enforcement, run_id, step)
            for name in rules.scanned_tables(each.category):
                while mode is Mode.ENFORCE and enforcement.clear_findings(run_id, each.category, name, 3):
                    pass
                resume_after = None
                while (batch := enforcement.scan_findings(run_id, each.category, name, resume_after)).resume_after:
                    resume_after = batch.resume_after
        return enforcement.finish_run(run_id)
    finally:
        enforcement.close()


def of(evidence: RunEvidence, name: str) -> CategoryEvidence:
    return next(each for each in evidence.categories if each.category == name)


def hold(database: TenantDatabase, session: str) -> None:
    with database.as_owner() as owner:
        owner.execute("INSERT INTO retention.hold (session) VALUES (%s)", (session,))


def test_content_that_came_before_its_denial_is_reported_by_one_run_and_gone_after_the_next__P10(
    database: TenantDatabase,
) -> None:
    for part in range(2):
        record(database, 1, part)
    line(database, 1)
    record(database, 2)
    line(database, 2)
    call(database, 1, denied=True, no_log=True)
    call(database, 2)
    first = night(database)
    assert (of(first, "recordings").against_consent, of(first, "lines").against_consent) == (2, 1)
    assert (count(database, "recordings"), count(database, "lines"), first.outcome) == (3, 2, "Succeeded")
    told = {each.category: each.against_consent for each in database.observer().observe().categories}
    assert told == {"recordings": 2, "lines": 1, "records": None}
    second = night(database)
    assert (of(second, "recordings").cleared, of(second, "lines").cleared) == (2, 1)
    assert (of(second, "recordings").acted, of(second, "recordings").against_consent) == (0, 0)
    left = database.rows("SELECT session_id FROM public.recordings UNION ALL SELECT session_id FROM public.lines")
    assert (left, count(database, "calls")) == ([("s2",), ("s2",)], 2)
    assert database.value("SELECT count(*) FROM retention.finding") == 0


def test_a_denial_that_is_taken_back_before_the_next_run_leaves_the_content__P10(database: TenantDatabase) -> None:
    record(database, 1)
    call(database, 1, denied=True)
    assert of(night(database), "recordings").against_consent == 1
    database.write("UPDATE calls SET denied = false WHERE id = 1")
    second = night(database)
    assert (of(second, "recordings").cleared, of(second, "recordings").against_consent) == (0, 0)
    assert count(database, "recordings") == 1


def test_content_that_nobody_reported_yet_is_not_taken_away__P10_X6(database: TenantDatabase) -> None:
    record(database, 1)
    call(database, 1, denied=True)
    night(database)
    record(database, 2)
    call(database, 2, denied=True)
    second = night(database)
    assert (of(second, "recordings").cleared, of(second, "recordings").against_consent) == (1, 1)
    assert database.rows("SELECT session_id FROM public.recordings") == [("s2",)]


def test_held_content_without_consent_stays_until_it_is_released__P10_X3(database: TenantDatabase) -> None:
    record(database, 1)
    line(database, 1)
    call(database, 1, denied=True, no_log=True)
    night(database)
    hold(database, "s1")
    for _ in range(2):
        evidence = night(database)
        assert (of(evidence, "recordings").cleared, of(evidence, "recordings").against_consent) == (0, 1)
    with database.as_owner() as owner:
        owner.execute("UPDATE retention.hold SET released_at = now()")
    night(database)
    assert (count(database, "recordings"), count(database, "lines")) == (0, 0)


def test_a_dry_run_reports_and_takes_nothing_away__P10_X7(database: TenantDatabase) -> None:
    line(database, 1)
    call(database, 1, no_log=True)
    for _ in range(2):
        assert of(night(database, mode=Mode.DRY_RUN), "lines").against_consent == 1
    assert count(database, "lines") == 1
    assert of(night(database), "lines").cleared == 1


def test_a_minimum_does_not_keep_what_may_not_be_stored_and_keeps_everything_else__P10_M8(
    tenant_databases: TenantDatabases,
) -> None:
    rules = consenting(minimum="P30D")
    with tenant_databases.having(rules) as made:
        record(made, 1)
        record(made, 2)
        call(made, 1, denied=True)
        call(made, 2)
        young = "DELETE FROM public.recordings WHERE session_id = %s"
        with made.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum"):
            owner.execute(young, ("s1",))
        enforcement, run_id = made.enforcer(), uuid4()
        enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
        locks = enforcement.objects_to_lock(run_id, "recordings", None, 10).locks
        enforcement.close()
        assert [lock.key for lock in locks] == ["s2/0"]
        night(made, rules)
        night(made, rules)
        assert made.rows("SELECT session_id FROM public.recordings") == [("s2",)]
        with made.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum"):
            owner.execute(young, ("s2",))


def denied_twice(made: TenantDatabase, rules: RetentionDefinition) -> None:
    """Two recordings that their calls deny, and the night that finds them."""
    for number in (1, 2):
        record(made, number)
        call(made, number, denied=True)
    night(made, rules)


def test_content_that_was_denied_and_is_accepted_since_has_its_minimum_again_at_once__P10_M8(
    tenant_databases: TenantDatabases,
) -> None:
    rules = consenting(minimum="P30D")
    with tenant_databases.having(rules) as made:
        denied_twice(made, rules)
        made.write("UPDATE calls SET denied = false WHERE id = 1")
        for statement in ("DELETE FROM public.recordings WHERE session_id = 's1'", "TRUNCATE public.recordings"):
            with made.as_owner() as owner, pytest.raises(psycopg.Error, match="younger than the minimum"):
                owner.execute(statement)
        with made.as_owner() as owner:
            owner.execute("DELETE FROM public.recordings WHERE session_id = 's2'")
        assert made.rows("SELECT session_id FROM public.recordings") == [("s1",)]


def test_a_row_that_was_accepted_after_its_object_went_stays_below_its_minimum_and_is_told__P10_M8(
    tenant_databases: TenantDatabases,
) -> None:
    rules = consenting(minimum="P30D")
    with tenant_databases.having(rules) as made:
        denied_twice(made, rules)
        enforcement, run_id = made.enforcer(), uuid4()
        enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
        claims = enforcement.claim_content(run_id, "recordings", 10)
        assert {claim.key for claim in claims} == {"s1/0", "s2/0"}
        made.write("UPDATE calls SET denied = false WHERE id = 1")
        for _ in range(2):
            # The second time because a reply was lost.
            enforcement.confirm_claims(run_id, [claim.claim_id for claim in claims])
        told = of(enforcement.finish_run(run_id), "recordings")
        enforcement.close()
        assert (told.cleared, told.failed) == (1, 1)
        assert made.rows("SELECT session_id FROM public.recordings") == [("s1",)]
        assert made.value("SELECT count(*) FROM retention.claim") == 0
        assert of(night(made, rules), "recordings").failed == 0


def test_an_object_that_the_bucket_locked_before_the_denial_waits_for_its_lock__P10_M8(
    tenant_databases: TenantDatabases,
) -> None:
    rules = consenting(minimum="P30D")
    with tenant_databases.having(rules) as made:
        record(made, 1)
        enforcement, run_id = made.enforcer(), uuid4()
        enforcement.begin_run(run_id, Mode.ENFORCE, rules.rules_digest(), datetime.now(UTC))
        (lock,) = enforcement.objects_to_lock(run_id, "recordings", None, 10).locks
        enforcement.record_locks(run_id, "recordings", [(lock.lock_id, None)])
        enforcement.close()
        call(made, 1, denied=True)
        night(made, rules)
        evidence = night(made, rules)
        assert (of(evidence, "recordings").cleared, of(evidence, "recordings").against_consent) == (0, 1)
        assert (evidence.outcome, count(made, "recordings")) == ("Succeeded", 1)


def test_an_object_that_another_call_names_as_well_stays_with_that_call__P10_P3(database: TenantDatabase) -> None:
    record(database, 1)
    call(database, 1, denied=True)
    call(database, 2)
    database.write(
        "INSERT INTO recordings (id, session_id, started_at, object_key, object_version) VALUES (20, 's2', %s, 's1/0', 'v1')",
        days_ago(1),
    )
    night(database)
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    assert enforcement.claim_content(run_id, "recordings", 10) == ()
    enforcement.close()


def test_a_row_that_was_accepted_since_the_scan_keeps_the_object_that_it_shares__P10_M8(
    database: TenantDatabase,
) -> None:
    call(database, 1)
    call(database, 2)
    shared = "INSERT INTO recordings (id, session_id, started_at, object_key, object_version) VALUES (%s, %s, %s, 'conference/1', 'v1')"
    database.write(shared, 10, "s1", days_ago(1))
    database.write(shared, 20, "s2", days_ago(1))
    database.write("UPDATE calls SET denied = true WHERE id = 1")
    database.write("UPDATE calls SET forced = true WHERE id = 2")
    assert of(night(database), "recordings").against_consent == 2
    database.write("UPDATE calls SET accepted = true WHERE id = 2")
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    named = enforcement.objects_named_here(run_id, [ObjectRow("conference/1", "v1")])
    assert (enforcement.claim_content(run_id, "recordings", 100), len(named)) == ((), 1)
    enforcement.close()


def test_what_a_scan_found_is_forgotten_when_the_profile_looks_for_it_no_more__P10_P3(
    tenant_databases: TenantDatabases,
) -> None:
    rules, without = consenting(guard_percent=10), consenting(None, guard_percent=10)
    with tenant_databases.having(rules) as living:
        for number in range(1, 15):
            call(living, number)
            record(living, number)
            living.write("UPDATE calls SET denied = true WHERE id = %s", number)
        assert of(night(living, rules), "recordings").against_consent == 14
        living.apply(without)
        assert living.value("SELECT count(*) FROM retention.finding") == 0
        assert (night(living, without).outcome, count(living, "recordings")) == ("Succeeded", 14)


def test_digits_and_consent_of_one_table_are_forgotten_each_with_its_own_rule__P10_P11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(masked(None)) as living:
        living.write(ENTER, 1, days_ago(1), "4711")
        living.apply(masked())
        assert of(night(living, masked()), "inputs").unmasked == 1
        living.apply(masked())
        assert living.value("SELECT count(*) FROM retention.finding") == 1
        living.apply(masked(None))
        assert living.value("SELECT count(*) FROM retention.finding") == 0


def test_a_consent_rule_that_is_new_over_old_content_asks_before_it_takes_anything_away__P10_X3(
    tenant_databases: TenantDatabases,
) -> None:
    without = consenting(None)
    with tenant_databases.having(without) as living:
        call(living, 1, denied=True)
        record(living, 1)
        living.apply(RULES)
        assert of(night(living), "recordings").against_consent == 1
        for _ in range(2):
            asked = night(living)
            assert (asked.outcome, of(asked, "recordings").cleared) == ("ApprovalRequired", 0)
        (request,) = living.observer().observe().guard_requests
        assert (request.category, request.surplus) == ("recordings", 1)
        with living.as_owner() as owner:
            owner.execute(
                "INSERT INTO retention.approval (rules_digest, max_rows, until, run_name) VALUES (%s, 1, %s, 'yes')",
                (RULES.rules_digest(), datetime.now(UTC) + timedelta(hours=1)),
            )
        assert of(night(living), "recordings").cleared == 1
        # Asked once: what a record denies later goes as everywhere.
        call(living, 2, days_ago(2))
        record(living, 2, born=days_ago(2))
        living.write("UPDATE calls SET denied = true WHERE id = 2")
        night(living)
        assert (of(night(living), "recordings").cleared, count(living, "recordings")) == (1, 0)


def test_many_findings_wait_for_an_approval_and_the_rest_of_the_night_goes_on__P10_X3(
    tenant_databases: TenantDatabases,
) -> None:
    rules = consenting(guard_percent=25)
    with tenant_databases.having(rules) as made:
        for number in range(1, 13):
            line(made, number)
            call(made, number, no_log=True)
        assert night(made, rules).outcome == "Succeeded"
        second = night(made, rules)
        assert (second.outcome, of(second, "lines").cleared, count(made, "lines")) == ("ApprovalRequired", 0, 12)
        (request,) = made.observer().observe().guard_requests
        assert (request.category, request.surplus) == ("lines", 12)
        with made.as_owner() as owner:
            owner.execute(
                "INSERT INTO retention.approval (rules_digest, max_rows, until, run_name) VALUES (%s, 12, %s, 'yes')",
                (rules.rules_digest(), datetime.now(UTC) + timedelta(hours=1)),
            )
        third = night(made, rules)
        assert (third.outcome, of(third, "lines").cleared, count(made, "lines")) == ("Succeeded", 12, 0)
        assert made.value("SELECT retention.room_of_approval(%s)", rules.rules_digest()) == 0


def test_a_run_that_is_killed_between_object_and_row_is_finished_by_the_next__P10_X6(database: TenantDatabase) -> None:
    record(database, 1)
    call(database, 1, denied=True)
    night(database)
    enforcement, run_id = database.enforcer(), uuid4()
    enforcement.begin_run(run_id, Mode.ENFORCE, RULES.rules_digest(), datetime.now(UTC))
    (claim,) = enforcement.claim_content(run_id, "recordings", 10)
    assert claim.key == "s1/0"
    enforcement.close()
    assert count(database, "recordings") == 1
    evidence = night(database)
    assert (of(evidence, "recordings").cleared, count(database, "recordings")) == (1, 0)
    assert database.value("SELECT count(*) FROM retention.claim") == 0


def masked(visible_digits: int | None = 0) -> RetentionDefinition:
    """Menu inputs of calls; ``visible_digits`` None: as a profile without masked columns."""
    column = ColumnDefinition(
        name="digits",
        type="Text",
        role="MaskedDigits" if visible_digits is not None else None,
        visible_digits=visible_digits,
    )
    closed = ColumnDefinition(name="closed_at", type="Timestamp")
    return definition(
        [table("inputs", column, closed, text("prompt"))], [category("inputs", "inputs")], guard_percent=100
    )


ENTER = "INSERT INTO inputs (id, session_id, started_at, digits) VALUES (%s, 's1', %s, %s)"


@pytest.mark.parametrize(
    ("visible", "value", "stored"),
    [
        (0, None, True),
        (0, "", True),
        (0, "****", True),
        (0, "xxxx#", True),
        (0, "4711", False),
        (0, "7", False),
        (0, "***1", False),
        (4, "********1234", True),
        (4, "*******12345", False),
        (4, "1 2 3 4 5", False),
    ],
)
def test_digits_behind_a_mask_are_refused_and_never_repeated__P11(
    tenant_databases: TenantDatabases, visible: int, value: str | None, stored: bool
) -> None:
    with tenant_databases.having(masked(visible)) as made:
        if stored:
            made.write(ENTER, 1, days_ago(1), value)
            assert made.value("SELECT digits FROM public.inputs") == value
            return
        born = days_ago(1)
        with pytest.raises(psycopg.Error) as caught:
            made.write(ENTER, 1, born, value)
        assert (caught.value.sqlstate, caught.value.diag.message_detail) == ("RTG00", "DigitsUnmasked")
        told = [caught.value.diag.message_primary, caught.value.diag.message_hint, caught.value.diag.context]
        # The month's name has digits of its own.
        assert str(value) not in " ".join(str(part) for part in told).replace(f"inputs_p{born:%Y%m}", "")
        assert count(made, "inputs") == 0


def test_a_masked_value_cannot_be_unmasked_by_an_update_nor_in_the_month_itself__P11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(masked()) as made:
        born = days_ago(1)
        made.write(ENTER, 1, born, "****")
        with pytest.raises(psycopg.Error, match="digits that must be masked"):
            made.write("UPDATE inputs SET digits = '4711'")
        month = sql.SQL(
            "INSERT INTO public.{} (id, session_id, started_at, digits) VALUES (2, 's1', %s, '4711')"
        ).format(sql.Identifier(f"inputs_p{born:%Y%m}"))
        with made.as_owner() as owner, pytest.raises(psycopg.Error, match="digits that must be masked"):
            owner.execute(month, [born])


def test_digits_of_before_are_counted_by_one_run_and_blanked_by_the_next__P11_M11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(masked(None)) as living:
        for number, value in enumerate(["4711471147", "0815", "****", None]):
            living.write(ENTER, number, days_ago(20 * number + 1), value)
        assert living.apply(masked()) == ("digits of inputs are refused unmasked",)
        assert living.apply(masked()) == ()
        # What was there before keeps nobody from going on with its row.
        living.write("UPDATE inputs SET closed_at = now(), prompt = 'pin' WHERE id = 0")
        first = night(living, masked())
        assert (of(first, "inputs").unmasked, of(first, "inputs").cleared) == (2, 0)
        assert living.observer().observe().categories[0].unmasked == 2
        # Long enough that no digest or time has it by chance.
        assert "4711471147" not in living.value("SELECT string_agg(body, '') FROM retention.evidence")
        second = night(living, masked())
        assert (of(second, "inputs").unmasked, of(second, "inputs").cleared, second.outcome) == (0, 2, "Succeeded")
        left = living.rows("SELECT id, digits, prompt FROM public.inputs ORDER BY id")
        assert left == [(0, None, "pin"), (1, None, None), (2, "****", None), (3, None, None)]
        assert living.value("SELECT count(*) FROM retention.masked_month") > 0


def test_held_digits_stay_as_they_are_until_the_release__P11_X3(tenant_databases: TenantDatabases) -> None:
    with tenant_databases.having(masked(None)) as living:
        living.write(ENTER, 1, days_ago(1), "4711")
        living.apply(masked())
        night(living, masked())
        hold(living, "s1")
        assert of(night(living, masked()), "inputs").unmasked == 1
        assert living.value("SELECT digits FROM public.inputs") == "4711"


def test_a_row_that_will_not_be_written_keeps_no_other_from_being_blanked__P11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(masked(None)) as living:
        for number in range(3):
            living.write(ENTER, number, days_ago(1), f"{number}4711")
        living.apply(masked())
        with living.as_owner() as owner:
            owner.execute("ALTER TABLE public.inputs ADD CONSTRAINT odd CHECK (id <> 1) NOT VALID")
        night(living, masked())
        second = night(living, masked())
        assert (of(second, "inputs").cleared, of(second, "inputs").failed, of(second, "inputs").unmasked) == (2, 1, 1)
        assert living.rows("SELECT id FROM public.inputs WHERE digits IS NOT NULL") == [(1,)]


def test_a_trigger_that_somebody_took_away_is_put_back_and_its_months_are_read_again__P11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(masked()) as made:
        night(made, masked())
        inserts = (
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'public.inputs'::regclass AND starts_with(tgname::text, %s)"
        )
        name = sql.Identifier(made.value(inserts, "retention_masked_insert"))
        with made.as_owner() as owner:
            owner.execute(sql.SQL("DROP TRIGGER {} ON public.inputs").format(name))
        made.write(ENTER, 1, days_ago(1), "4711")
        assert made.apply(masked()) == ("digits of inputs are refused unmasked",)
        assert of(night(made, masked()), "inputs").unmasked == 1


def test_a_profile_that_asks_for_neither_has_no_such_counts_in_its_evidence__P10_P11(
    tenant_databases: TenantDatabases,
) -> None:
    with tenant_databases.having(records()) as made:
        evidence = night(made, records())
        assert (evidence.categories[0].against_consent, evidence.categories[0].unmasked) == (None, None)
        assert "againstConsent" not in made.value("SELECT body FROM retention.evidence")
