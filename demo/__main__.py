"""Tells the story from an empty machine to the proof; exits non-zero if one count is not as expected."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from demo.chapters import CHAPTERS
from demo.kubectl import DemoFailure, Kubectl, cluster_environment
from demo.story import Story

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Runs the chapters in order; 1 if the story went wrong, 2 if there is no cluster to tell it on."""
    began = time.monotonic()
    print("a real Kubernetes comes up (parts that are up to date are not rebuilt)", flush=True)
    if subprocess.run([sys.executable, "-m", "devcluster", "up"], cwd=ROOT, check=False).returncode:
        return 2
    story = Story(Kubectl(cluster_environment(ROOT)), ROOT)
    try:
        for number, chapter in enumerate(CHAPTERS, start=1):
            title = (chapter.__doc__ or chapter.__name__).strip()
            print(f"\n[{number}/{len(CHAPTERS)}] {title}   ({time.monotonic() - began:.0f} s)", flush=True)
            chapter(story)
    except DemoFailure as failure:
        print(f"\nthe demo failed: {failure}", file=sys.stderr)
        return 1
    print(f"\nAll counts are as expected, after {time.monotonic() - began:.0f} s. The cluster is still up. Try:")
    if os.environ.get("CLUSTER") != "current":
        print('  eval "$(python3 -m devcluster env)"    # kubectl, helm and KUBECONFIG for this shell')
    print("  kubectl get trp -A")
    print("  kubectl -n customer-acme describe trp acme")
    print("  kubectl get dst")
    if os.environ.get("CLUSTER") != "current":
        print("  make cluster-down    # ends the node and all that is on it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
