"""tenant-retention unpack: what kubectl prints of a policy, as a plan and bindings that every other command takes."""

from __future__ import annotations

import json
import stat
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tenant_retention.cli.unpacking import unpack
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.jobs import plan_config_map
from tenant_retention.domain.plan_document import BackupPlan, StoreBinding, Task
from tenant_retention.enforcement.plans import load_plan
from tests.support.enforcement import archive, plan_of

SYSTEM = "tenant-retention-system"
RULES = archive()
POLICY = PolicyRef(RULES.namespace, RULES.policy, RULES.policy_uid)
MOUNTED = "/bindings"
NIGHT = plan_of(RULES).model_copy(
    update={
        "databases": (StoreBinding(purpose="Analytical", binding=f"{MOUNTED}/acme-analytical-enforcer"),),
        "buckets": (
            StoreBinding(purpose="Content", binding=f"{MOUNTED}/acme-content-enforcer"),
            StoreBinding(
                purpose="Archive", binding=f"{MOUNTED}/acme-archive-enforcer", writer=f"{MOUNTED}/acme-archive-app"
            ),
        ),
    }
)
COPIES = BackupPlan(
    keep="P14D",
    bucket=f"{MOUNTED}/acme-backups-enforcer",
    writer=f"{MOUNTED}/acme-backups-app",
    key=f"{MOUNTED}/acme-backup-key",
    key_id="0123",
)


def secret(
    name: str, kind: str = "servicebinding.io/postgresql", namespace: str = POLICY.namespace, **values: str
) -> Any:
    """A Secret as kubectl prints it."""
    data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
    return {"kind": "Secret", "type": kind, "metadata": {"name": name, "namespace": namespace}, "data": data}


ADMINISTRATOR = secret("acme-postgresql-admin", "Opaque", SYSTEM, username="retention", password="theirs", verifier="x")
TENANT = [
    plan_config_map(POLICY, NIGHT),
    plan_config_map(POLICY, NIGHT.model_copy(update={"task": Task.BACKUP, "backup": COPIES})),
    secret("acme-analytical-enforcer", host="server", port="5432", username="enforcer", password="own"),
    secret("acme-analytical-app", host="server"),
    secret("acme-backup-key", "Opaque", key="ab" * 32),
    secret("acme-postgresql-tls", "kubernetes.io/tls", **{"tls.key": "server's own"}),
    secret("mine", "Opaque", username="postgres", password="a tenant's word"),
]


def printed(*objects: Any) -> str:
    """As two commands print it one after the other."""
    return json.dumps({"kind": "List", "items": TENANT}) + "\n" + "".join(json.dumps(each) for each in objects)


def test_what_the_cluster_has_of_a_policy_becomes_a_plan_with_its_bindings__T6(tmp_path: Path) -> None:
    names = list(unpack(printed(ADMINISTRATOR), tmp_path, None))
    bindings = [f"bindings/acme-{name}" for name in ("analytical-app", "analytical-enforcer", "backup-key")]
    assert names == ["plan.json", *bindings, "administrator"], "nobody's other Secrets are written down"
    plan = load_plan(tmp_path / "plan.json")
    assert (plan.task, plan.rules_digest) == (NIGHT.task, NIGHT.rules_digest)
    assert (tmp_path / plan.databases[0].binding / "password").read_text() == "own"
    assert [(each.binding, each.writer) for each in plan.buckets] == [
        ("bindings/acme-content-enforcer", ""),
        ("bindings/acme-archive-enforcer", "bindings/acme-archive-app"),
    ]
    assert plan.backup == COPIES.model_copy(
        update={
            "bucket": "bindings/acme-backups-enforcer",
            "writer": "bindings/acme-backups-app",
            "key": "bindings/acme-backup-key",
        }
    )
    assert (tmp_path / plan.backup.key / "key").read_text() == "ab" * 32


def test_the_administrator_is_the_operators_and_of_the_databases_server__X2(tmp_path: Path) -> None:
    list(unpack(printed(ADMINISTRATOR), tmp_path, "Analytical"))
    login = {path.name: path.read_text() for path in (tmp_path / "administrator").iterdir()}
    assert login == {"host": "server", "port": "5432", "username": "retention", "password": "theirs"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "administrator").iterdir()} == {0o600}


def test_after_a_loss_the_jobs_plan_makes_no_backup_and_one_can_be_restored_all_the_same__T6(tmp_path: Path) -> None:
    waits = COPIES.model_copy(update={"frequency": None, "writer": "", "key": "", "key_id": ""})
    job = plan_config_map(POLICY, NIGHT.model_copy(update={"task": Task.BACKUP, "backup": waits}))
    list(unpack(json.dumps({"items": [TENANT[0], job, *TENANT[2:]]}), tmp_path, None))
    backup = load_plan(tmp_path / "plan.json").backup
    assert backup is not None
    assert (backup.writer, backup.key) == ("bindings/acme-backups-app", "bindings/acme-backup-key")


def test_without_an_administrator_and_without_backups_there_is_a_plan_all_the_same__D3(tmp_path: Path) -> None:
    text = json.dumps({"items": [each for each in TENANT if "backup" not in each["metadata"]["name"]]})
    assert "administrator" not in list(unpack(text, tmp_path, None))
    assert load_plan(tmp_path / "plan.json").backup is None


def test_a_plan_that_a_tenant_names_otherwise_is_nobodys_plan__X2(tmp_path: Path) -> None:
    forged = plan_config_map(POLICY, NIGHT.model_copy(update={"rules_digest": "forged", "backup": COPIES}))
    forged["metadata"]["name"] = "acme-plan-mine"
    list(unpack(printed(forged), tmp_path, None))
    assert load_plan(tmp_path / "plan.json").rules_digest == NIGHT.rules_digest


@pytest.mark.parametrize(
    ("text", "database", "said"),
    [
        ("error: no such resource", None, "stdin is no JSON"),
        ("", None, "there are 0 plans of nights, not one"),
        (
            printed(ADMINISTRATOR, secret("other", "Opaque", SYSTEM, username="a", password="b")),
            None,
            "several administr",
        ),
        (printed(ADMINISTRATOR), "Analytical/APAC", "there is no binding of database Analytical/APAC"),
        (printed(secret("../x")), None, "'../x' is no name of a Secret"),
        (printed(secret("x", **{"../y": "z"})), None, "'../y' is no name of a Secret"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(
    tmp_path: Path, text: str, database: str | None, said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        list(unpack(text, tmp_path / "made", database))
    assert not (tmp_path / "x").exists()
