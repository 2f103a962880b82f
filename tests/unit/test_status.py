"""The status as a pure function: transition times, patches, Events, and what is never pretended (EXPECTATIONS.md, X4, X6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tenant_retention.api.v1alpha1.conditions import ConditionType, Reason
from tenant_retention.api.v1alpha1.reason_groups import REASON_GROUPS
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.category_status import Counts, counts_of
from tenant_retention.domain.conditions import Finding, patience_ended, render, transitions
from tenant_retention.domain.definition import CategoryState, ClockEvent
from tenant_retention.domain.encryption import EncryptionState
from tenant_retention.domain.errors import Invalid, NotReady, Unavailable
from tenant_retention.domain.left_behind import LeftStore
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.policy_report import (
    BindingReport,
    PolicyReport,
    StoreReport,
)
from tenant_retention.domain.ports.evidence import CategoryEvidence, RunEvidence
from tenant_retention.domain.ports.observation import CategoryObservation, DatabaseFacts, GuardRequest, LeftTable
from tenant_retention.domain.readiness import HealthState
from tenant_retention.domain.rules import Subject, define
from tenant_retention.domain.run_status import RunReport
from tenant_retention.domain.status import (
    policy_status,
    status_patch,
)
from tenant_retention.telemetry import Telemetry

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TABLE: dict[str, Any] = {
    "primaryKey": ["id"],
    "bornAt": "started_at",
    "columns": [{"name": "id", "type": "Uuid", "nullable": False}],
}
PROFILE = RetentionProfileSpec.from_object(
    {
        "categories": [
            {"name": "calls", "default": "P6M", "max": "P1Y", "clock": {"event": "Created"}, "tables": ["calls"]},
            {
                "name": "recordings",
                "contentOf": "calls",
                "default": "P14D",
                "max": "P14D",
                "clock": {"event": "Created"},
                "tables": ["recordings"],
                "objects": {"table": "recordings", "keyColumn": "k", "versionColumn": "v"},
            },
        ],
        "tables": [{"name": "calls", **TABLE}, {"name": "recordings", **TABLE}],
    }
)
POLICY = TenantRetentionPolicySpec.from_object({"profileRef": {"name": "small"}})
DEFINITION = define(PROFILE, POLICY, Subject("i", "customer-acme", "acme", "uid", 3, 1))


def seen(category: str, **counts: Any) -> CategoryObservation:
    base: dict[str, Any] = {
        "rows": 4, "oldest": NOW - timedelta(days=3), "due": 1, "overdue": 0, "held": 0, "anomalies": 0,
        "anomalies_since": None, "next_deadline": NOW + timedelta(days=9),
    }  # fmt: skip
    return CategoryObservation(category=category, **{**base, **counts})


def facts(*categories: CategoryObservation, guard: tuple[GuardRequest, ...] = ()) -> DatabaseFacts:
    return DatabaseFacts(
        rules_digest=DEFINITION.rules_digest(), now=NOW, categories=categories or (seen("calls"), seen("recordings")),
        guard_requests=guard, latest_run=None, latest_success=None, chain_intact=True,
    )  # fmt: skip


def evidence(outcome: str = "Succeeded", **changes: Any) -> RunEvidence:
    counts = {"candidates": 5, "acted": 5, "held": 0, "skipped": 0, "failed": 0, "surplus": 0, "oldest_left": None}
    found = RunEvidence(
        sequence=1, run_id=UUID(int=7), mode=Mode.ENFORCE, outcome=outcome, started_at=NOW,
        finished_at=NOW + timedelta(seconds=2), policy_generation=3, rules_digest=DEFINITION.rules_digest(),
        categories=tuple(CategoryEvidence(category=name, residue=0, **counts) for name in ("recordings", "calls")),
        previous_digest="", digest="0" * 64,
    )  # fmt: skip
    return found.model_copy(update=changes)


def left_table(table: str, category: str, **more: Any) -> LeftTable:
    base: dict[str, Any] = {"rows": 9, "oldest": NOW - timedelta(days=400), "overdue": 0}
    return LeftTable(table=table, category=category, **{**base, **more})


def report(**changes: Any) -> PolicyReport:
    fine = PolicyReport(
        generation=3,
        mode="Enforce",
        suspended=False,
        definition=DEFINITION,
        profile=PROFILE,
        stores=(StoreReport("Analytical", "PostgreSQL"), StoreReport("Content", "S3")),
        counts=counts_of({"Analytical": facts()}, DEFINITION),
        runs=RunReport(latest={"Analytical": evidence()}),
        enforced=True,
        cron="24 1 * * *",
        time_zone="Europe/Amsterdam",
        next_run=datetime(2026, 11, 23, 0, 24, tzinfo=UTC),
        isolation=(),
        encryption=EncryptionState(),
        health=HealthState(),
        bindings=(BindingReport("acme-analytical-app", "Analytical", "App"),),
    )
    return replace(fine, **changes)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {found["type"]: (found["status"], found["reason"]) for found in status["conditions"]}


def counted(found: DatabaseFacts) -> Counts:
    return counts_of({"Analytical": found}, DEFINITION)


def message(status: dict[str, Any], type_: str) -> str:
    (found,) = [found["message"] for found in status["conditions"] if found["type"] == type_]
    return str(found)


def category_row(status: dict[str, Any], name: str) -> dict[str, Any]:
    (row,) = [row for row in status["categories"] if row["name"] == name]
    return dict(row)


def told_with(*categories: CategoryObservation) -> dict[str, Any]:
    """The status when the database counted this; of the recordings as always where nothing else is said."""
    both = categories if len(categories) > 1 else (*categories, seen("recordings"))
    return policy_status(report(counts=counts_of({"Analytical": facts(*both)}, DEFINITION)), {}, NOW)


def test_when_all_is_well_every_condition_says_so_about_this_generation() -> None:
    status = policy_status(report(), {}, NOW)
    assert conditions(status) == {
        "Ready": ("True", "Enforcing"),
        "Reconciling": ("False", "Available"),
        "Stalled": ("False", "Available"),
        "DatabasesReady": ("True", "Available"),
        "BucketsReady": ("True", "Available"),
        "SchedulesReady": ("True", "Scheduled"),
        "IsolationVerified": ("True", "Verified"),
        "EncryptionVerified": ("True", "Verified"),
        "StoresHealthy": ("True", "WithinLimits"),
        "Compliant": ("True", "Compliant"),
        "DebtForeseen": ("False", "NotForeseen"),
        "ApprovalRequired": ("False", "NotRequired"),
    }
    assert {found["observedGeneration"] for found in status["conditions"]} == {status["observedGeneration"]} == {3}
    assert (status["databases"], status["buckets"], status["nextRun"]) == ("1/1", "1/1", "2026-11-23T00:24Z")
    assert status["binding"] == {"name": "acme-analytical-app"}


def test_an_unchanged_world_is_not_patched_however_much_time_passes() -> None:
    first = policy_status(report(), {}, NOW)
    later = policy_status(report(), first, NOW + timedelta(days=1))
    assert status_patch(first, later) is None


def test_a_transition_time_moves_with_the_status_and_not_with_the_reason() -> None:
    def ready(holds: bool, reason: Reason, previous: list[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
        return render([Finding(ConditionType.READY, holds, reason)], previous, 1, at)

    first = ready(False, Reason.PROVISIONING, [], NOW)
    second = ready(False, Reason.SERVER_UNREACHABLE, first, NOW + timedelta(hours=1))
    third = ready(True, Reason.ENFORCING, second, NOW + timedelta(hours=2))
    assert second[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    assert third[0]["lastTransitionTime"] == "2026-11-22T14:00:00Z"
    assert [change.reason for change in transitions(first, second)] == ["ServerUnreachable"]
    assert transitions(third, third) == ()


def test_what_is_no_longer_said_is_taken_out_of_the_status_also_inside_objects() -> None:
    before = {"approval": {"rows": 1}, "enforced": {"a": 1, "b": 2}, "kopf": {"x": 1}, "same": 1}
    patch = status_patch(before, {"enforced": {"a": 1}, "same": 1})
    assert patch == {"approval": None, "enforced": {"a": 1, "b": None}}


@pytest.mark.parametrize(
    "problem, reconciling, stalled",
    [
        (Invalid("spec.x: wrong", reason="KeepOutOfBounds"), "False", "True"),
        (NotReady("coming up", reason="WaitingForProfile"), "True", "False"),
        (Unavailable("no answer", reason="ServerUnreachable"), "True", "False"),
    ],
)
def test_waiting_reconciles_and_mistakes_stall(problem: Exception, reconciling: str, stalled: str) -> None:
    found = conditions(policy_status(report(problem=problem), {}, NOW))
    assert (found["Reconciling"][0], found["Stalled"][0]) == (reconciling, stalled)
    assert found["Ready"][0] == "False"


def test_a_store_whose_class_is_wrong_stalls_the_policy_and_names_the_store() -> None:
    broken = StoreReport("Analytical", "PostgreSQL", problem=Invalid("no such Secret", reason="SecretNotFound"))
    status = policy_status(report(stores=(broken,)), {}, NOW)
    found = conditions(status)
    assert (found["Stalled"], found["DatabasesReady"]) == (("True", "SecretNotFound"), ("False", "SecretNotFound"))
    assert found["Reconciling"][0] == "False"
    assert status["databases"] == "0/1"


def test_a_keep_that_was_shortened_says_so_in_its_category__X1() -> None:
    rows = {row["name"]: row for row in policy_status(report(), {}, NOW)["categories"]}
    assert rows["recordings"]["effectiveKeep"] != rows["recordings"]["keep"] == "P14D"
    assert "shortened" in rows["recordings"]["message"]
    assert "message" not in rows["calls"]


def test_rows_are_rows_and_content_is_objects() -> None:
    rows = {row["name"]: row for row in policy_status(report(), {}, NOW)["categories"]}
    assert (rows["calls"]["rows"], "objects" in rows["calls"]) == (4, False)
    assert (rows["recordings"]["objects"], "rows" in rows["recordings"]) == (4, False)


def test_rows_in_files_of_the_archive_are_told_beside_all_rows_and_as_a_metric__D3_T5() -> None:
    counts = counts_of({"Analytical": facts(seen("calls", archived=3), seen("recordings"))}, DEFINITION)
    status = policy_status(report(counts=counts), {}, NOW)
    rows = {row["name"]: row for row in status["categories"]}
    assert (rows["calls"]["rows"], rows["calls"]["archived"], "archived" in rows["recordings"]) == (4, 3, False)
    telemetry = Telemetry()
    telemetry.policy("n", "p", status, None)
    series = 'tenant_retention_archived_items{category="calls",namespace="n",policy="p"}'
    assert f"{series} 3.0" in telemetry.render(0).decode()
    none_left = policy_status(report(), {}, NOW)
    telemetry.policy("n", "p", none_left, None)
    assert series not in telemetry.render(0).decode(), "the last file went"
    telemetry.policy("n", "p", status, None)
    telemetry.forget_policy("n", "p")
    assert series not in telemetry.render(0).decode()


def test_debt_is_said_before_anything_else_and_also_when_suspended__X4() -> None:
    counts = counts_of({"Analytical": facts(seen("calls", overdue=2), seen("recordings", overdue=1))}, DEFINITION)
    status = policy_status(report(counts=counts, suspended=True), {}, NOW)
    assert status["overdue"] == 3
    assert conditions(status)["Compliant"] == ("False", "DeletionDebt")
    assert conditions(status)["Ready"] == ("True", "Suspended")
    assert "nextRun" not in status


def test_anomalies_older_than_max_are_alarmed__X8() -> None:
    for days, expected in ((366, "AnomaliesTooOld"), (300, "Compliant")):
        odd = seen("calls", anomalies=1, anomalies_since=NOW - timedelta(days=days))
        status = told_with(odd)
        assert conditions(status)["Compliant"][1] == expected
        # Told from the first one on, with table, clock column and next step; the alarm says the same.
        advice = "ahead in calls.started_at are never deleted by age: correct them (insert them anew with the right time), or"
        row = category_row(status, "calls")
        assert (row["anomalies"], row["anomaliesSince"]) == (1, f"{NOW - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}")
        assert f"{advice} delete them by hand as <database>_owner" in row["message"]
        assert "min" not in row["message"]
        if expected == "AnomaliesTooOld":
            assert message(status, "Compliant").startswith("calls, longer than max: ")
            assert f"{advice} delete them by hand as <database>_owner" in message(status, "Compliant")


def test_without_an_anomaly_no_day_and_no_advice_is_said__X8() -> None:
    row = category_row(told_with(seen("calls")), "calls")
    assert (row["anomalies"], "anomaliesSince" in row, "message" in row) == (0, False, False)


def test_odd_times_are_told_beside_a_shortened_keep_and_where_a_minimum_stands_in_the_way__X8_M8() -> None:
    odd = {"anomalies": 2, "anomalies_since": NOW - timedelta(days=1)}
    shortened = category_row(told_with(seen("calls"), seen("recordings", **odd)), "recordings")["message"]
    assert shortened.startswith("keep P14D is shortened to ")
    assert "; rows with a time over a day ahead in recordings.started_at are never deleted by age" in shortened
    categories = tuple(
        found.model_copy(update={"minimum": "P1M"}) if found.name == "calls" else found
        for found in DEFINITION.categories
    )
    bound = DEFINITION.model_copy(update={"categories": categories})
    counts = counts_of({"Analytical": facts(seen("calls", **odd), seen("recordings"))}, bound)
    row = category_row(policy_status(report(counts=counts, definition=bound), {}, NOW), "calls")
    assert row["message"].endswith(
        "; until min P1M after such a time the database refuses to delete its row: correct what writes it"
    )


def test_odd_times_of_a_clock_that_starts_later_name_its_column__X8() -> None:
    closed = DEFINITION.category("calls").model_copy(
        update={"clock_event": ClockEvent.CLOSED, "clock_column": "closed_at"}
    )
    definition = DEFINITION.model_copy(update={"categories": (closed, DEFINITION.category("recordings"))})
    odd = seen("calls", anomalies=1, anomalies_since=NOW)
    counts = counts_of({"Analytical": facts(odd, seen("recordings"))}, definition)
    row = category_row(policy_status(report(counts=counts, definition=definition), {}, NOW), "calls")
    assert "ahead in calls.closed_at are" in row["message"]


LONG_AGO = NOW - timedelta(days=366)
WITHOUT_CLOCK = DEFINITION.model_copy(
    update={
        "categories": tuple(
            found.model_copy(update={"state": CategoryState.NOT_ENFORCED}) for found in DEFINITION.categories
        )
    }
)
NOT_COMPLIANT: dict[str, tuple[Reason, dict[str, Any], str]] = {
    "debt": (Reason.DELETION_DEBT, {"counts": counted(facts(seen("calls", overdue=2)))}, "resume what is suspended"),
    "a broken chain": (
        Reason.EVIDENCE_BROKEN,
        {"counts": counted(facts().model_copy(update={"chain_intact": False}))},
        "keep a copy of retention.evidence and find out",
    ),
    "odd times": (
        Reason.ANOMALIES_TOO_OLD,
        {"counts": counted(facts(seen("calls", anomalies=1, anomalies_since=LONG_AGO)))},
        "delete them by hand",
    ),
    "content without consent": (
        Reason.CONTENT_AGAINST_CONSENT,
        {"counts": counted(facts(seen("calls"), seen("recordings", against_consent=2)))},
        "the next run takes it away",
    ),
    "media without approval": (
        Reason.MEDIA_UNAPPROVED,
        {"counts": counted(facts(seen("calls", unapproved=2)))},
        "the next run takes it away",
    ),
    "a missed run": (
        Reason.RUN_MISSED,
        {"runs": RunReport(missed=True)},
        "see status.stores, and kubectl describe cronjob",
    ),
    "a pod that does not come": (
        Reason.POD_PENDING,
        {"runs": RunReport(waits="Job acme-expire-1: no pod; see kubectl -n customer-acme describe job acme-expire-1")},
        "see kubectl -n customer-acme describe job",
    ),
    "a failed run": (
        Reason.RUN_FAILED,
        {"runs": RunReport(latest={"Analytical": evidence("Failed")})},
        "the last run failed; see status.jobs, then kubectl logs",
    ),
    "a Job that said much and failed": (
        Reason.RUN_FAILED,
        {"runs": RunReport(failure="BindingInvalid: " + "x" * 1024)},
        "x; see status.jobs, then kubectl logs -l tenantretention.io/task=expire --tail=-1",
    ),
    "a clock that is not acted on": (
        Reason.CATEGORIES_NOT_ENFORCED,
        {"definition": WITHOUT_CLOCK},
        "recordings, calls, and no run deletes from them: delete by hand",
    ),
    "a table that left the profile": (
        Reason.CATEGORIES_NOT_ENFORCED,
        {"counts": counted(facts().model_copy(update={"left": (left_table("old_calls", "calls"),)}))},
        "put them back into the profile",
    ),
    "a database that the profile left": (
        Reason.CATEGORIES_NOT_ENFORCED,
        {"left_stores": (LeftStore("acme-dialogue-0", "Dialogue", 0),)},
        "put its categories back into the profile; kubectl get datastore acme-dialogue-0",
    ),
}
NO_REASON_OF_COMPLIANT = {
    Reason.GUARD_STOPPED,
    Reason.RUN_SUCCEEDED,
    Reason.RUN_REPEATED,
    Reason.ORPHANS_FOUND,
    Reason.EXTENDED_STORAGE_ENDS,
    Reason.NOT_IN_PROFILE,
    Reason.DEBT_FORESEEN,
    # Of a request, which is judged by itself.
    Reason.REQUEST_DUE,
    Reason.REQUEST_OVERDUE,
}


@pytest.mark.parametrize("reason, changes, step", NOT_COMPLIANT.values(), ids=NOT_COMPLIANT)
def test_whoever_is_not_compliant_is_told_the_next_step(reason: Reason, changes: dict[str, Any], step: str) -> None:
    status = policy_status(report(**changes), {}, NOW)
    assert conditions(status)["Compliant"] == ("False", reason.value)
    assert step in message(status, "Compliant")


def test_no_reason_not_to_be_compliant_is_left_out_of_these_tests() -> None:
    known = set(REASON_GROUPS["Retention"]) - NO_REASON_OF_COMPLIANT
    assert {reason for reason, _, _ in NOT_COMPLIANT.values()} == known


def test_the_guards_question_is_the_status_that_an_approval_copies() -> None:
    asked = GuardRequest(category="calls", rules_digest=DEFINITION.rules_digest(), surplus=70, total=100)
    counts = counts_of({"Analytical": facts(guard=(asked,))}, DEFINITION)
    status = policy_status(report(counts=counts), {}, NOW)
    assert status["approval"] == {"rulesDigest": DEFINITION.rules_digest(), "rows": 70, "categories": ["calls"]}
    assert conditions(status)["ApprovalRequired"] == ("True", "GuardStopped")
    assert {row["name"]: row["state"] for row in status["categories"]} == {
        "calls": "ApprovalRequired",
        "recordings": "Enforced",
    }


def test_a_question_about_rules_that_are_gone_is_not_asked_any_more() -> None:
    asked = GuardRequest(category="calls", rules_digest="sha256:" + "1" * 64, surplus=70, total=100)
    counts = counts_of({"Analytical": facts(guard=(asked,))}, DEFINITION)
    assert "approval" not in policy_status(report(counts=counts), {}, NOW)


def test_a_dry_run_tells_what_a_real_one_would_delete__X7() -> None:
    dry = evidence().model_copy(update={"mode": Mode.DRY_RUN})
    dry = dry.model_copy(
        update={"categories": tuple(found.model_copy(update={"acted": 0}) for found in dry.categories)}
    )
    (row,) = policy_status(report(runs=RunReport(latest={"Analytical": dry})), {}, NOW)["jobs"]
    assert (row["deletedRows"], row["deletedObjects"]) == (5, 5)
    assert {category["acted"] for category in row["categories"]} == {5}


def test_the_last_run_is_summed_over_its_databases_and_its_worst_outcome_is_told__X6() -> None:
    runs = {"Analytical": evidence(), "Dialogue": evidence("Failed", finished_at=NOW + timedelta(seconds=9))}
    (row,) = policy_status(report(runs=RunReport(latest=runs)), {}, NOW)["jobs"]
    assert (row["outcome"], row["deletedRows"], row["deletedObjects"], row["durationSeconds"]) == (
        "Failed",
        10,
        10,
        9.0,
    )


def test_a_job_that_failed_without_evidence_is_told_and_is_not_compliant() -> None:
    runs = RunReport(latest={"Analytical": evidence()}, failure="Job acme-expire-1: BindingInvalid", failed_at=NOW)
    status = policy_status(report(runs=runs), {}, NOW)
    assert status["jobs"][0]["outcome"] == "Failed"
    assert "BindingInvalid" in status["jobs"][0]["message"]
    assert conditions(status)["Compliant"] == ("False", "RunFailed")


def test_every_category_says_when_its_last_run_ended_also_after_a_job_without_evidence__X6() -> None:
    def times(runs: RunReport, previous: dict[str, Any]) -> dict[str, str | None]:
        rows = policy_status(report(runs=runs), previous, NOW)["categories"]
        return {row["name"]: row.get("lastRunTime") for row in rows}

    assert times(RunReport(), {}) == {"calls": None, "recordings": None}
    first = policy_status(report(), {}, NOW)
    both = {"calls": "2026-11-22T12:00:02Z", "recordings": "2026-11-22T12:00:02Z"}
    assert times(RunReport(latest={"Analytical": evidence()}), {}) == both
    # No evidence at hand: the Job failed before it began, or the database is away.
    assert times(RunReport(failure="Job acme-expire-2: BindingInvalid", failed_at=NOW), first) == both
    later = {"started_at": NOW + timedelta(days=1), "finished_at": NOW + timedelta(days=1, seconds=5)}
    cut = evidence("Interrupted", **later)
    assert times(RunReport(latest={"Analytical": cut}), first) == both
    of_calls = tuple(found for found in cut.categories if found.category == "calls")
    half = evidence("Failed", **later, categories=of_calls)
    assert times(RunReport(latest={"Analytical": half}), first) == {**both, "calls": "2026-11-23T12:00:05Z"}
    # Two databases know the category: the later end counts.
    two = {"Analytical": half, "Dialogue": evidence()}
    assert times(RunReport(latest=two), {}) == {**both, "calls": "2026-11-23T12:00:05Z"}


def test_a_run_at_work_is_shown_as_running() -> None:
    runs = RunReport(latest={"Analytical": evidence()}, active_since=NOW)
    (row,) = policy_status(report(runs=runs), {}, NOW)["jobs"]
    assert (row["outcome"], row["started"]) == ("Running", "2026-11-22T12:00:00Z")


def test_patience_is_five_minutes_from_the_first_look_and_never_starts_again() -> None:
    def waiting(at: datetime) -> list[dict[str, Any]]:
        return render([Finding(ConditionType.RECONCILING, True, Reason.WAITING_FOR_PROFILE)], [], 1, at)

    turns = (Reason.WAITING_FOR_PROFILE, Reason.PROFILE_NOT_FOUND)
    assert not patience_ended([], *turns, NOW)
    assert not patience_ended(waiting(NOW), *turns, NOW + timedelta(minutes=4, seconds=59))
    assert patience_ended(waiting(NOW), *turns, NOW + timedelta(minutes=5))
    stalled = render([Finding(ConditionType.STALLED, True, Reason.PROFILE_NOT_FOUND)], [], 1, NOW)
    assert patience_ended(stalled, *turns, NOW)


def test_what_left_the_profile_with_rows_is_shown_counted_and_never_compliant__M10_X4() -> None:
    left = (left_table("faxes", "faxes", overdue=2), left_table("old_calls", "calls"))
    found = facts().model_copy(update={"left": left})
    status = policy_status(report(counts=counts_of({"Analytical": found}, DEFINITION)), {}, NOW)
    assert conditions(status)["Compliant"] == ("False", "DeletionDebt")
    assert status["overdue"] == 2
    rows = {row["name"]: row for row in status["categories"]}
    assert list(rows)[-1] == "faxes"
    assert (rows["faxes"]["state"], rows["faxes"]["rows"], rows["faxes"]["overdue"]) == ("NotEnforced", 9, 2)
    # A table that left its category: what is still enforced and what is not are one sum.
    assert (rows["calls"]["state"], rows["calls"]["rows"]) == ("NotEnforced", 13)
    assert rows["calls"]["oldest"] == "2025-10-18T12:00:00Z"
    assert "put it back into the profile" in rows["calls"]["message"]
    calm = found.model_copy(update={"left": left[1:]})
    status = policy_status(report(counts=counts_of({"Analytical": calm}, DEFINITION)), {}, NOW)
    assert conditions(status)["Compliant"] == ("False", "CategoriesNotEnforced")


def test_a_category_that_left_one_database_for_another_is_counted_in_both__M11() -> None:
    old = facts().model_copy(update={"categories": (), "left": (left_table("calls", "calls"),)})
    status = policy_status(report(counts=counts_of({"Analytical": old, "Dialogue": facts()}, DEFINITION)), {}, NOW)
    (calls,) = [row for row in status["categories"] if row["name"] == "calls"]
    assert (calls["state"], calls["rows"]) == ("NotEnforced", 13)


def test_a_profile_that_lost_all_its_categories_at_once_is_still_counted_up_to_what_the_status_takes() -> None:
    left = tuple(left_table(f"t{n}", f"c{n}", overdue=1) for n in range(70))
    found = facts().model_copy(update={"left": left})
    status = policy_status(report(counts=counts_of({"Analytical": found}, DEFINITION)), {}, NOW)
    assert (len(status["categories"]), status["overdue"]) == (64, 70)
