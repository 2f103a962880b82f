"""Rows for the benchmarks: the product's own tables, and bare copies of them without triggers beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from tenant_retention.domain.definition import (
    CategoryDefinition,
    CategoryState,
    ClockEvent,
    ColumnDefinition,
    RetentionDefinition,
    TableDefinition,
)
from tests.stores.enforcement_archive import LiveArchive

MONTHS = 20
"""Months that hold rows: half of them due."""
_FILL = """
INSERT INTO {table} (id, session_id, started_at, {clock} caller)
SELECT n, 's' || n, {birth}, {clock_value} '+47' || (n % 90000000)
FROM generate_series({first}, {last}) AS n
"""


def definition(kind: str) -> RetentionDefinition:
    """One category of one table, so that a run counts nothing else; all keep P10M.

    ``calls`` goes by whole months, ``ancient`` by months beyond its ``back``, ``cases`` row by row (its clock is its closing).
    """
    clock = "closed_at" if kind == "cases" else None
    event: dict[str, Any] = {"clock_event": ClockEvent.CLOSED, "clock_column": clock} if clock else {}
    return RetentionDefinition(
        installation="bench",
        namespace="bench",
        policy=kind,
        policy_uid="00000000-0000-0000-0000-00000000000b",
        policy_generation=1,
        profile_generation=1,
        margin_seconds=86_400,
        guard_percent=100,
        tables=(_table(kind, "P9M" if kind == "ancient" else "P3Y", clock),),
        categories=(_category(kind, **event),),
    )


def births(now: datetime) -> list[tuple[datetime, bool]]:
    """The first instants of the months with rows, and whether they are due: none straddles the cut-off of P10M."""
    months = [*range(MONTHS // 2), *range(MONTHS // 2 + 1, MONTHS + 1)]
    return [(_month(now, back), back > MONTHS // 2) for back in months]


def fill(
    archive: LiveArchive, schema: str, table: str, rows: int, *, clock: str | None = None, due_only: bool = False
) -> None:
    """Spreads ``rows`` over the months, evenly over the first 20 days of each; ``due_only``: writes those of due months."""
    share = rows // MONTHS
    with archive.owner() as connection:
        for number, (first, is_due) in enumerate(births(datetime.now(UTC))):
            if due_only and not is_due:
                continue
            birth = sql.SQL("{}::timestamptz + (n % {}) * interval '20 days' / {}").format(
                sql.Literal(first), sql.Literal(share), sql.Literal(share)
            )
            # Row by row, every second row of each month is due: nothing can go as a whole. No two due ones are of one instant,
            # so that batches are as large as the product makes them.
            closed = sql.SQL(
                "now() - CASE WHEN n % 2 = 0 THEN interval '400 days' ELSE interval '20 days' END + n % {} * interval '10 days' / {},"
            ).format(sql.Literal(share), sql.Literal(share))
            connection.execute(
                sql.SQL(_FILL).format(
                    table=sql.Identifier(schema, table),
                    clock=sql.SQL("closed_at,") if clock else sql.SQL(""),
                    clock_value=closed if clock else sql.SQL(""),
                    birth=birth,
                    first=sql.Literal(number * share + 1),
                    last=sql.Literal((number + 1) * share),
                )
            )


def bare_copy(archive: LiveArchive, table: str) -> str:
    """A partitioned copy of ``table`` in schema ``bare``: same columns, indexes and months, no triggers; its name."""
    with archive.owner() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS bare")
        connection.execute(
            sql.SQL(
                "CREATE TABLE bare.{0} (LIKE public.{0} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)"
                " PARTITION BY RANGE (started_at)"
            ).format(sql.Identifier(table))
        )
    bare_months(archive, table)
    return table


def bare_months(archive: LiveArchive, table: str) -> None:
    """The months of the bare copy that are not there (yet, or any more)."""
    with archive.owner() as connection:
        for first, _ in births(datetime.now(UTC)):
            connection.execute(
                sql.SQL("CREATE TABLE IF NOT EXISTS bare.{} PARTITION OF bare.{} FOR VALUES FROM ({}) TO ({})").format(
                    sql.Identifier(month_name(table, first)),
                    sql.Identifier(table),
                    sql.Literal(first),
                    sql.Literal(_next(first)),
                )
            )


def old_months(archive: LiveArchive, table: str) -> None:
    """Months beyond ``back``, as they lie there from before it was made shorter."""
    for first, _ in births(datetime.now(UTC)):
        with archive.owner() as connection:
            there = connection.execute("SELECT to_regclass(%s)", [f"public.{month_name(table, first)}"]).fetchone()
        if there == (None,):
            archive.old_month(table, first)


def month_name(table: str, first: datetime) -> str:
    """The partition's name."""
    return f"{table}_p{first:%Y%m}"


def _table(name: str, back: str, clock: str | None = None) -> TableDefinition:
    closed = (ColumnDefinition(name=clock, type="Timestamp"),) if clock else ()
    return TableDefinition(
        name=name,
        primary_key=("id",),
        born_at="started_at",
        back=back,
        ahead="P1M",
        columns=(
            ColumnDefinition(name="id", type="BigInteger", nullable=False),
            ColumnDefinition(name="session_id", type="Text", role="SessionId"),
            ColumnDefinition(name="caller", type="Text", role="PhoneNumber"),
            *closed,
        ),
        clock_columns=(clock,) if clock else (),
        session_column="session_id",
    )


def _category(name: str, **more: Any) -> CategoryDefinition:
    rule: dict[str, Any] = {"clock_column": "started_at", **more}
    return CategoryDefinition(
        name=name,
        state=CategoryState.ENFORCED,
        keep="P10M",
        maximum="P5Y",
        tables=(name,),
        **rule,
    )


def _month(now: datetime, back: int) -> datetime:
    year, month = divmod(now.year * 12 + now.month - 1 - back, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _next(first: datetime) -> datetime:
    return (first + timedelta(days=31)).replace(day=1)
