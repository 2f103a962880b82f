"""The plugin's commands about legal holds: hold, release."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tenant_retention.cli.confirming import confirm
from tenant_retention.cli.output import Format, visible, write_document
from tenant_retention.cli.plugin import holding, policies
from tenant_retention.cli.plugin.naming import policy_names
from tenant_retention.cli.plugin.options import (
    Context,
    HoldName,
    Kubeconfig,
    Namespace,
    Output,
    PlacedHold,
    Rehearse,
    Timeout,
    Wait,
    Yes,
    as_document,
    session_of,
)
from tenant_retention.cli.plugin.progress import progress
from tenant_retention.cli.plugin.reaching import Reached, Target
from tenant_retention.domain.ports.cluster import Manifest

application = typer.Typer()


@application.command()
def hold(
    asked: typer.Context,
    name: HoldName,
    reference: Annotated[str, typer.Option("--reference", help="The case that asks for it; no personal data.")],
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="Only this one; may be repeated.", autocompletion=policy_names),
    ] = None,
    session_id: Annotated[list[str] | None, typer.Option("--session", help="A session; may be repeated.")] = None,
    category: Annotated[list[str] | None, typer.Option("--category", help="A category; may be repeated.")] = None,
    unit: Annotated[list[str] | None, typer.Option("--unit", help="A unit; may be repeated.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Born then or later, as 2026-01-01T00:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Born before then.")] = None,
    secret: Annotated[str | None, typer.Option("--secret", help="The Secret that says whose; this hold's own.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    rehearse: Rehearse = False,
    wait: Wait = True,
    timeout: Timeout = 120,
    output: Output = Format.TABLE,
) -> None:
    """Keeps what it selects from every deletion until it is released; every kind of selector that is given must match."""
    session = session_of(asked)

    async def act(reached: Reached) -> Manifest:
        wanted = holding.wanted_hold(
            name,
            reached.home(),
            reference,
            policies=policy or (),
            sessions=session_id or (),
            categories=category or (),
            units=unit or (),
            since=since,
            until=until,
            secret=secret,
        )
        return await holding.place(reached, wanted)

    with session.opened(Target(kubeconfig, context, namespace, rehearse=rehearse)) as ask:
        placed = ask(act)
        if wait and not rehearse:
            with progress(session) as tell:
                placed = ask(lambda reached: holding.settled(session, reached, placed, timeout, tell))
    _told_hold(placed, output, rehearse=rehearse)


@application.command()
def release(
    asked: typer.Context,
    name: PlacedHold,
    reason: Annotated[str, typer.Option("--reason", help="Why it is released; no personal data.")],
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    rehearse: Rehearse = False,
    wait: Wait = True,
    timeout: Timeout = 120,
    output: Output = Format.TABLE,
) -> None:
    """Ends a hold for good: the next run applies the normal rules. It cannot be taken back."""
    session = session_of(asked)

    with session.opened(Target(kubeconfig, context, namespace, rehearse=rehearse)) as ask:
        found = ask(lambda reached: holding.releasable(reached, name))
        if not rehearse:
            rows = found.get("status", {}).get("held")
            confirm(f"{name}: release for good what it holds ({'uncounted' if rows is None else rows} rows)?", yes=yes)
        released = ask(lambda reached: holding.release(reached, found, reason))
        if wait and not rehearse:
            with progress(session) as tell:
                released = ask(lambda reached: holding.settled(session, reached, released, timeout, tell))
    _told_hold(released, output, rehearse=rehearse)


def _told_hold(found: Manifest, output: Format, *, rehearse: bool) -> None:
    if output is not Format.TABLE:
        write_document(as_document(found), output, sys.stdout)
        return
    ready, name = policies.condition(found, "Ready"), found["metadata"]["name"]
    word = "the server would take this" if rehearse else ready.get("reason", "Pending")
    held = found.get("status", {}).get("held")
    rows = "" if held is None else f", {held} rows held"
    print(f"{visible(name)}: {visible(word)}{rows}")
