"""A tenant's backups on a cluster: made by their own Job, told in the policy's status, and read by the documented commands."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from demo.commands import on_cluster
from demo.kubectl import wait
from tests.cluster.conftest import Tenant


def category(tenant: Tenant) -> Any:
    """What the status says of the records."""
    return next((each for each in tenant.status().get("categories", []) if each["name"] == "records"), {})


def command(tenant: Tenant, *arguments: str) -> str:
    """What ``tenant-retention`` prints, given all that the cluster has of the policy."""
    return on_cluster(tenant.kubectl, tenant.namespace, tenant.name, *arguments, show=False)


def restore(tenant: Tenant) -> str:
    """What the one command says that brings back the databases, which the operator has made anew and empty."""
    wait("the records to be gone from the status", 300, lambda: category(tenant).get("rows") == 0)
    tenant.wait_for("condition=Ready", 300)
    return command(tenant, "restore", "--plan", "plan.json", "--administrator-binding", "administrator", "-q")


def back_up(tenant: Tenant) -> Any:
    """Starts the backups' Job by hand once it waits for nothing; what the status says of backups after it."""
    waits = lambda: {"lastBackup", "message"}.isdisjoint(tenant.status()["backups"])  # noqa: E731
    wait("the first backup to wait for nothing any more", 300, waits)
    place = tenant.place()
    tenant.kubectl.run(*place, "create", "job", "backup", "--from=cronjob/acme-backup", show=False)
    tenant.kubectl.run(*place, "wait", "--for=condition=Complete", "job/backup", "--timeout=300s", show=False)
    tenant.wait_for("condition=BackupsCurrent", 300)
    return tenant.status()["backups"]


def assert_one_backup_of_a_fortnight(tenant: Tenant, told: Any) -> None:
    """That ``told`` is of one backup, and that its life lies between both dates of the oldest record."""
    assert (told["keep"], told["number"], told["overdue"]) == ("P14D", 1, 0)
    assert told["lastBackup"] == told["oldestBackup"]
    leaves, gone = (datetime.fromisoformat(category(tenant)[name]) for name in ("leavesLiveStore", "lastCopyGone"))
    assert timedelta(days=14) <= gone - leaves <= timedelta(days=18)
