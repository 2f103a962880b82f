"""A person's yes, before anything that destroys or cannot be taken back: with the counts, and never guessed."""

from __future__ import annotations

import sys

import typer

from tenant_retention.cli.output import visible
from tenant_retention.domain.errors import Invalid


def confirm(question: str, *, yes: bool) -> None:
    """Asks on stderr; returns on yes. ``yes``: it was given with ``--yes``. Raises typer.Abort on no, and Invalid where
    nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Invalid(f"{question} Nobody is there to answer: say --yes", reason="Usage", field="yes")
    typer.confirm(visible(question), abort=True, err=True)
