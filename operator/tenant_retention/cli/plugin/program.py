"""``kubectl retention``: the plugin's command line.

Exit codes: 0 fine; 1 usage, or the server refuses it, nothing changed; 2 not ready or not compliant, or a run that did not do
its work; 3 the cluster does not answer, or does not let you.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from tenant_retention.cli.output import Format, visible, write_document
from tenant_retention.cli.plugin import hold_commands, looking, policies, reporting, run_commands
from tenant_retention.cli.plugin.naming import policy_names
from tenant_retention.cli.plugin.options import (
    NOT_COMPLIANT,
    Context,
    Everywhere,
    Kubeconfig,
    Namespace,
    Output,
    as_document,
    session_of,
)
from tenant_retention.cli.plugin.reaching import Session, Target, reach
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError

PROGRAM = "kubectl-retention"
_USAGE, _UNREACHABLE = 1, 3

application = typer.Typer(
    name=PROGRAM,
    help="Keeps each tenant's data exactly as long as its policy says: what is so, and what to do about it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 fine, 1 usage or refused, 2 not ready or not compliant, 3 unreachable or not allowed.",
)
application.add_typer(run_commands.application)
application.add_typer(hold_commands.application)


@application.command()
def status(
    asked: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="One policy at length; else all of the namespace.", autocompletion=policy_names),
    ] = None,
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """Shows policies: ready, compliant, overdue, last and next run; with a name its categories, stores, runs and holds."""
    session = session_of(asked)
    seen = session.answer(
        Target(kubeconfig, context, namespace, everywhere), lambda reached: looking.look(reached, name)
    )
    found = seen.policies
    if output is not Format.TABLE:
        missing = {"unread": list(seen.unread)} if seen.unread else {}
        write_document({"version": 1, "items": [as_document(each) for each in found], **missing}, output, sys.stdout)
    elif name is None:
        policies.print_policies(found, session.now(), sys.stdout, namespaces=everywhere, where=seen.namespace)
    else:
        policies.print_policy(found[0], session.now(), sys.stdout)
    if seen.unread:
        print(f"{PROGRAM}: {visible(seen.warning())}", file=sys.stderr)
    if not all(policies.fine(each) for each in found):
        raise typer.Exit(NOT_COMPLIANT)
    if seen.unread:
        raise typer.Exit(_UNREACHABLE)


@application.command()
def report(
    asked: typer.Context,
    file: Annotated[Path, typer.Argument(help="Zip to write; one that is there is left as it is.")],
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Writes what a person who helps needs to see as a zip: no Secret, no data, nothing that people wrote freely."""
    session = session_of(asked)
    files = session.answer(
        Target(kubeconfig, context, namespace, everywhere),
        lambda reached: reporting.gather(reached, session.now()),
    )
    for line in reporting.write(files, file):
        print(visible(line))


def main(arguments: Sequence[str] | None = None, session: Session | None = None) -> None:
    """The command line; every error is one sentence on stderr and an exit code."""
    try:
        code = application(args=arguments, prog_name=PROGRAM, standalone_mode=False, obj=session or outside())
    except Invalid as error:
        code = _complain(error.message, _USAGE)
    except NotReady as error:
        code = _complain(error.message, NOT_COMPLIANT)
    except RetentionError as error:
        code = _complain(error.message, _UNREACHABLE)
    except TyperException as error:
        # Without a command the help was shown, and there is nothing more to say.
        code = _complain(error.format_message(), _USAGE)
    except typer.Abort:
        code = _complain("nothing was changed", _USAGE)
    except KeyboardInterrupt:
        code = _complain("no longer waiting; what was begun goes on", NOT_COMPLIANT)
    sys.exit(code)


def outside() -> Session:
    """The world as it is."""
    return Session(reach, lambda: datetime.now(UTC), asyncio.sleep)


def _complain(message: str, code: int) -> int:
    if message:
        print(f"{PROGRAM}: {visible(message)}", file=sys.stderr)
    return code
