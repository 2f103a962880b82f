"""The commands ``tenant-retention archive search`` and ``archive restore``: options in, rows and counts out."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tenant_retention.cli.archives import Wanted, parse_time, restore, search
from tenant_retention.cli.output import Format, complain, visible, write_document
from tenant_retention.domain.durations import Period
from tenant_retention.enforcement.plans import load_plan
from tenant_retention.enforcement.results import Outcome

Plan = Annotated[Path, typer.Option("--plan", help="The plan document, YAML or JSON.", show_default=False)]
Category = Annotated[str, typer.Option("--category", help="Category of the plan.", show_default=False)]
From = Annotated[str | None, typer.Option("--from", help="Born then (UTC) or later.", show_default=False)]
To = Annotated[str | None, typer.Option("--to", help="Born before then (UTC).", show_default=False)]
Column = Annotated[str | None, typer.Option("--column", help="Column of the record's table.", show_default=False)]
Equals = Annotated[
    typer.FileText | None,
    typer.Option(
        "--equals-from",
        encoding="utf-8",
        errors="replace",
        help="File whose one line is what that column has; - reads standard input. Never an argument, which others see.",
        show_default=False,
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Rows that are printed at most.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the rows.")]
For = Annotated[str, typer.Option("--for", help="How long they stay, such as P30D.")]

application = typer.Typer(help="Finds rows in the policy's archive, and brings them back.", no_args_is_help=True)


@application.command("search")
def search_rows(
    plan: Plan,
    category: Category,
    column: Column = None,
    equals_from: Equals = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 1_000,
    output: Output = Format.TABLE,
) -> None:
    """Prints archived records, oldest first: columns with tabs between them, the names of the columns first."""
    if (column is None) != (equals_from is None):
        raise typer.BadParameter("--column and --equals-from belong together")
    equals = equals_from.read().removesuffix("\n").removesuffix("\r") if equals_from is not None else None
    wanted = Wanted(category, column, equals, parse_time(from_, "from"), parse_time(to, "to"))
    found = search(load_plan(plan), plan.parent, wanted, limit)
    if output is Format.TABLE:
        for row in (found.columns, *found.rows):
            print("\t".join("" if cell is None else visible(cell) for cell in row))
    else:
        rows = [
            {name: None if cell is None else str(cell) for name, cell in zip(found.columns, row, strict=True)}
            for row in found.rows
        ]
        write_document({"version": 1, "category": category, "rows": rows, "more": found.more}, output, sys.stdout)
    if found.more:
        complain(f"only the oldest {limit} rows; give a narrower --from and --to, or a larger --limit")


@application.command("restore")
def restore_rows(plan: Plan, category: Category, from_: From = None, to: To = None, for_: For = "P30D") -> None:
    """Brings archived records back into their live database for some time; they stay in the archive, too."""
    period = Period.parse(for_, field="--for")
    wanted = Wanted(category, None, None, parse_time(from_, "from"), parse_time(to, "to"))
    done = restore(load_plan(plan), plan.parent, wanted, period, datetime.now(UTC))
    print(f"restored {done.restored} rows, refused {done.refused}")
    if done.refused:
        raise typer.Exit(Outcome.INCOMPLETE.exit_code())
