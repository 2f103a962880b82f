"""What may not be stored (P10), by the engine: the same on stores in memory and on PostgreSQL 15, 17, 18 and SeaweedFS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenant_retention.domain.definition import ConsentDefinition, RetentionDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.evidence import CategoryEvidence
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import Outcome, RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.enforcement_archive import LiveArchive, days_ago
from tests.stores.enforcement_in_memory import InMemoryArchive
from tests.support.enforcement import RecordedWorld, archive, column, plan_of, table

Tenant = Any
"""A ``LiveArchive`` or an ``InMemoryArchive``: both have what these tests use."""


def consenting(installation: str, guard_percent: int = 100, anonymize_after: str | None = None) -> RetentionDefinition:
    """The archive of the contract tests, whose content its record may deny."""
    rules = archive(back="P15M", guard_percent=guard_percent, anonymize_after=anonymize_after)
    flags = (column("denied", "Boolean"), column("no_log", "Boolean"))
    requests = table("requests", column("caller", role="PhoneNumber", method="SetNull"), *flags, back="P15M")
    flag_of = {"recordings": "denied", "chat-logs": "no_log"}
    return rules.model_copy(
        update={
            "installation": installation,
            "tables": (requests, *(each for each in rules.tables if each.name != "requests")),
            "categories": tuple(
                each.model_copy(
                    update={"consent": ConsentDefinition(table="requests", refused_column=flag_of[each.name])}
                    if each.name in flag_of
                    else {}
                )
                for each in rules.categories
            ),
        }
    )


def ask_for_consent(acme: LiveArchive, anonymize_after: str | None = None) -> None:
    """From its first row on: about content of before, the guard would ask first."""
    acme.define(consenting(acme.definition.installation, anonymize_after=anonymize_after))
    with acme.owner() as connection:
        connection.execute("UPDATE retention.scanned_rule SET since = '-infinity'")


def deny(acme: LiveArchive, name: str) -> None:
    """The application notes that this call's content may not be stored."""
    with acme.login("app") as connection:
        connection.execute("UPDATE public.requests SET denied = true, no_log = true WHERE id = %s", [name])


class FindingsContract(ABC):
    """The contract; subclasses say which tenant and how it runs and denies."""

    def test_content_that_was_denied_later_is_found_by_one_run_and_gone_after_the_next__P10_P3(
        self, tenant: Tenant
    ) -> None:
        tenant.call("denied", days_ago(2), "requests", "recordings", "chat_logs")
        tenant.call("agreed", days_ago(2), "requests", "recordings", "chat_logs")
        self.deny(tenant, "denied")
        first = self.run(tenant)
        assert first.outcome is Outcome.SUCCEEDED
        assert found(first) == {"recordings": (1, 0), "chat-logs": (1, 0)}
        assert len(tenant.left()) == 6
        second = self.run(tenant)
        assert found(second) == {"recordings": (0, 1), "chat-logs": (0, 1)}
        assert tenant.left() == {"requests:denied", "requests:agreed", "recordings:agreed", "chat_logs:agreed"}
        assert tenant.keys() == {"audio/agreed"}

    def test_a_dry_run_finds_the_same_and_takes_nothing__P10_X7(self, tenant: Tenant) -> None:
        tenant.call("denied", days_ago(2), "requests", "recordings", "chat_logs")
        self.deny(tenant, "denied")
        for _ in range(2):
            assert found(self.run(tenant, Mode.DRY_RUN)) == {"recordings": (1, 0), "chat-logs": (1, 0)}
        assert len(tenant.left()) == 3

    def test_a_hold_keeps_content_without_consent_and_its_object__P10_X3(self, tenant: Tenant) -> None:
        tenant.call("denied", days_ago(2), "requests", "recordings", "chat_logs")
        self.deny(tenant, "denied")
        tenant.hold("denied")
        for _ in range(2):
            assert found(self.run(tenant)) == {"recordings": (1, 0), "chat-logs": (1, 0)}
        assert (len(tenant.left()), tenant.keys()) == (3, {"audio/denied"})

    def test_much_of_it_waits_for_an_approval_while_what_is_due_goes__P10_X3(self, tenant: Tenant) -> None:
        tenant.define(consenting(tenant.definition.installation, guard_percent=25))
        for number in range(12):
            tenant.call(f"denied{number}", days_ago(2), "requests", "chat_logs")
            self.deny(tenant, f"denied{number}")
        self.run(tenant)
        tenant.call("old", days_ago(31), "chat_logs")
        second = self.run(tenant)
        assert second.outcome is Outcome.APPROVAL_REQUIRED
        assert found(second)["chat-logs"] == (12, 0)
        assert "chat_logs:old" not in tenant.left()
        tenant.approve(12, datetime.now(UTC) + timedelta(hours=1))
        assert found(self.run(tenant))["chat-logs"] == (0, 12)
        assert len(tenant.left()) == 12

    @abstractmethod
    def deny(self, tenant: Tenant, name: str) -> None:
        """The record of this call denies content from now on."""

    @abstractmethod
    def run(self, tenant: Tenant, mode: Mode = Mode.ENFORCE) -> RunResult:
        """A whole run of the engine."""


def found(result: RunResult) -> dict[str, tuple[int | None, int]]:
    """By category: what the scan found, and what the run took away of what an earlier one found."""
    evidence = result.stores[0].evidence
    assert evidence is not None
    rows: tuple[CategoryEvidence, ...] = evidence.categories
    return {each.category: (each.against_consent, each.cleared) for each in rows if each.against_consent is not None}


class TestInMemory(FindingsContract):
    """The twins that the engine's unit tests run on."""

    @pytest.fixture
    def tenant(self) -> InMemoryArchive:
        made = InMemoryArchive()
        made.define(consenting(made.definition.installation))
        return made

    def deny(self, tenant: Tenant, name: str) -> None:
        (row,) = (row for row in tenant.server.rows if row.identity == f"requests:{name}")
        row.flags = frozenset({"denied", "no_log"})

    def run(self, tenant: Tenant, mode: Mode = Mode.ENFORCE) -> RunResult:
        around = RecordedWorld(at=datetime.now(UTC))
        stores = Stores({"Analytical": tenant.enforcer()}, {"Content": tenant.content})
        return expire(plan_of(tenant.definition, mode=mode), stores, uuid4(), around.world())


@pytest.mark.every_postgres
class TestRealStores(FindingsContract):
    """PostgreSQL 15, 17 and 18, and SeaweedFS."""

    @pytest.fixture
    def tenant(self, acme: LiveArchive) -> LiveArchive:
        ask_for_consent(acme)
        return acme

    def deny(self, tenant: Tenant, name: str) -> None:
        deny(tenant, name)

    def run(self, tenant: Tenant, mode: Mode = Mode.ENFORCE) -> RunResult:
        result: RunResult = tenant.run(mode)
        return result
