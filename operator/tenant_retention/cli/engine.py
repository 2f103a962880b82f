"""``tenant-retention``: the same engine as the nightly job, from a shell, against any PostgreSQL and S3.

Exit codes: 0 fine, or waiting for an approval; 1 usage or a bad plan, nothing changed; 2 work left over or not compliant;
3 a database is unreachable.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from typer.exceptions import TyperException

from tenant_retention.cli import approving, archive_commands, installing, verifying
from tenant_retention.cli.output import Format, complain, visible, write_document
from tenant_retention.cli.reports import print_run, print_verification, run_document, verify_document
from tenant_retention.domain.errors import RetentionError
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.requests import RequestAction
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores
from tenant_retention.enforcement.plans import load_plan
from tenant_retention.enforcement.program import StopSignal
from tenant_retention.enforcement.results import Outcome, outcome_of_error
from tenant_retention.enforcement.world import World

_USAGE, _NOT_COMPLIANT = Outcome.INVALID.exit_code(), Outcome.INCOMPLETE.exit_code()

Plan = Annotated[Path, typer.Option("--plan", help="The plan document, YAML or JSON.", show_default=False)]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Keys = Annotated[bool, typer.Option("--keys", help="Name up to 100 keys of each kind: they may hold personal data.")]
MaxRows = Annotated[int, typer.Option("--max-rows", help="As many rows as verify says that wait.", show_default=False)]
Hours = Annotated[float, typer.Option("--hours", help="How long the approval holds.")]
Administrator = Annotated[
    Path,
    typer.Option(
        "--administrator-binding",
        help="Binding directory of a login with CREATEDB and CREATEROLE; its database is where it connects first.",
        show_default=False,
    ),
]
BackupId = Annotated[str | None, typer.Option("--backup", help="Its id, as backup lists it; else the newest.")]
Databases = Annotated[
    list[str] | None, typer.Option("--database", help="Only this one of the plan, as Analytical; may be repeated.")
]
BesideRows = Annotated[
    bool, typer.Option("--beside-rows", help="Keep rows that applications wrote after the loss, and load beside them.")
]
Directory = Annotated[Path, typer.Argument(help="Where to write them; Secrets lie there in plain text.")]
ServerOf = Annotated[
    str | None, typer.Option("--database", help="Of the plan, whose server the administrator is of; else the first.")
]
Observers = Annotated[
    list[str] | None,
    typer.Option(
        "--observer-binding",
        metavar="PURPOSE=DIR",
        help="Binding of a database's observer, where it is not beside the enforcer's.",
    ),
]

SubjectDirectory = Annotated[
    Path,
    typer.Option(
        "--subject",
        help="Directory with files phones, emails, chatIds or staffIds, an identifier a line: no argument ever says who it is.",
        show_default=False,
    ),
]
Actions = Annotated[list[RequestAction], typer.Option("--action", help="May be repeated.", show_default=False)]
Region = Annotated[str | None, typer.Option("--region", help="Country of numbers without one: NL, of ISO 3166.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would become of which rows.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

application = typer.Typer(
    name="tenant-retention",
    help="Keeps each tenant's data exactly as long as its plan says.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 fine, 1 usage or bad plan, 2 work left over or not compliant, 3 unreachable.",
)

application.add_typer(archive_commands.application, name="archive")


@application.command()
def plan(plan: Plan, output: Output = Format.TABLE, quiet: Quiet = False) -> None:
    """Shows what enforce would remove, by the same decision, and removes nothing."""
    _run(plan, Mode.DRY_RUN, output, quiet)


@application.command()
def enforce(plan: Plan, output: Output = Format.TABLE, quiet: Quiet = False) -> None:
    """Removes what is due now. What a guard holds back needs an approval."""
    _run(plan, None, output, quiet)


@application.command()
def verify(plan: Plan, observer_binding: Observers = None, output: Output = Format.TABLE) -> None:
    """Reads the chain of evidence and counts what is left over; changes nothing."""
    observers = verifying.observer_directories(observer_binding or ())
    verifications = verifying.verify(load_plan(plan), plan.parent, observers)
    if output is Format.TABLE:
        print_verification(verifications, sys.stdout)
    else:
        write_document(verify_document(verifications), output, sys.stdout)
    if any(verification.problems for verification in verifications):
        raise typer.Exit(_NOT_COMPLIANT)


@application.command()
def backup(plan: Plan, output: Output = Format.TABLE, quiet: Quiet = False) -> None:
    """Removes old backups, and makes one if it is due."""
    # Imported here: compression and ciphers, which no other command needs.
    from tenant_retention.cli import backups

    result = backups.make(load_plan(plan), plan.parent, _world(quiet))
    if output is Format.TABLE:
        backups.print_made(result, sys.stdout)
    else:
        write_document(backups.document(result), output, sys.stdout)
    raise typer.Exit(result.outcome.exit_code())


@application.command()
def restore(
    plan: Plan,
    administrator_binding: Administrator,
    backup: BackupId = None,
    database: Databases = None,
    beside_rows: BesideRows = False,
    quiet: Quiet = False,
) -> None:
    """Loads a backup into empty databases, closed to applications until today's rules were applied to it."""
    from tenant_retention.cli import backups

    restored = backups.bring_back(
        load_plan(plan),
        plan.parent,
        administrator_binding,
        backup,
        database or (),
        _world(quiet),
        beside=beside_rows,
    )
    backups.print_restored(restored, sys.stdout)


@application.command()
def orphans(plan: Plan, output: Output = Format.TABLE, keys: Keys = False) -> None:
    """Compares buckets with the rows that name their objects, both ways; reports and deletes nothing."""
    # Imported here: only this command lists a bucket.
    from tenant_retention.cli.orphans import compare, document, print_comparisons

    comparisons = compare(load_plan(plan), plan.parent, _utc_now())
    if output is Format.TABLE:
        print_comparisons(comparisons, sys.stdout, keys=keys)
    else:
        write_document(document(comparisons, keys=keys), output, sys.stdout)
    if not all(comparison.clean for comparison in comparisons):
        raise typer.Exit(_NOT_COMPLIANT)


@application.command()
def approve(plan: Plan, administrator_binding: Administrator, max_rows: MaxRows, hours: Hours = 24.0) -> None:
    """Lets through what a guard stopped: these rules, at most so many newly due rows, for so long."""
    lines = approving.approve(
        load_plan(plan), plan.parent, administrator_binding, max_rows=max_rows, hours=hours, now=_utc_now()
    )
    for line in lines:
        print(visible(line))


@application.command()
def erase(
    plan: Plan,
    administrator_binding: Administrator,
    subject: SubjectDirectory,
    action: Actions,
    region: Region = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Output = Format.TABLE,
    quiet: Quiet = False,
) -> None:
    """Carries out a person's request: shows what was found, asks, and does it. What is held, or below its minimum, waits."""
    # Imported here: the numbers of all countries, which no other command needs.
    from tenant_retention.cli import erasing
    from tenant_retention.enforcement.subject_files import read_subject

    document = load_plan(plan)
    who = read_subject(subject, document, region)
    erasure = erasing.erase(
        document, plan.parent, administrator_binding, who, action, _world(quiet), dry_run=dry_run, yes=yes
    )
    if output is Format.TABLE:
        erasing.print_progress(erasure.progress, sys.stdout)
    else:
        write_document(erasing.document(erasure), output, sys.stdout)
    if erasure.result is not None:
        outcome = erasure.result.outcome
        raise typer.Exit(outcome.exit_code() or (0 if erasure.done else _NOT_COMPLIANT))


@application.command()
def unpack(directory: Directory, database: ServerOf = None) -> None:
    """Writes a policy's ConfigMaps and Secrets, from stdin as kubectl prints them, as a plan and binding directories."""
    # Imported here: what the operator makes for a policy, which no other command needs.
    from tenant_retention.cli.unpacking import unpack as write

    for written in write(sys.stdin.read(), directory, database):
        print(written)


@application.command()
def install(plan: Plan, administrator_binding: Administrator) -> None:
    """Makes the plan's databases ready on any PostgreSQL: roles, tables, partitions, guards, functions; again and again."""
    for line in installing.install(load_plan(plan), plan.parent, administrator_binding):
        print(visible(line))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; every error is one sentence on stderr and an exit code."""
    # Libraries warn with URLs, and a URL holds an object's key (X6).
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        code = application(args=arguments, standalone_mode=False)
    except RetentionError as error:
        complain(error.message)
        code = outcome_of_error(error).exit_code()
    except TyperException as error:
        # Without a command the help was shown, and there is nothing more to say.
        if message := error.format_message():
            complain(message)
        code = _USAGE
    except typer.Abort:
        code = _NOT_COMPLIANT
    sys.exit(code)


def _run(path: Path, mode: Mode | None, output: Format, quiet: bool) -> None:
    document = load_plan(path)
    if mode is not None:
        document = document.model_copy(update={"mode": mode})
    world = _world(quiet)
    with open_stores(document, path.parent) as stores:
        result = expire(document, stores, uuid4(), world)
    if output is Format.TABLE:
        print_run(result, sys.stdout)
    else:
        write_document(run_document(result), output, sys.stdout)
    raise typer.Exit(result.outcome.exit_code())


def _world(quiet: bool) -> World:
    stop = StopSignal()
    stop.listen()
    return World(_utc_now, time.monotonic, stop.pause, stop.asked, _Progress(quiet))


class _Progress:
    """Tells what a run does as plain lines on stderr."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def tell(self, event: str, **facts: str | int | float | None) -> None:
        """One line: the event and its facts."""
        if not self._quiet:
            known = " ".join(f"{name}={visible(value)}" for name, value in facts.items())
            print(f"{event} {known}".rstrip(), file=sys.stderr, flush=True)


def _utc_now() -> datetime:
    return datetime.now(UTC)
