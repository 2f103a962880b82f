"""kubectl as the demo types it: every command is shown, so that a reader can repeat it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TOLD_EVERY_SECONDS = 10


class DemoFailure(Exception):
    """The story did not go as told; the message says where and what to look at."""


@dataclass(frozen=True)
class Kubectl:
    """Commands against one cluster. ``environment`` holds KUBECONFIG and a PATH with kubectl and helm."""

    environment: Mapping[str, str]

    def run(self, *arguments: str, text: str | None = None, show: bool = True) -> str:
        """Standard output of ``kubectl <arguments>``; DemoFailure with what it said if it failed."""
        done = self.attempt(*arguments, text=text, show=show)
        if done.returncode:
            raise DemoFailure(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def attempt(self, *arguments: str, text: str | None = None, show: bool = True) -> subprocess.CompletedProcess[str]:
        """The finished command, whatever its exit code."""
        return self.program("kubectl", *arguments, text=text, show=show)

    def program(
        self, name: str, *arguments: str, text: str | None = None, show: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Any program of the cluster's PATH (helm, kubectl)."""
        if show:
            print(f"      $ {name} {' '.join(arguments)}", flush=True)
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            [name, *arguments], input=text, text=True, capture_output=True, check=False, env=environment
        )

    def apply(self, documents: list[dict[str, Any]], *arguments: str) -> None:
        """Applies objects that are made up here rather than read from a file."""
        self.run("apply", "-f", "-", *arguments, text=yaml.safe_dump_all(documents), show=False)

    def get(self, *arguments: str) -> Any:
        """``kubectl get ... -o json`` as a value."""
        return json.loads(self.run("get", *arguments, "-o", "json", show=False))

    def show(self, *arguments: str) -> str:
        """Runs the command and prints what a user would see, indented."""
        output = self.run(*arguments)
        for line in output.splitlines():
            print(f"        {line}", flush=True)
        return output


def cluster_environment(root: Path) -> dict[str, str]:
    """What ``python3 -m devcluster env`` exports for the chosen cluster."""
    done = subprocess.run(
        [sys.executable, "-m", "devcluster", "env"], cwd=root, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise DemoFailure(f"no cluster to use: {done.stderr.strip()}")
    exports = (line.removeprefix("export ") for line in done.stdout.splitlines() if line.startswith("export "))
    pairs = (line.partition("=") for line in exports)
    return {name: value.strip("'\"").replace("$PATH", os.environ["PATH"]) for name, _, value in pairs}


def wait(what: str, seconds: float, look: Callable[[], Any], *, tell: bool = True) -> Any:
    """Looks until ``look`` returns something true; DemoFailure naming ``what`` after ``seconds``.

    Says every ten seconds what it waits for, unless ``tell`` is False: where somebody else tells of several waits at once.
    """
    began = told = time.monotonic()
    while True:
        found = look()
        if found:
            return found
        now = time.monotonic()
        if now > began + seconds:
            raise DemoFailure(f"waited {seconds:.0f} s in vain for {what}")
        if tell and now >= told + TOLD_EVERY_SECONDS:
            told = now
            print(f"        waiting for {what}, {now - began:.0f} s", flush=True)
        # A look is a kubectl of its own, a fifth of a core for a second: the longer the wait, the rarer.
        time.sleep(min(1 + (now - began) / 20, 4))
