"""What the plugin's commands share: their options, the session they run in, and how an object is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tenant_retention.cli.output import Format
from tenant_retention.cli.plugin.naming import hold_names, policy_names
from tenant_retention.cli.plugin.reaching import Session
from tenant_retention.domain.ports.cluster import Manifest

NOT_COMPLIANT = 2
"""Exit code: not ready, not compliant, or a run that did not do its work."""

Kubeconfig = Annotated[Path | None, typer.Option("--kubeconfig", help="Instead of $KUBECONFIG or ~/.kube/config.")]
Context = Annotated[str | None, typer.Option("--context", help="Of the kubeconfig; else its current one.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="The tenant's; else that of the context.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="All tenants that you may see.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
Rehearse = Annotated[bool, typer.Option("--dry-run", help="Let the server judge it and keep nothing.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end.")]
Timeout = Annotated[
    int, typer.Option("--timeout", min=0, max=31_536_000, help="Seconds to wait; what was begun goes on after them.")
]
PolicyName = Annotated[str, typer.Argument(help="Name of the policy.", show_default=False, autocompletion=policy_names)]
HoldName = Annotated[str, typer.Argument(help="Name of the LegalHold.", show_default=False)]
PlacedHold = Annotated[
    str, typer.Argument(help="Name of the LegalHold.", show_default=False, autocompletion=hold_names)
]


def session_of(asked: typer.Context) -> Session:
    """What the command was given of the world."""
    session: Session = asked.obj
    return session


def as_document(manifest: Manifest) -> dict[str, Any]:
    """The object as it is, without what the API server keeps for itself."""
    meta = {name: value for name, value in manifest["metadata"].items() if name != "managedFields"}
    return {**manifest, "metadata": meta}
