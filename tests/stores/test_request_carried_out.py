"""A DataSubjectRequest from object to done: the operator's reconcile over a cluster in memory, real databases, real pods' program (T7)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import sql

from tenant_retention.adapters.tenant_stores import RealTenantStores
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.ports.cluster import HOLD, REQUEST, SECRET, STORE_CLASS, Manifest
from tenant_retention.enforcement.program import main
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.tenant_databases import days_ago
from tests.support.operator_world import NAMESPACE, OPERATOR, Operator, condition, namespace, policy
from tests.unit.test_reconcile_holds import NAME as CASE
from tests.unit.test_reconcile_holds import hold, release
from tests.unit.test_reconcile_requests import NAME, jobs, plan_of, ready_of, request, secret, step

PROFILE: Manifest = {
    "apiVersion": STORE_CLASS.api_version,
    "kind": "RetentionProfile",
    "metadata": {"name": "calls"},
    "spec": {
        "categories": [
            {
                "name": "records",
                "min": "P7D",
                "default": "P30D",
                "max": "P1Y",
                "earlyDeletion": "Refused",
                "ground": "Contract",
                "clock": {"event": "Created"},
                "tables": ["records"],
            }
        ],
        "tables": [
            {
                "name": "records",
                "primaryKey": ["id"],
                "bornAt": "started_at",
                "partitions": {"every": "Month", "back": "P4M", "ahead": "P1M"},
                "columns": [
                    {"name": "id", "type": "BigInteger", "nullable": False},
                    {"name": "session_id", "type": "Text", "role": "SessionId"},
                    {"name": "caller", "type": "Text", "role": "PhoneNumber", "anonymize": {"method": "SetNull"}},
                ],
            }
        ],
    },
}


def kept_secret(name: str, **values: str) -> Manifest:
    data = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": name, "namespace": OPERATOR}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


@dataclass
class Site:
    """A customer whose database lies on a real server, and the operator that serves it. ``directory``: what a pod mounts."""

    operator: Operator
    process: PostgresProcess
    directory: Path

    def owner(self) -> Any:
        """A session of the owner of the customer's only database."""
        (entry,) = self.operator.objects("DataStore")
        database = entry["spec"]["name"]
        connection = connect_as(replace(self.process.administrator, database=database))
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(DatabaseRoles.of(database).owner)))
        return connection

    def call(self, number: int, caller: str, age: float) -> None:
        """A call so many days ago."""
        with self.owner() as owner:
            statement = "INSERT INTO public.records (id, session_id, caller, started_at) VALUES (%s, %s, %s, %s)"
            owner.execute(statement, (number, str(number), caller, days_ago(age)))

    def calls(self) -> set[int]:
        """Those that are there."""
        with self.owner() as owner:
            return {row[0] for row in owner.execute("SELECT id FROM public.records")}

    async def run_pod(self) -> int:
        """The program of the newest Job of a request; then the Job has ended."""
        job = jobs(self.operator)[-1]
        code = await self._run(job)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"type": "Failed" if code else "Complete", "status": "True", "lastTransitionTime": now}
        job["status"] = {"conditions": [ended]}
        return code

    async def run_night(self) -> int:
        """The program of the policy's nights."""
        (nightly,) = self.operator.objects("CronJob", NAMESPACE)
        return await self._run(nightly["spec"]["jobTemplate"])

    async def _run(self, job: Manifest) -> int:
        """The program, with the cluster's Secrets where the pod mounts them."""
        pod = job["spec"]["template"]["spec"]
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        for volume in pod["volumes"]:
            if "secret" in volume:
                await self._mount(volume["secret"]["secretName"], mounts[volume["name"]])
        text = plan_of(self.operator, job).model_dump_json(by_alias=True)
        plan = self.directory / "plan.json"
        plan.write_text(text.replace('"/', f'"{self.directory}/'))
        return main(["--plan", str(plan), "--termination-log", str(self.directory / "none")])

    async def _mount(self, name: str, path: str) -> None:
        found = await self.operator.cluster.get(SECRET, name, NAMESPACE)
        assert found is not None, name
        place = self.directory / path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        for key, value in found["data"].items():
            (place / key).write_bytes(base64.b64decode(value))


@pytest.fixture
async def site(postgres17_process: PostgresProcess, tmp_path: Path) -> Site:
    """The policy is settled."""
    access = postgres17_process.administrator
    existing = {
        "host": access.host,
        "port": access.port,
        "tls": {"mode": "verify-full", "caSecretRef": {"name": "authority", "key": "ca.crt"}},
        "adminSecretRef": {"name": "administrator"},
    }
    class_ = {
        "apiVersion": STORE_CLASS.api_version,
        "kind": STORE_CLASS.name,
        "metadata": {"name": "theirs"},
        "spec": {"type": "PostgreSQL", "provisioner": "Existing", "default": True, "existing": existing},
    }
    operator = Operator()
    # Before anything is made: a night that was missed would be made up for.
    operator.clock.now = datetime.now(UTC).replace(microsecond=0)
    for each in (
        namespace(NAMESPACE),
        PROFILE,
        class_,
        kept_secret("administrator", username=access.user, password=access.password),
        kept_secret("authority", ca_crt=access.ca_file.read_text()),
        policy(profile="calls", phoneDefaultRegion="NL"),
    ):
        operator.cluster.put(each)
    operator.world = replace(operator.world, stores=RealTenantStores(tmp_path), installation=str(uuid4()))
    operator.reconcile = type(operator.reconcile)(operator.world)
    await operator.start()
    settled = await operator.settled()
    assert condition(settled, "Ready")["status"] == "True", settled["status"]["conditions"]
    return Site(operator, postgres17_process, tmp_path)


async def test_a_request_leaves_what_a_minimum_keeps_and_says_until_when_and_why__T7_M9(site: Site) -> None:
    operator = site.operator
    site.call(1, "+31 6 1234-5678", 10)
    site.call(2, "0612345678", 1)
    site.call(3, "+31687654321", 10)
    operator.cluster.put(request(actions=["Erase"]))
    operator.cluster.put(secret())
    assert ready_of(await step(operator)) == ("False", "Pending")
    assert await site.run_pod() == 0
    waiting = await step(operator)
    assert (ready_of(waiting), site.calls()) == (("False", "RequestWaiting"), {2, 3})
    (category,) = waiting["status"]["categories"]
    assert (category["left"], category["deferred"], category["ground"]) == (1, 1, "Contract")
    assert days_ago(-5) < datetime.fromisoformat(category["deferredUntil"]) < days_ago(-7)


async def test_a_request_is_done_by_the_night_after_a_hold_is_released__T7_X3(site: Site) -> None:
    operator = site.operator
    site.call(1, "+31612345678", 10)
    site.call(2, "+31687654321", 10)
    operator.cluster.put(hold(select={"sessions": ["1"]}))
    await operator.reconcile(HOLD.name, NAMESPACE, CASE)
    operator.cluster.put(request(actions=["Erase"]))
    operator.cluster.put(secret())
    await step(operator)
    assert await site.run_pod() == 0
    waiting = await step(operator)
    assert (waiting["status"]["left"], waiting["status"]["held"], site.calls()) == (1, 1, {1, 2})
    await release(operator)
    await operator.reconcile(HOLD.name, NAMESPACE, CASE)
    assert await site.run_night() == 0
    operator.clock.forward(timedelta(minutes=15))
    assert (ready_of(await step(operator)), site.calls()) == (("True", "RequestDone"), {2})
    assert await operator.cluster.get(SECRET, NAME, NAMESPACE) is None


async def test_a_request_that_is_deleted_before_its_pod_ran_leaves_no_digest_in_the_database__T7_X5(site: Site) -> None:
    operator = site.operator
    site.call(1, "+31612345678", 10)
    operator.cluster.put(request(actions=["Erase"]))
    operator.cluster.put(secret())
    await step(operator)
    operator.cluster.remove(REQUEST, NAME, NAMESPACE)
    await operator.policy()
    with site.owner() as owner:
        assert owner.execute("SELECT count(*) FROM retention.request").fetchone() == (0,)
    assert await site.run_pod() == 1, "a pod that is still there is believed no more"
    assert site.calls() == {1}
