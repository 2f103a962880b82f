"""The command line: `python3 -m devcluster COMMAND`."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

from devcluster.commands import run
from devcluster.errors import DevclusterError
from devcluster.launcher import Launcher
from devcluster.layout import Layout, layout
from devcluster.parts import ALL, NEEDED

_COMMANDS = {
    "up": "start the node, or refresh its images if it runs; everything that is missing is built first",
    "down": "take the node down; nothing of it stays but the cache and the imported images (--images: neither those)",
    "status": "say whether a node runs, and who started it",
    "images": "build the images that are not up to date, and hand them to the node if it runs; prints the archives",
    "cloudnative-pg": "install CloudNativePG on the node that runs; it is built first if it is missing",
    "parts": "build the programs only",
    "part": "build one program, and print where it lies",
    "env": 'print shell exports: eval "$(python3 -m devcluster env)"',
    "kubectl": "call kubectl on the node",
    "help": "show this",
}


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code: 0, 1 for a failure, 2 if this machine cannot do it."""
    where = layout()
    if arguments and arguments[0] == "kubectl":
        return _kubectl(where, list(arguments[1:]))
    options = _parser().parse_args(arguments or ["help"])
    if options.command == "help":
        _parser().print_help()
        return 0
    try:
        if os.environ.get("CLUSTER") == "current" and options.command in ("up", "down", "status", "env"):
            return _current_cluster(options.command)
        return _run(where, options)
    except DevclusterError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _run(where: Layout, options: argparse.Namespace) -> int:
    launcher = Launcher(where)
    match options.command:
        case "up":
            launcher.up()
        case "down":
            launcher.down(options.images)
        case "status":
            print(launcher.status())
        case "images":
            for reference, archive in launcher.images().items():
                print(reference, archive)
        case "cloudnative-pg":
            launcher.cloudnative_pg()
        case "parts":
            launcher.parts(NEEDED)
        case "part":
            print(launcher.parts([ALL[options.name]])[0])
        case "env":
            print(f"export KUBECONFIG={shlex.quote(str(where.kubeconfig))}")
            print(f"export PATH={shlex.quote(str(where.programs))}:$PATH")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m devcluster",
        description="A real one-node Kubernetes for the demo and the cluster tests.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "down":
            command.add_argument("--images", action="store_true", help="forget the imported images as well")
        if name == "part":
            command.add_argument("name", choices=sorted(ALL))
    return parser


def _kubectl(where: Layout, arguments: list[str]) -> int:
    environment = dict(os.environ)
    if os.environ.get("CLUSTER") != "current":
        if not where.kubeconfig.exists():
            print("No node of this checkout runs; `python3 -m devcluster up` starts one.", file=sys.stderr)
            return 1
        environment["KUBECONFIG"] = str(where.kubeconfig)
    program = where.programs / "kubectl"
    command = [str(program) if program.exists() else "kubectl", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def _current_cluster(command: str) -> int:
    """CLUSTER=current: nothing is started or stopped; it only says which cluster that is."""
    if command == "env":
        return 0  # the shell's own settings are the right ones
    context = run(["kubectl", "config", "current-context"]).strip()
    print(
        f"CLUSTER=current: using the context {context} of your own kubeconfig; "
        "nothing is started or stopped, and its images are yours to provide (docs/clusters.md)."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
