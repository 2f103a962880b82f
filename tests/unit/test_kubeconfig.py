"""Which context the plugin acts in: kubectl's own, for what it does cannot be taken back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.adapters.kubernetes.session import api_client, chosen_context
from tenant_retention.domain.errors import Invalid, Unavailable


def kubeconfig(path: Path, *names: str, current: str | None = None, **user: Any) -> Path:
    """A file with contexts, each with a cluster and a user of its name."""
    document: dict[str, Any] = {
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, "namespace": f"{path.stem}-{name}"}}
            for name in names
        ],
        "clusters": [{"name": name, "cluster": {"server": f"https://{path.stem}:1"}} for name in names],
        "users": [{"name": name, "user": user or {"token": "t"}} for name in names],
    }
    path.write_text(yaml.safe_dump({**document, **({"current-context": current} if current else {})}))
    return path


async def host_and_token(path: Path | None, context: str | None = None) -> tuple[str, str]:
    async with api_client(path, in_cluster=False, context=context) as api:
        return api.configuration.host, api.configuration.api_key["BearerToken"]


def test_of_several_files_the_first_that_says_something_wins_as_for_kubectl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    first = kubeconfig(tmp_path / "first", "it", current="it")
    second = kubeconfig(tmp_path / "second", "it", "prod", current="prod")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{tmp_path / 'empty'}::{first}:{second}")
    chosen = chosen_context(None, None)
    assert (chosen.context, chosen.namespace) == ("it", "first-it")
    assert asyncio.run(host_and_token(None)) == ("https://first:1", "Bearer t")
    assert asyncio.run(host_and_token(None, "prod"))[0] == "https://second:1"


def test_a_context_that_is_named_needs_no_current_one(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "it")
    assert chosen_context(path, "it").namespace == "config-it"
    with pytest.raises(Invalid, match="no current context; name one with --context"):
        chosen_context(path, None)
    with pytest.raises(Invalid, match="there is no context prod; there is it"):
        chosen_context(path, "prod")


@pytest.mark.parametrize("content", ["{a: [b", "- a", "contexts: [1]", "contexts: [{name: it, context: 1}]", ""])
def test_a_kubeconfig_that_is_none_is_named_in_one_sentence(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(Invalid, match="kubeconfig: "):
        chosen_context(path, None)
    with pytest.raises(Invalid, match=r"nowhere; name one with --kubeconfig|nowhere cannot be read"):
        chosen_context(tmp_path / "nowhere", None)


def test_certificates_that_are_not_there_are_told_as_such(tmp_path: Path) -> None:
    path = kubeconfig(
        tmp_path / "config", "it", current="it", **{"client-certificate": "/nowhere", "client-key": "/nowhere"}
    )
    with pytest.raises(Invalid, match=r"context it: .*/nowhere"):
        asyncio.run(host_and_token(path))


def executable(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_program_that_gives_credentials_is_asked_and_one_that_gives_none_ends_it(tmp_path: Path) -> None:
    version = "client.authentication.k8s.io/v1"
    answer = f'{{"apiVersion": "{version}", "kind": "ExecCredential", "status": {{"token": "from-program"}}}}'
    gives = executable(tmp_path / "gives", f"echo '{answer}'")
    path = kubeconfig(tmp_path / "config", "it", current="it", exec={"command": gives, "apiVersion": version})
    assert asyncio.run(host_and_token(path))[1] == "Bearer from-program"
    for command in (executable(tmp_path / "fails", "exit 1"), str(tmp_path / "nowhere")):
        kubeconfig(path, "it", current="it", exec={"command": command, "apiVersion": version})
        with pytest.raises(Unavailable, match=f"{command} gave no credentials"):
            asyncio.run(host_and_token(path))
