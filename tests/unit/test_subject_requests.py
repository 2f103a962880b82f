"""A DataSubjectRequest's status: open until nothing is left anywhere, late only for what could have gone (T7, M9, X3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenant_retention.api.v1alpha1.datasubjectrequest import DataSubjectRequest
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfileSpec
from tenant_retention.domain.copies import RUN_INTERVAL, life_of_backups
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid, RetentionError, Unavailable
from tenant_retention.domain.ports.requests import RequestLeft, RequestProgress
from tenant_retention.domain.request_deadlines import RequestDeadlines, RequestTerms
from tenant_retention.domain.subject_requests import (
    RequestReport,
    StoreRequest,
    is_done,
    policies_of,
    request_status,
    tellings,
)
from tenant_retention.domain.subject_secrets import REQUEST_ANNOTATION, is_owned, read_secret, request_subject
from tenant_retention.telemetry import Telemetry
from tests.support.api_cases import example_profile

RECEIVED = datetime(2026, 11, 22, 10, tzinfo=UTC)
FOUND = RECEIVED + timedelta(minutes=1)
SECOND = timedelta(seconds=1)
THIRTY_DAYS = RequestTerms(Period.parse("P30D"))
DEADLINE = RECEIVED + timedelta(days=30)
AWAY = Unavailable("db does not answer", reason="ServerUnreachable")
DONE = RequestProgress(found_at=FOUND, categories=())
Status = dict[str, Any]


def request(*policies: str, status: Status | None = None) -> DataSubjectRequest:
    return DataSubjectRequest.from_object(
        {
            "kind": "DataSubjectRequest",
            "metadata": {
                "name": "req-4711",
                "namespace": "customer-acme",
                "uid": "u-1",
                "generation": 1,
                "creationTimestamp": RECEIVED.isoformat(),
            },
            "spec": {
                "policyRefs": [{"name": name} for name in policies],
                "subject": {"secretRef": {"name": "req-4711"}},
                "actions": ["Anonymize"],
            },
            "status": status or {},
        }
    )


def some(
    left: int,
    held: int = 0,
    deferred: int = 0,
    until: datetime | None = None,
    category: str = "calls",
    found_at: datetime = FOUND,
) -> RequestProgress:
    """Rows left of one category."""
    rows = RequestLeft(
        category=category, table=category, act="Clear", left=left, held=held, deferred=deferred, until=until
    )
    return RequestProgress(found_at=found_at, categories=(rows,))


def together(*progress: RequestProgress) -> RequestProgress:
    """One database with the rows of several."""
    return RequestProgress(found_at=FOUND, categories=tuple(each for one in progress for each in one.categories))


def store(
    progress: RequestProgress | None = None, name: str = "d1", problem: RetentionError | None = None
) -> StoreRequest:
    return StoreRequest(name, "acme", "Analytical", progress, problem)


def status_of(
    now: datetime,
    *stores: StoreRequest,
    terms: RequestTerms = THIRTY_DAYS,
    before: Status | None = None,
    problems: tuple[RetentionError, ...] = (),
) -> Status:
    report = RequestReport(("acme",), {"acme": terms}, stores, problems)
    return request_status(request(), report, before or {}, now)


def condition(status: Status, name: str = "Ready") -> tuple[str, str] | None:
    """Status and reason; None: there is no such condition."""
    found = [each for each in status["conditions"] if each["type"] == name]
    return (found[0]["status"], found[0]["reason"]) if found else None


def message(status: Status) -> str:
    return str(status["conditions"][0]["message"])


@pytest.mark.parametrize(
    ("late", "ready"), [(-SECOND, "RequestWaiting"), (timedelta(0), "RequestOverdue"), (SECOND, "RequestOverdue")]
)
def test_a_request_is_overdue_from_its_deadline_on_and_not_a_second_before__T7_X3(late: timedelta, ready: str) -> None:
    status = status_of(DEADLINE + late, store(some(2)))
    assert condition(status) == ("False", ready)
    assert condition(status, "DeadlineNear") == ("True", "RequestDue" if late < timedelta(0) else "RequestOverdue")
    assert status["deadline"] == status["liveDeadline"] == "2026-12-22T10:00:00Z"


@pytest.mark.parametrize(
    ("late", "near"), [(-SECOND, None), (timedelta(0), ("True", "RequestDue")), (SECOND, ("True", "RequestDue"))]
)
def test_it_warns_from_two_thirds_of_its_time_on__T7(late: timedelta, near: tuple[str, str] | None) -> None:
    status = status_of(RECEIVED + timedelta(days=20) + late, store(some(2)))
    assert condition(status, "DeadlineNear") == near
    assert status["warnAt"] == "2026-12-12T10:00:00Z"


def test_the_deadline_goes_by_the_calendar_and_is_the_earliest_of_all_policies__X9() -> None:
    received = datetime(2027, 1, 31, 8, tzinfo=UTC)
    month, long = RequestTerms(Period.parse("P1M")), RequestTerms(Period.parse("P90D"))
    found = RequestDeadlines.of(received, [long, month])
    assert found is not None
    assert (found.copies, found.live) == (datetime(2027, 3, 1, tzinfo=UTC),) * 2
    assert found.warn_at == received + (found.live - received) * 2 / 3
    assert RequestDeadlines.of(received, []) is None
    assert RequestDeadlines.read(found.written() | {"left": 3}) == found
    assert RequestDeadlines.read({"deadline": "2026-12-22T10:00:00Z"}) is None


def test_backups_bring_the_deadline_of_the_databases_forward_and_follow_what_is_done__T6_T7() -> None:
    life = life_of_backups("P14D")
    terms = RequestTerms(Period.parse("P30D"), life)
    live = DEADLINE - life
    assert condition(status_of(live - SECOND, store(some(1)), terms=terms)) == ("False", "RequestWaiting")
    late = status_of(live, store(some(1)), terms=terms)
    assert (condition(late), late["liveDeadline"]) == (("False", "RequestOverdue"), "2026-12-06T10:00:00Z")
    assert late["deadline"] == "2026-12-22T10:00:00Z"
    done = status_of(FOUND, store(DONE), terms=terms)
    assert (done["doneAt"], done["lastCopyGoneAt"]) == ("2026-11-22T10:01:00Z", "2026-12-08T10:01:00Z")
    assert "backups no longer have it from 2026-12-08T10:01:00Z" in message(done)
    endless = RequestDeadlines.of(RECEIVED, [RequestTerms(Period.parse("P30D"), timedelta(days=400))])
    assert endless is not None
    assert endless.live == endless.warn_at == RECEIVED, "never before it was received"


def test_it_is_done_once_no_database_has_anything_left_and_stays_so__T7() -> None:
    waiting = status_of(FOUND, store(DONE), store(some(3), "d2"))
    assert (condition(waiting), waiting["databases"], waiting["left"]) == (("False", "RequestWaiting"), "1/2", 3)
    assert not is_done(waiting)
    done = status_of(FOUND + SECOND, store(DONE), store(DONE, "d2"), before=waiting)
    assert (condition(done), done["databases"], done["left"]) == (("True", "RequestDone"), "2/2", 0)
    assert (done["foundAt"], done["doneAt"]) == ("2026-11-22T10:01:00Z", "2026-11-22T10:01:01Z")
    assert is_done(done)
    later = status_of(DEADLINE + SECOND, store(problem=AWAY), before=done | {"kopf": {"x": 1}})
    assert later == done, "what was done is not undone by a database that goes away later"


def test_a_person_of_whom_nobody_has_anything_is_done_with_at_once__T7() -> None:
    status = status_of(FOUND, store(DONE))
    assert (condition(status), status["left"], status["categories"]) == (("True", "RequestDone"), 0, [])


def test_nothing_is_done_while_a_database_is_not_searched__T7() -> None:
    searching = RequestProgress(found_at=None, categories=())
    status = status_of(FOUND, store(some(3)), store(searching, "d2"), store(None, "d3"))
    assert condition(status) == ("False", "Pending")
    assert "listed in 1 of 3 databases" in message(status)
    assert not {"left", "foundAt", "doneAt"} & status.keys()
    assert condition(status_of(DEADLINE, store(searching), before=status)) == ("False", "RequestOverdue")


def test_a_database_that_is_away_keeps_it_open_and_its_deadline_counts__T7() -> None:
    status = status_of(FOUND, store(DONE), store(problem=AWAY, name="d2"))
    assert condition(status) == ("False", "ServerUnreachable")
    assert message(status) == "not done in Analytical of policy acme: db does not answer"
    assert (status["databases"], "left" in status, "doneAt" in status) == ("1/2", False, False)
    first = status["stores"][0]
    assert (first["dataStore"], first["reason"]) == ("d2", "ServerUnreachable"), "what is wrong comes first"
    late = status_of(DEADLINE, store(DONE), store(problem=AWAY, name="d2"), before=status)
    assert condition(late) == ("False", "RequestOverdue")
    assert "db does not answer" in message(late), "the cause is still told"


def test_what_is_held_is_left_and_never_late__X3() -> None:
    status = status_of(DEADLINE + SECOND, store(some(2, held=2)))
    assert condition(status) == ("False", "RequestWaiting")
    assert condition(status, "DeadlineNear") is None
    assert (status["left"], status["held"], message(status)) == (2, 2, "calls: 2 rows left, 2 under a legal hold")
    assert "dueSince" not in status["categories"][0]


def test_what_is_below_its_minimum_tells_until_when_and_on_which_ground_also_past_the_deadline__M9_X3() -> None:
    terms = RequestTerms(Period.parse("P30D"), grounds={"calls": "Statutory"})
    until = DEADLINE + timedelta(days=100)
    status = status_of(DEADLINE + SECOND, store(some(3, deferred=3, until=until)), terms=terms)
    assert condition(status) == ("False", "RequestWaiting")
    assert condition(status, "DeadlineNear") is None
    assert (status["deferred"], status["deferredUntil"]) == (3, "2027-04-01T10:00:00Z")
    (category,) = status["categories"]
    assert (category["ground"], category["deferredUntil"]) == ("Statutory", "2027-04-01T10:00:00Z")
    assert message(status) == "calls: 3 rows left, 3 below the minimum until 2027-04-01T10:00:00Z (Statutory)"


def test_rows_that_reach_their_minimum_one_by_one_have_a_night_before_they_are_late__M9() -> None:
    terms = RequestTerms(Period.parse("P30D"), grounds={"calls": "Contract"})
    until, now = DEADLINE + timedelta(days=100), DEADLINE + timedelta(days=50)
    deferred = status_of(now, store(some(3, deferred=3, until=until)), terms=terms)
    reached = status_of(now + SECOND, store(some(3, deferred=2, until=until)), terms=terms, before=deferred)
    assert condition(reached) == ("False", "RequestWaiting")
    assert reached["categories"][0]["dueSince"] == "2027-02-10T10:00:01Z"
    held_up = (now + SECOND + RUN_INTERVAL - SECOND, now + SECOND + RUN_INTERVAL)
    told = [
        condition(status_of(at, store(some(3, deferred=2, until=until)), terms=terms, before=reached)) for at in held_up
    ]
    assert told == [("False", "RequestWaiting"), ("False", "RequestOverdue")], "no night did it: since then it is late"
    night = status_of(now + RUN_INTERVAL, store(some(2, deferred=2, until=until)), terms=terms, before=reached)
    assert "dueSince" not in night["categories"][0]
    other = status_of(now, store(together(some(3, deferred=3, until=until), some(1, category="texts"))), terms=terms)
    assert condition(other) == ("False", "RequestOverdue"), "a category without such a minimum has no night more"


def test_a_record_whose_content_is_below_its_minimum_is_not_late__M9() -> None:
    terms = RequestTerms(Period.parse("P30D"), grounds={"recordings": "Contract"}, records={"recordings": "calls"})
    until = DEADLINE + timedelta(days=100)
    waiting = together(some(1), some(1, deferred=1, until=until, category="recordings"))
    status = status_of(DEADLINE + timedelta(days=9), store(waiting), terms=terms)
    assert (condition(status), condition(status, "DeadlineNear")) == (("False", "RequestWaiting"), None)
    assert "calls: 1 rows left, 1 behind their content" in message(status)


def test_counts_of_all_databases_are_summed_by_category__M9() -> None:
    terms = RequestTerms(Period.parse("P30D"), grounds={"calls": "Contract"})
    until = DEADLINE + timedelta(days=1)
    first = StoreRequest("d1", "acme", "Analytical", some(3, held=1, deferred=1, until=until))
    second = StoreRequest("d2", "acme", "Dialogue", some(2, deferred=2))
    status = status_of(FOUND, first, second, terms=terms)
    (category,) = status["categories"]
    assert [category[word] for word in ("left", "held", "deferred")] == [5, 1, 3]
    assert [status[word] for word in ("left", "held", "deferred")] == [5, 1, 3]
    assert [(row["dataStore"], row["left"]) for row in status["stores"]] == [("d1", 3), ("d2", 2)]
    uncounted = status_of(FOUND, first, store(problem=AWAY, name="d2"), terms=terms)
    assert "left" not in uncounted, "what is not known of one database is not told as a sum"


def test_a_missing_secret_or_policy_keeps_it_open_and_late_and_what_must_change_is_told_first__T7() -> None:
    missing = Invalid("there is no TenantRetentionPolicy nobody", reason="PolicyNotFound")
    status = status_of(FOUND, store(problem=AWAY), problems=(missing,))
    assert condition(status) == ("False", "PolicyNotFound")
    assert condition(status_of(FOUND, store(DONE), problems=(missing,))) == ("False", "PolicyNotFound")
    late = status_of(DEADLINE, problems=(missing,), before=status)
    assert condition(late) == ("False", "RequestOverdue")


def test_the_deadline_that_was_told_stays_while_a_profile_cannot_be_asked__T7() -> None:
    told = status_of(FOUND, store(some(1)))
    unknown = RequestReport(("acme",), {}, (store(some(1)),))
    assert request_status(request(), unknown, told, FOUND)["deadline"] == told["deadline"]
    assert "deadline" not in request_status(request(), unknown, {}, FOUND)
    longer = RequestReport(("acme", "globex"), {"globex": RequestTerms(Period.parse("P90D"))}, (store(some(1)),))
    assert request_status(request(), longer, told, FOUND)["deadline"] == told["deadline"]
    shorter = status_of(FOUND, store(some(1)), terms=RequestTerms(Period.parse("P10D")), before=told)
    assert shorter["deadline"] == "2026-12-02T10:00:00Z", "a profile that is known is believed"


def test_it_is_for_the_policies_that_there_were_when_it_started__T7() -> None:
    assert policies_of(request(), ["globex", "acme"])[0] == ("acme", "globex")
    started = request(status={"policies": ["acme"]})
    assert policies_of(started, ["acme", "later"]) == (("acme",), ())
    found, problems = policies_of(started, ["later"])
    assert (found, [problem.reason for problem in problems]) == ((), ["PolicyNotFound"])
    assert "make a DataSubjectRequest without" in problems[0].message
    found, problems = policies_of(request("nobody", "acme"), ["acme", "globex"])
    assert (found, [problem.reason for problem in problems]) == (("acme",), ["PolicyNotFound"])
    assert [problem.reason for problem in policies_of(request(), [])[1]] == ["Pending"]
    gone = RequestReport((), {}, (), problems)
    assert request_status(request(), gone, {"policies": ["acme"]}, FOUND)["policies"] == ["acme"]


def test_the_profile_says_which_minimums_bind_requests_and_what_is_content__M9() -> None:
    profile = example_profile("puzzel-archive")["spec"]
    calls = profile["categories"][0]
    calls |= {"min": "P90D", "earlyDeletion": "Refused", "ground": "Contract"}
    terms = RequestTerms.of(RetentionProfileSpec.from_object(profile), timedelta(days=16))
    assert (terms.period, terms.life, terms.grounds) == (
        Period.parse("P30D"),
        timedelta(days=16),
        {calls["name"]: "Contract"},
    )
    assert terms.records["recordings"] == calls["name"]
    assert terms.waits_for_minimum(calls["name"])
    assert not terms.waits_for_minimum("recordings")


def test_events_tell_each_change_once_and_warn_only_of_what_is_wrong__T7() -> None:
    searching = status_of(FOUND, store(RequestProgress(found_at=None, categories=())))
    assert tellings({}, searching) == [], "an object that was just made is silent"
    waiting = status_of(FOUND, store(some(1)), before=searching)
    away = status_of(FOUND, store(problem=AWAY), before=waiting)
    due = status_of(DEADLINE - SECOND, store(some(1)), before=waiting)
    late = status_of(DEADLINE, store(some(1)), before=due)
    done = status_of(DEADLINE + SECOND, store(DONE), before=late)
    steps = [(searching, waiting), (waiting, away), (waiting, due), (due, late), (late, done), (done, done)]
    told = [[(change.reason, type_) for change, type_ in tellings(before, after)] for before, after in steps]
    assert told == [
        [("RequestWaiting", "Normal")],
        [("ServerUnreachable", "Warning")],
        [("RequestDue", "Warning")],
        [("RequestOverdue", "Warning")],
        [("RequestDone", "Normal")],
        [],
    ]


def secret(**changes: Any) -> dict[str, Any]:
    meta = {"name": "req-4711", "annotations": {REQUEST_ANNOTATION: "req-4711"}} | changes.pop("metadata", {})
    return {"metadata": meta, "type": "Opaque", "immutable": True, "data": {"phones": "KzMxNjEyMzQ1Njc4"}} | changes


def test_a_secret_of_the_requests_own_is_read__T7() -> None:
    assert read_secret(request_subject(request()), secret()) == {"phones": b"+31612345678"}
    assert not is_owned(request_subject(request()), secret())
    owned = secret(metadata={"annotations": None, "ownerReferences": [{"uid": "u-1"}]})
    assert is_owned(request_subject(request()), owned)
    assert read_secret(request_subject(request()), owned) == {"phones": b"+31612345678"}


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (None, "SecretNotFound", "there is no Secret req-4711"),
        (secret(metadata={"deletionTimestamp": "2026-11-22T10:00:00Z"}), "SecretNotFound", "there is no Secret"),
        (secret(immutable=False), "SecretNotUsable", "can change"),
        (secret(type="kubernetes.io/tls"), "SecretNotUsable", "is not of type Opaque"),
        (secret(metadata={"annotations": {}}), "SecretNotUsable", "is not given to this request"),
        (secret(metadata={"annotations": {REQUEST_ANNOTATION: "other"}}), "SecretNotUsable", "is not given to this"),
        (secret(metadata={"ownerReferences": [{"uid": "u-2"}]}), "SecretNotUsable", "is somebody else's"),
        (
            secret(metadata={"ownerReferences": [{"uid": "u-1"}, {"uid": "u-2"}]}),
            "SecretNotUsable",
            "is somebody else's",
        ),
        (
            secret(metadata={"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
            "SecretNotUsable",
            "is somebody else's",
        ),
    ],
)
def test_a_secret_that_can_change_or_is_somebody_elses_is_refused_without_its_content__T7_X2(
    found: dict[str, Any] | None, reason: str, words: str
) -> None:
    with pytest.raises(RetentionError) as refused:
        read_secret(request_subject(request()), found)
    assert (refused.value.reason, refused.value.field) == (reason, "spec.subject.secretRef.name")
    assert words in refused.value.message
    shown = json.dumps(status_of(FOUND, problems=(refused.value,)))
    assert "316" not in shown
    assert "KzMx" not in shown


def test_metrics_tell_how_many_are_open_and_late_by_namespace_and_none_by_name__T7_X4() -> None:
    telemetry = Telemetry()

    def shown() -> dict[str, float]:
        """What is scraped of requests."""
        lines = telemetry.render(0).decode().splitlines()
        of_requests = (line.rpartition(" ") for line in lines if "request" in line and not line.startswith("#"))
        return {name.removeprefix("tenant_retention_"): float(value) for name, _, value in of_requests}

    telemetry.request("acme", "req-1", status_of(FOUND, store(some(2))))
    telemetry.request("acme", "req-2", status_of(DEADLINE, store(some(2))))
    labels = '{namespace="acme"}'
    assert shown() == {
        f"open_requests{labels}": 2,
        f"overdue_requests{labels}": 1,
        f"next_request_deadline_timestamp_seconds{labels}": DEADLINE.timestamp(),
    }
    telemetry.request("acme", "req-2", {})
    assert shown()[f"overdue_requests{labels}"] == 0
    telemetry.request("acme", "req-1", status_of(FOUND, store(DONE)))
    assert shown() == {}
