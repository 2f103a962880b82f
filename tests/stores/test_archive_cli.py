"""tenant-retention archive search and restore, from a shell, on real databases (D3, T5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from tenant_retention.adapters.bindings import read_postgres_binding
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.plan_document import StoreBinding
from tenant_retention.enforcement.opening import server_access
from tests.stores.archiving import rules
from tests.stores.enforcement_archive import days_ago, drop_database, write_binding
from tests.stores.servers.postgres import PostgresProcess, connect_as
from tests.stores.test_engine_cli import Done, run_in
from tests.support.enforcement import plan_of

PLACES = ("Analytical", "Archive")


class Customer:
    """A directory with a plan over a live database and an archive, made by ``tenant-retention install``."""

    def __init__(self, postgres: PostgresProcess, directory: Path) -> None:
        self.directory = directory
        self.definition = rules().model_copy(update={"installation": uuid4().hex})
        server = postgres.administrator
        write_binding(
            directory / "administrator",
            type="postgresql",
            host=server.host,
            port=str(server.port),
            database=server.database,
            username=server.user,
            password=server.password,
            **{"ca.crt": server.ca_file.read_text()},
        )
        stores = tuple(StoreBinding(purpose=each, binding=f"acme-{each.lower()}-enforcer") for each in PLACES)
        plan = plan_of(self.definition).model_copy(update={"databases": stores, "buckets": ()})
        written = json.loads(plan.model_dump_json(by_alias=True))
        del written["rulesDigest"]
        (directory / "plan.yaml").write_text(yaml.safe_dump(written))

    def run(self, *arguments: str) -> Done:
        """The command in that directory."""
        return run_in(self.directory, *arguments)

    def write(self, place: str, statement: str, *values: object) -> None:
        """One statement of the application."""
        with connect_as(server_access(read_postgres_binding(self.directory / f"acme-{place.lower()}-app"))) as session:
            session.execute(statement.encode(), values)

    def ids(self, place: str) -> list[int]:
        """The calls there."""
        with connect_as(server_access(read_postgres_binding(self.directory / f"acme-{place.lower()}-app"))) as session:
            return [int(str(row[0])) for row in session.execute("SELECT id FROM public.calls ORDER BY id")]

    def drop(self, postgres: PostgresProcess) -> None:
        """Removes the databases."""
        found = self.definition
        with connect_as(postgres.administrator) as connection:
            for place in PLACES:
                identity = StoreIdentity(found.installation, found.namespace, found.policy, place)
                drop_database(connection, identity.database())


@pytest.fixture
def customer(postgres_process: PostgresProcess, tmp_path: Path) -> Iterator[Customer]:
    made = Customer(postgres_process, tmp_path)
    yield made
    made.drop(postgres_process)


def test_what_was_archived_is_found_by_one_command_and_comes_back_by_another_for_a_time__D3_T5(
    customer: Customer,
) -> None:
    assert customer.run("install", "--plan", "plan.yaml", "--administrator-binding", "administrator").returncode == 0
    insert = "INSERT INTO public.calls (id, session_id, started_at, caller) VALUES (%s, %s, %s, %s)"
    for row, age, caller in ((1, 300, "+471"), (2, 120, "+472"), (3, 100, "+471"), (4, 10, "+471")):
        customer.write("Analytical", insert, row, str(row), days_ago(age), caller)
    customer.write(
        "Analytical", "INSERT INTO public.surveys (id, session_id, started_at) VALUES (2, '2', %s)", days_ago(120)
    )
    enforced = customer.run("enforce", "--plan", "plan.yaml", "-q")
    assert enforced.returncode == 0, enforced.stderr
    assert "ARCHIVED" in enforced.stdout
    assert (customer.ids("Analytical"), customer.ids("Archive")) == ([4], [1, 2, 3])

    search = ("archive", "search", "--plan", "plan.yaml", "--category", "records")
    (customer.directory / "caller.txt").write_text("+471\n")
    found = customer.run(*search, "--column", "caller", "--equals-from", "caller.txt")
    assert found.returncode == 0, found.stderr
    heads, *rows = (line.split("\t") for line in found.stdout.splitlines())
    assert heads == ["id", "started_at", "session_id", "caller"]
    assert [(row[0], row[3]) for row in rows] == [("1", "+471"), ("3", "+471")], "oldest first"
    document = json.loads(
        customer.run(*search, "--from", days_ago(121).isoformat(), "--limit", "1", "-o", "json").stdout
    )
    assert ([row["id"] for row in document["rows"]], document["more"]) == (["2"], True)

    span = ("--from", days_ago(130).isoformat(), "--to", days_ago(90).isoformat())
    back = customer.run("archive", "restore", "--plan", "plan.yaml", "--category", "records", *span, "--for", "P2D")
    assert (back.returncode, back.stdout) == (0, "restored 3 rows, refused 0\n"), back.stderr
    assert customer.ids("Analytical") == [2, 3, 4]
    assert customer.run("enforce", "--plan", "plan.yaml", "-q").returncode == 0
    assert customer.ids("Analytical") == [2, 3, 4], "for two days no night takes them away again"
    customer.write("Analytical", "UPDATE public.calls SET caller = '+31' WHERE id = 2")
    again = customer.run("archive", "restore", "--plan", "plan.yaml", "--category", "records", *span)
    assert (again.returncode, again.stdout) == (2, "restored 2 rows, refused 1\n"), "its key has other values now"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("search", "--category", "notes"), "--category: nothing of 'notes' is archived; records may be"),
        (
            ("search", "--category", "records", "--column", "colour", "--equals-from", "plan.yaml"),
            "has no column 'colour'",
        ),
        (("search", "--category", "records", "--column", "caller"), "--column and --equals-from belong together"),
        (("search", "--category", "records", "--from", "yesterday"), "--from: yesterday is no time; write one such as"),
        (
            ("restore", "--category", "records", "--from", "2026-01-02", "--to", "2026-01-01"),
            "--to: must be later than",
        ),
    ],
)
def test_a_wrong_option_is_told_with_its_next_step_and_nothing_happens__D3(
    customer: Customer, options: tuple[str, ...], text: str
) -> None:
    done = customer.run("archive", options[0], "--plan", "plan.yaml", *options[1:])
    assert done.returncode == 1
    assert text in done.stderr
