"""Requests in the databases: placed, looked at, taken back; in the fake as on real servers; and the pod that carries one out (T7, X2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import sql

from tenant_retention.adapters.fakes.stores import FakeTenantStores
from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import SubjectSource, Task
from tenant_retention.domain.ports.places import DatabasePlace
from tenant_retention.domain.ports.requests import PlacedRequest, RequestAction, RequestProgress, SoughtSubject
from tenant_retention.domain.ports.stores import DatabaseLogin, DatabaseServer
from tenant_retention.domain.subjects import Spelling, Subject, parse_subject
from tenant_retention.enforcement.program import main
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.servers.postgres import connect_as
from tests.stores.test_legal_holds import Bench, bench, server_of
from tests.stores.test_requests_contract import ALL, with_people

ANNA = Subject((Spelling("PhoneNumber", "+4712345678"),))
BERT = Subject((Spelling("PhoneNumber", "+4787654321"),))
RECEIVED = days_ago(1)


def asked(request: UUID, *actions: RequestAction, who: Subject = ANNA, name: str = "req-1") -> PlacedRequest:
    sought = SoughtSubject(request, who)
    return PlacedRequest.about(sought, name, actions or (RequestAction.ERASE,), RECEIVED, uuid4().bytes)


@dataclass(frozen=True)
class Kept(Bench):
    """Both databases of a policy; ``found``: what a Job does when it has listed everything."""

    found: Callable[[UUID], None]


@pytest.fixture(params=["fake", "postgres15", "postgres18"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """In memory and on real servers."""
    if request.param == "fake":
        stores = FakeTenantStores()
        made = bench(stores, DatabaseServer("pg", 5432, "administrator", "secret"))

        def found(which: UUID) -> None:
            kept = stores.requests[(made.place().database, which)]
            kept.progress = RequestProgress(found_at=stores.now, categories=())
    else:
        process = request.getfixturevalue(f"{request.param}_process")
        made = bench(RealTenantStores(tmp_path), server_of(process))

        def found(which: UUID) -> None:
            database = made.place().database
            with connect_as(replace(process.administrator, database=database)) as owner:
                owner.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(DatabaseRoles.of(database).owner)))
                owner.execute("UPDATE retention.request SET found_at = now() WHERE request_id = %s", (which,))

    return Kept(made.stores, made.requests, found)


def pending(kept: Kept) -> tuple[UUID, ...]:
    """What the operator's observer is told of."""
    request = next(each for each in kept.requests.values() if each.name == kept.place().database)
    user, server = f"{request.name}_observer_1", request.server
    login = DatabaseLogin(server.host, server.port, request.name, user, request.passwords["observer"], server.ca)
    return kept.stores.observe_database(login).pending_requests


def test_a_request_is_unknown_then_sought_then_forgotten_if_it_is_taken_back__T7(kept: Kept) -> None:
    stores, place, request = kept.stores, kept.place(), uuid4()
    assert stores.request_progress(place, request) is None
    for _ in range(2):
        stores.place_request(place, asked(request))
    stores.place_request(place, asked(uuid4(), name="Shell"))
    assert stores.request_progress(place, request) == RequestProgress(found_at=None, categories=())
    assert pending(kept) == (request,), "what a shell asks for is its own"
    for _ in range(2):
        stores.withdraw_request(place, request)
    assert stores.request_progress(place, request) is None
    assert pending(kept) == ()


def test_what_is_found_is_neither_changed_nor_taken_back__T7(kept: Kept) -> None:
    stores, place, request = kept.stores, kept.place(), uuid4()
    stores.place_request(place, asked(request, RequestAction.ANONYMIZE))
    stores.place_request(place, asked(request, RequestAction.ERASE))
    kept.found(request)
    stores.place_request(place, asked(request, RequestAction.ERASE, who=BERT))
    stores.withdraw_request(place, request)
    progress = stores.request_progress(place, request)
    assert progress is not None
    assert progress.done
    assert pending(kept) == ()
    with pytest.raises(Invalid) as refused:
        stores.place_request(place, asked(request, RequestAction.ANONYMIZE))
    assert refused.value.reason == "SpecInvalid"


def test_the_store_of_another_namespace_is_told_nothing__X2(kept: Kept) -> None:
    foreign, request = replace(kept.place(), namespace_uid="uid of another life"), uuid4()
    acts: tuple[Callable[[], object], ...] = (
        lambda: kept.stores.place_request(foreign, asked(request)),
        lambda: kept.stores.request_progress(foreign, request),
        lambda: kept.stores.withdraw_request(foreign, request),
    )
    for act in acts:
        with pytest.raises(Invalid) as refused:
            act()
        assert refused.value.reason == "StoreConflict"


class Pod:
    """The program of a request's Job: its plan, and the directory where its Secret is mounted."""

    def __init__(self, acme: LiveArchive, directory: Path) -> None:
        access, self.acme, self.secret = acme.server, acme, directory / "subject"
        server = DatabaseServer(access.host, access.port, access.user, access.password, access.ca_file.read_text())
        # Outside a cluster the policy's UID stands for the namespace's.
        self.place = DatabasePlace(server, acme.identity, acme.definition.policy_uid)
        self.stores = RealTenantStores(directory)
        self.request = uuid4()
        self.secret.mkdir()

    def told(self, phones: str, region: str = "NL") -> None:
        """What the operator tells the database of."""
        subject = parse_subject({"phones": phones.encode()}, region)
        self.stores.place_request(self.place, asked(self.request, who=subject))

    def run(self, phones: str, region: str = "NL") -> int:
        """The program's exit code."""
        (self.secret / "phones").write_text(phones)
        source = SubjectSource(request=self.request, subject=str(self.secret), region=region)
        plan = self.acme.plan().model_copy(update={"task": Task.REQUESTS, "subjects": (source,)})
        self.acme.plan_file.write_text(plan.model_dump_json(by_alias=True))
        return main(["--plan", str(self.acme.plan_file), "--termination-log", str(self.secret.parent / "none")])

    def progress(self) -> Any:
        """What the database says."""
        return self.stores.request_progress(self.place, self.request)


@pytest.fixture
def pod(acme: LiveArchive, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    """Two people called; one of them asks."""
    acme.define(with_people(acme.definition.installation))
    acme.call("1", days_ago(2), *ALL)
    acme.call("2", days_ago(2), *ALL)
    with acme.owner() as owner:
        owner.execute("UPDATE public.requests SET caller = '+31 6 1234-5678' WHERE id = '1'")
    return Pod(acme, tmp_path_factory.mktemp("pod"))


def test_the_pod_finds_and_does_what_the_operator_asked_the_database_for__T7_P14(
    pod: Pod, capfd: pytest.CaptureFixture[str]
) -> None:
    pod.told("06 12345678\n")
    assert pod.run("06 12345678\n") == 0
    assert pod.progress().done
    assert (pod.acme.left(), pod.acme.keys()) == ({f"{name}:2" for name in ALL}, {"audio/2"})
    assert pod.run("06 12345678\n") == 0, "a pod that is started again finds nothing more to do"
    told = capfd.readouterr()
    assert "12345678" not in told.out + told.err


def test_a_secret_that_names_somebody_else_than_the_operator_read_is_believed_by_no_database__X2_T7(pod: Pod) -> None:
    pod.told("06 12345678\n")
    assert pod.run("06 87654321\n") == 1
    assert (pod.progress().found_at, len(pod.acme.left())) == (None, 8)
    # As the next look does: the newest telling counts, and a search that ended early is begun anew.
    pod.told("06 12345678\n", region="FR")
    assert pod.run("06 12345678\n") == 1, "another default region makes it another number"
    pod.told("06 12345678\n")
    assert pod.run("06 12345678\n") == 0
    assert pod.acme.left() == {f"{name}:2" for name in ALL}


def test_a_line_that_is_no_identifier_ends_the_pod_before_anything_is_asked__P12(
    pod: Pod, capfd: pytest.CaptureFixture[str]
) -> None:
    pod.told("06 12345678\n")
    assert pod.run("anonymous\n") == 1
    assert "phones, line 1" in capfd.readouterr().err
    assert len(pod.acme.left()) == 8
