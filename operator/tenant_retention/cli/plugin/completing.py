"""``kubectl_complete-retention``: what kubectl runs to complete ``kubectl retention ...`` in bash and zsh."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from contextlib import redirect_stdout
from io import StringIO

from tenant_retention.cli.plugin.program import PROGRAM, application, outside
from tenant_retention.cli.plugin.reaching import Session

_COMPLETE = f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE"
_NO_FILES = ":4"
"""kubectl reads the last line as Cobra's directive: no names of files beside these."""


def main(session: Session | None = None) -> None:
    """Prints what the words so far can go on with, one a line; the last word may be unfinished or empty."""
    words = sys.argv[1:] or [""]
    os.environ[_COMPLETE] = "complete_bash"
    os.environ["COMP_WORDS"] = shlex.join((PROGRAM, *words[:-1])) + " " + words[-1]
    os.environ["COMP_CWORD"] = str(len(words))
    told = StringIO()
    # What the client logs of a kubeconfig's programs would stand in the middle of the line that somebody types.
    logging.disable()
    try:
        with redirect_stdout(told):
            application(prog_name=PROGRAM, obj=session or outside())
    except SystemExit:
        print("\n".join([*filter(None, told.getvalue().splitlines()), _NO_FILES]))
    finally:
        logging.disable(logging.NOTSET)
