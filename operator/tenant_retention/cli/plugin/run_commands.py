"""The plugin's commands about runs: plan, run, approve, suspend, resume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tenant_retention.cli.confirming import confirm
from tenant_retention.cli.output import Format, table, visible, write_document
from tenant_retention.cli.plugin import looking, profile_change, runs
from tenant_retention.cli.plugin.naming import policy_names
from tenant_retention.cli.plugin.options import (
    NOT_COMPLIANT,
    Context,
    Everywhere,
    Kubeconfig,
    Namespace,
    Output,
    PolicyName,
    Rehearse,
    Timeout,
    Wait,
    Yes,
    as_document,
    session_of,
)
from tenant_retention.cli.plugin.progress import progress
from tenant_retention.cli.plugin.reaching import Reached, Session, Target
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ports.cluster import POLICY, PROFILE, Manifest

application = typer.Typer()


@application.command()
def plan(
    asked: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Policy whose next run is rehearsed.", show_default=False, autocompletion=policy_names),
    ] = None,
    profile_file: Annotated[
        Path | None, typer.Option("--profile-file", help="What this version of a profile would mean for its policies.")
    ] = None,
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    timeout: Timeout = 600,
    output: Output = Format.TABLE,
) -> None:
    """Shows what the next run would remove, by a dry run; or what a changed profile would do. Removes nothing."""
    target = Target(kubeconfig, context, namespace, everywhere)
    if (name is None) == (profile_file is None):
        raise Invalid("name a policy, or a profile with --profile-file", reason="Usage")
    if profile_file is not None:
        _plan_profile(session_of(asked), target, profile_file, output)
    elif name is not None:
        _run(session_of(asked), target, name, "DryRun", timeout=timeout, output=output)


@application.command()
def run(
    asked: typer.Context,
    name: PolicyName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    rehearse: Rehearse = False,
    wait: Wait = True,
    timeout: Timeout = 3600,
    output: Output = Format.TABLE,
) -> None:
    """Removes what is due now, as the night would. --dry-run is `plan`: it counts and removes nothing."""
    target, mode = Target(kubeconfig, context, namespace), "DryRun" if rehearse else "Enforce"
    _run(session_of(asked), target, name, mode, yes=yes, wait=wait, timeout=timeout, output=output)


@application.command()
def approve(
    asked: typer.Context,
    name: PolicyName,
    max_rows: Annotated[
        int | None, typer.Option("--max-rows", help="Most items that may be newly deleted; else as many as wait now.")
    ] = None,
    hours: Annotated[float, typer.Option("--hours", help="How long the approval holds.")] = 24.0,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    rehearse: Rehearse = False,
    wait: Wait = True,
    timeout: Timeout = 3600,
    output: Output = Format.TABLE,
) -> None:
    """Lets through what the guard stopped, for exactly these rules, and runs at once."""
    session = session_of(asked)

    with session.opened(Target(kubeconfig, context, namespace, rehearse=rehearse)) as ask:
        policy = ask(lambda reached: reached.one(POLICY, name))
        approval = runs.wanted_approval(policy, max_rows=max_rows, hours=hours, now=session.now())
        if approval is None:
            print(f"{visible(name)}: the guard asks nothing", file=sys.stdout if output is Format.TABLE else sys.stderr)
            return
        categories = ", ".join(policy["status"]["approval"].get("categories", ()))
        if not rehearse:
            confirm(f"{name}: let up to {approval['maxRows']} items of {categories} be newly deleted?", yes=yes)
        done = ask(lambda reached: runs.make(reached, runs.wanted_run(policy, "Enforce", approval)))
        if wait and not rehearse:
            with progress(session) as tell:
                done = ask(lambda reached: runs.ended(session, reached, done, timeout, tell))
    _told_run(done, output, wait=wait, rehearse=rehearse)


@application.command()
def suspend(
    asked: typer.Context,
    name: PolicyName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    rehearse: Rehearse = False,
) -> None:
    """Stops the nights of a policy. Deadlines go on: what passes them is counted and alarmed."""
    _suspend(session_of(asked), Target(kubeconfig, context, namespace, rehearse=rehearse), name, suspended=True)


@application.command()
def resume(
    asked: typer.Context,
    name: PolicyName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    rehearse: Rehearse = False,
) -> None:
    """Lets the nights of a policy come again."""
    _suspend(session_of(asked), Target(kubeconfig, context, namespace, rehearse=rehearse), name, suspended=False)


def _run(
    session: Session,
    target: Target,
    name: str,
    mode: str,
    *,
    yes: bool = False,
    wait: bool = True,
    timeout: int,
    output: Format,
) -> None:
    with session.opened(target) as ask:
        policy = ask(lambda reached: reached.one(POLICY, name))
        if mode == "Enforce":
            confirm(f"{name}: remove what is due now? It is {runs.next_run_counts(policy)}.", yes=yes)
        done = ask(lambda reached: runs.make(reached, runs.wanted_run(policy, mode)))
        if wait:
            with progress(session) as tell:
                done = ask(lambda reached: runs.ended(session, reached, done, timeout, tell))
    _told_run(done, output, wait=wait)


def _told_run(done: Manifest, output: Format, *, wait: bool, rehearse: bool = False) -> None:
    if output is not Format.TABLE:
        write_document(as_document(done), output, sys.stdout)
    elif rehearse:
        print(runs.rehearsed(done))
    else:
        runs.print_run(done, sys.stdout)
    if wait and not rehearse and not runs.succeeded(done):
        raise typer.Exit(NOT_COMPLIANT)


def _plan_profile(session: Session, target: Target, path: Path, output: Format) -> None:
    after = profile_change.read_profile(path)

    async def act(reached: Reached) -> tuple[profile_change.Effect, ...]:
        now = await reached.cluster.get(PROFILE, after.metadata.name)
        before = profile_change.parsed(now) if now else None
        found = await reached.policies()
        return profile_change.effects(before, after, found, await looking.namespace_labels(reached))

    found = session.answer(target, act)
    if output is not Format.TABLE:
        write_document({"version": 1, "items": [profile_change.document(each) for each in found]}, output, sys.stdout)
    elif found:
        rows = [
            (each.namespace, each.policy, word, line) for each in found for word, line in profile_change.lines(each)
        ]
        table(("NAMESPACE", "POLICY", "EFFECT", "WHAT"), rows, sys.stdout)
    else:
        print(f"No policy names the profile {visible(after.metadata.name)}.")
    if any(each.problem for each in found):
        raise typer.Exit(NOT_COMPLIANT)


def _suspend(session: Session, target: Target, name: str, *, suspended: bool) -> None:
    async def act(reached: Reached) -> bool:
        policy = await reached.one(POLICY, name)
        if policy["spec"].get("suspend", False) is suspended:
            return False
        patch = {"spec": {"suspend": suspended}}
        if await reached.cluster.merge(POLICY, name, reached.home(), patch) is None:
            raise NotReady(f"TenantRetentionPolicy {name} went away meanwhile", reason="Unavailable")
        return True

    changed = session.answer(target, act)
    word = "suspended" if suspended else "resumed"
    rehearsed = " (the server would; nothing was changed)" if target.rehearse else ""
    print(f"{visible(name)}: {word}{rehearsed}" if changed else f"{visible(name)}: is {word} already")
