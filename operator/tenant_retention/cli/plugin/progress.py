"""What one who waits sees: on a terminal one line with the state and the time it has taken, elsewhere a line for each change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tenant_retention.cli.output import visible
from tenant_retention.cli.plugin.reaching import Session


@contextmanager
def progress(session: Session) -> Iterator[Callable[[str], None]]:
    """Something to tell states to, all on stderr; NO_COLOR and TERM=dumb are respected."""
    # Imported here: half of the time that --help takes.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr, stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, get_time=lambda: session.now().timestamp(), redirect_stdout=False
    ) as shown:
        task = shown.add_task("", total=None)
        yield lambda line: shown.update(task, description=visible(line), refresh=True)


class _Lines:
    """Tells each state once."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, line: str) -> None:
        if line != self._last:
            self._last = line
            print(visible(line), file=sys.stderr, flush=True)
