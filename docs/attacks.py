"""The page of attacks: what somebody with every right in one namespace tries, as tests/cluster/attacks.yaml has it (X2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SOURCE = Path("tests/cluster/attacks.yaml")
TESTS = "../../tests/cluster/test_attacks.py"
WHO = {
    "mallory": "Somebody with Kubernetes' `admin` and every verb on this product's kinds in one namespace, platform fields too.",
    "eve": "Somebody with Kubernetes' `edit` in the namespace.",
    "app": "By the binding `app`.",
    "reader": "By the binding `reader`.",
    "enforcer": "By the binding `enforcer`.",
    "nobody": "Without a key.",
}
KINDS = {
    "kubectl": "Refused by the API server",
    "sql": "Refused by the database",
    "s3": "Refused by the S3 server",
    "network": "Refused by the network, or nobody listens",
    "edits": "Put right within one resync",
    "secrets": "Refused by the operator, which leaves the Secret alone",
}


def attacks_lines(root: Path) -> list[str]:
    """The page, line by line."""
    groups: dict[str, dict[str, Any]] = yaml.safe_load((root / SOURCE).read_text())
    count = sum(len(group["tries"]) for kind in groups.values() for group in kind.values())
    lines = [
        "# What was tried against another tenant",
        "",
        f"{count} attempts, each made on a real cluster by [the cluster's tests]({TESTS}), out of one tenant's namespace beside which",
        "another one lives. After all of them the other tenant is compared with what it was before: its rows and objects, its",
        "Secrets, policy, CronJob, servers and entries in the ledger. What no guard can stop says [who can do what](../trust.md).",
    ]
    for kind, title in KINDS.items():
        lines += ["", f"## {title}"]
        for name, group in groups[kind].items():
            who = WHO.get(group.get("as", ""), "")
            lines += ["", f"{name}. {who}".strip(), "", *(f"- {attempt['title']}" for attempt in group["tries"])]
    return lines
