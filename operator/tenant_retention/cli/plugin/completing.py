"""``kubectl_complete-retention``: what kubectl runs to complete ``kubectl retention ...`` in bash and zsh."""

from __future__ import annotations

import os
import shlex
import sys

from tenant_retention.cli.plugin.program import PROGRAM, application

_COMPLETE = f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE"
_NO_FILES = ":4"
"""kubectl reads the last line as Cobra's directive: no names of files beside these."""


def main() -> None:
    """Prints what the words so far can go on with, one a line; the last word may be unfinished or empty."""
    words = sys.argv[1:] or [""]
    os.environ[_COMPLETE] = "complete_bash"
    os.environ["COMP_WORDS"] = shlex.join((PROGRAM, *words[:-1])) + " " + words[-1]
    os.environ["COMP_CWORD"] = str(len(words))
    try:
        application(prog_name=PROGRAM)
    except SystemExit:
        print(_NO_FILES)
