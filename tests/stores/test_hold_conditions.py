"""Which rows are held, whatever the holds: the database's condition against a model of a few lines (X3), and what it costs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString, cast
from uuid import uuid4

import pytest
from psycopg import sql

from tenant_retention.domain.definition import ColumnDefinition, TableDefinition
from tenant_retention.domain.subjects import Spelling, digest_of
from tests.stores.tenant_databases import (
    Connection,
    TenantDatabases,
    category,
    days_ago,
    definition,
    table,
    text,
)

REACH = timedelta(days=92)
BACK = 300
NO_SESSION = TableDefinition(
    name="notes",
    primary_key=("id",),
    born_at="started_at",
    back="P1Y",
    ahead="P1M",
    columns=(ColumnDefinition(name="id", type="BigInteger", nullable=False),),
)
UUID_SESSION = table("logs").model_copy(
    update={"columns": (table("logs").columns[0], ColumnDefinition(name="session_id", type="Uuid", role="SessionId"))}
)
CALLER = ColumnDefinition(name="caller", type="Text", role="PhoneNumber", person="caller")
FAMILIES = definition(
    [
        table("calls", text("unit", "Unit"), CALLER, unit_column="unit"),
        table("surveys"),
        UUID_SESSION,
        NO_SESSION,
        table("faxes"),
    ],
    [
        category("records", "surveys", "calls", "notes"),
        category("logs", "logs", content_of="records"),
        category("faxes", "faxes"),
    ],
)
CATEGORY = {name: each.name for each in FAMILIES.categories for name in each.tables}
FAMILY = {"records": "records", "logs": "records", "faxes": "faxes"}
SELECTORS = ("category", "session", "unit", "born_from", "born_to", "person")
SALT = b"a salt of 16 bytes or more"


@dataclass(frozen=True)
class Row:
    """A row of one of the tables; what its table has no column for is None."""

    table: str
    number: int
    session: str | None
    unit: str | None
    born: datetime
    caller: str | None = None


Hold = dict[str, Any]


def selects(hold: Hold, row: Row) -> bool:
    """Whether the hold names this very row; what the row's table cannot tell is answered for keeping."""
    family = FAMILY[CATEGORY[row.table]]
    related = {name for name, of in FAMILY.items() if of == family}
    knows_session, knows_unit, person = row.table != "notes", row.table == "calls", hold.get("person")
    # The unit of a log is its call's: the hold on that unit's logs selects the call.
    tells_for_others = person or (knows_unit and hold.get("unit"))
    fitting = {CATEGORY[row.table]} if knows_session and not hold.get("session") and not tells_for_others else related
    asks_the_record = knows_session and family == "records"
    return (
        hold.get("category") in (None, *fitting)
        and (hold.get("session") is None or hold["session"] == row.session)
        and (hold.get("unit") is None or (hold["unit"] == row.unit if knows_unit else person or not asks_the_record))
        # Of a note nobody knows whose it is; a survey's and a log's call is asked; a fax is nobody's.
        and (person is None or row.caller == person or row.table == "notes")
        and hold.get("born_from", row.born) <= row.born
        and (hold.get("born_to") is None or row.born < hold["born_to"])
    )


def held(rows: list[Row], holds: list[Hold], first: datetime | None, last: datetime | None) -> set[tuple[str, int]]:
    """The rows that are held, with their sessions' rows looked for within the reach of these births (None: anywhere)."""
    named = [row for row in rows if any(selects(hold, row) for hold in holds)]
    sessions = {
        (FAMILY[CATEGORY[row.table]], row.session)
        for row in named
        if row.session is not None
        and (first is None or first - REACH <= row.born)
        and (last is None or row.born < last + REACH)
    }
    itself = {(row.table, row.number) for row in named}
    return itself | {(row.table, row.number) for row in rows if (FAMILY[CATEGORY[row.table]], row.session) in sessions}


def random_rows(dice: random.Random) -> list[Row]:
    """Sessions of up to five rows, most within days of each other, some months apart; some rows without a session."""
    rows: list[Row] = []
    for number in range(150):
        session = str(uuid4()) if dice.random() < 0.95 else None
        born = days_ago(dice.uniform(1, BACK))
        for _ in range(dice.randint(1, 5)):
            name = dice.choice(list(CATEGORY))
            apart = dice.choice((0, 0, 1, 40, 100, 200))
            rows.append(
                Row(
                    name,
                    len(rows),
                    session if name != "notes" else None,
                    f"u{number % 40}" if name == "calls" and dice.random() < 0.9 else None,
                    min(born + timedelta(days=apart), days_ago(1)),
                    number_of(number) if name == "calls" and dice.random() < 0.9 else None,
                )
            )
    return rows


def number_of(person: int) -> str:
    return f"+3161234{person % 40:04}"


def random_holds(dice: random.Random, rows: list[Row]) -> list[Hold]:
    """61 holds of up to three kinds; those that name neither a session nor a unit are few days long."""
    kinds = [tuple(name for name in SELECTORS if dice.random() < 0.5) for _ in range(3)]
    holds = []
    for _ in range(61):
        kind = dice.choice(kinds)
        if not {"session", "unit", "person"} & {*kind}:
            kind = (*kind, "born_from", "born_to")
        born = days_ago(dice.uniform(1, BACK))
        values = {
            "category": dice.choice(["records", "logs", "faxes", "another"]),
            "session": dice.choice([row.session for row in rows if row.session]),
            "unit": f"u{dice.randrange(60)}",
            "person": number_of(dice.randrange(60)),
            "born_from": born,
            "born_to": born + timedelta(days=dice.choice((1, 3, 100) if "session" in kind else (1, 2))),
        }
        holds.append({name: values[name] for name in kind})
    return holds


def place(owner: Connection, holds: list[Hold]) -> None:
    for told in holds:
        hold = {**told}
        if number := hold.get("person"):
            hold |= {"salt": SALT, "person": digest_of(Spelling("PhoneNumber", number), SALT)}
        names = sql.SQL(", ").join(map(sql.Identifier, hold))
        values = sql.SQL(", ").join(sql.Literal(value) for value in hold.values())
        owner.execute(sql.SQL("INSERT INTO retention.hold ({}) VALUES ({})").format(names, values))
    owner.execute("INSERT INTO retention.hold (released_at) VALUES (now())")


def write(owner: Connection, rows: list[Row]) -> None:
    columns = {"notes": ("id", "started_at"), "calls": ("id", "started_at", "session_id", "unit", "caller")}
    for name in CATEGORY:
        wanted = columns.get(name, ("id", "started_at", "session_id"))
        with owner.cursor() as cursor:
            cursor.executemany(
                sql.SQL("INSERT INTO public.{} ({}) VALUES ({})").format(
                    sql.Identifier(name),
                    sql.SQL(", ").join(map(sql.Identifier, wanted)),
                    sql.SQL(", ").join([sql.SQL("%s")] * len(wanted)),
                ),
                # In groups, as people write it.
                [
                    (row.number, row.born, row.session, row.unit, row.caller and f"{row.caller[:3]} {row.caller[3:]}")[
                        : len(wanted)
                    ]
                    for row in rows
                    if row.table == name
                ],
            )


def detach_a_month(owner: Connection, name: str) -> None:
    """As a run that was killed before it dropped the month leaves it."""
    owner.execute(
        "INSERT INTO retention.detached_partition"
        " SELECT partition, table_name, 'records', born_from, born_to, 1, gen_random_uuid(), now() FROM retention.partition"
        " WHERE table_name = %s AND born_from < now() - interval '150 days' AND born_to > now() - interval '150 days'",
        [name],
    )
    (partition,) = owner.execute("SELECT partition FROM retention.detached_partition").fetchone() or ("",)
    owner.execute(
        sql.SQL("ALTER TABLE public.{} DETACH PARTITION public.{}").format(
            sql.Identifier(name), sql.Identifier(str(partition))
        )
    )


def held_by_the_database(
    owner: Connection, relation: str, table_name: str, first: datetime | None, last: datetime | None, few: bool
) -> set[tuple[str, int]]:
    """What ``retention.held_condition`` says of each row of the relation."""
    (condition,) = owner.execute(
        "SELECT retention.held_condition(%s, 'r', coalesce(%s::timestamptz, '-infinity'),"
        " coalesce(%s::timestamptz, 'infinity'), few => %s)",
        [table_name, first, last, few],
    ).fetchone() or ("",)
    query = sql.SQL("SELECT r.id, {} FROM (SELECT * FROM public.{} AS r OFFSET 0) AS r")
    # The condition is the product's own text.
    answers = owner.execute(query.format(sql.SQL(cast(LiteralString, condition)), sql.Identifier(relation))).fetchall()
    assert all(answer is not None for _, answer in answers), "a row must be held or not"
    return {(table_name, int(number)) for number, answer in answers if answer}


@pytest.mark.parametrize("seed", [0, 2, 3, 4, 7, 11])
def test_whatever_the_holds_the_rows_that_are_held_are_those_of_the_model__X3(
    tenant_databases: TenantDatabases, seed: int
) -> None:
    dice = random.Random(seed)
    rows = random_rows(dice)
    holds = random_holds(dice, rows)
    with tenant_databases.having(FAMILIES) as database, database.as_owner() as owner:
        # As every function of the product asks: compiled, a query of so many parts takes seconds.
        owner.execute("SET jit = off")
        write(owner, rows)
        if seed % 2:
            detach_a_month(owner, "calls")
        place(owner, holds)
        months = owner.execute(
            "SELECT table_name, partition, born_from, born_to FROM retention.partition WHERE pg_relation_size(partition_oid) > 0"
        ).fetchall()
        for few in (True, False):
            expected = held(rows, holds, None, None)
            found = set[tuple[str, int]]()
            for name in CATEGORY:
                found |= held_by_the_database(owner, name, name, None, None, few)
            gone = {(name, number) for name, number in expected if (name, number) not in visible(owner)}
            assert found == expected - gone, (seed, few, sorted(found ^ (expected - gone)))
            for name, partition, first, last in dice.sample(months, 6):
                expected = {each for each in held(rows, holds, first, last) if each[0] == name}
                inside = {(row.table, row.number) for row in rows if first <= row.born < last}
                found = held_by_the_database(owner, partition, name, first, last, few)
                assert found == expected & inside, (seed, few, partition, sorted(found ^ (expected & inside)))


def visible(owner: Connection) -> set[tuple[str, int]]:
    return {
        (name, number)
        for name in CATEGORY
        for (number,) in owner.execute(sql.SQL("SELECT id FROM public.{}").format(sql.Identifier(name)))
    }
