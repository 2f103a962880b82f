"""Where the API server is and who we are there: inside a Pod its service account, else the kubeconfig."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from tenant_retention.domain.errors import Invalid, Unavailable

IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a Pod finds its service account's token."""


@dataclass(frozen=True)
class Chosen:
    """A context of the user's kubeconfig. ``files``: as the client takes them. ``program``: what gives its credentials, where
    one does."""

    files: str
    context: str
    namespace: str
    program: str | None


@asynccontextmanager
async def api_client(
    kubeconfig: Path | None, *, in_cluster: bool, context: str | None = None
) -> AsyncIterator[ApiClient]:
    """An API client that is closed on leaving. ``kubeconfig`` None and not ``in_cluster``: the user's default one;
    ``context`` None: its current one. Raises Invalid and Unavailable as ``chosen_context`` and the credentials have it."""
    async with await _client(None if in_cluster else chosen_context(kubeconfig, context)) as api:
        yield api


def chosen_context(kubeconfig: Path | None, context: str | None) -> Chosen:
    """The context of that name (None: the current one), as kubectl finds it: of several files in $KUBECONFIG the first that
    says something wins. Raises Invalid where there is no kubeconfig, or no such context in it."""
    documents = _documents(kubeconfig)
    contexts = _named("contexts", "context", documents.values())
    wanted = context or next((found for each in documents.values() if (found := each.get("current-context"))), None)
    if wanted is None:
        raise _invalid("it has no current context; name one with --context", "context")
    if wanted not in contexts:
        raise _invalid(f"there is no context {wanted}; there is {', '.join(sorted(contexts)) or 'none'}", "context")
    user = _named("users", "user", documents.values()).get(str(contexts[wanted].get("user")), {})
    return Chosen(
        os.pathsep.join(documents),
        wanted,
        str(contexts[wanted].get("namespace") or "default"),
        str((user.get("exec") or {}).get("command") or "") or None,
    )


async def _client(chosen: Chosen | None) -> ApiClient:
    configuration = Configuration()
    loader: Any = config
    if chosen is None:
        loader.load_incluster_config(client_configuration=configuration)
        return ApiClient(configuration)
    try:
        await loader.load_kube_config(
            config_file=chosen.files,
            context=chosen.context,
            client_configuration=configuration,
            persist_config=False,
        )
        api = ApiClient(configuration)
    except (config.ConfigException, OSError, ValueError, TypeError, KeyError) as problem:
        # Whatever somebody wrote there: certificates that are none, fields of another shape.
        raise _invalid(f"context {chosen.context}: {problem}", "kubeconfig") from problem
    if chosen.program and not configuration.api_key.get("BearerToken") and not configuration.cert_file:
        # The client tells what the program said and would go on as nobody.
        await api.close()  # type: ignore[no-untyped-call]  # the package is partly typed
        raise Unavailable(f"kubeconfig: {chosen.program} gave no credentials", reason="Unavailable")
    return api


def _documents(kubeconfig: Path | None) -> dict[str, dict[str, Any]]:
    """The files that there are, by path, in the order in which they count."""
    named = [str(kubeconfig)] if kubeconfig else (os.environ.get("KUBECONFIG") or "~/.kube/config").split(os.pathsep)
    found: dict[str, dict[str, Any]] = {}
    for path in (Path(each).expanduser() for each in named if each):
        if kubeconfig is None and not path.exists():
            continue
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
            raise _invalid(f"{path} cannot be read: {type(problem).__name__}", "kubeconfig") from problem
        if document is None:
            continue
        if not isinstance(document, dict):
            raise _invalid(f"{path} is no kubeconfig", "kubeconfig")
        found[str(path)] = document
    if not found:
        raise _invalid(f"there is none in {', '.join(named)}; name one with --kubeconfig", "kubeconfig")
    return found


def _named(plural: str, singular: str, documents: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The named entries of all files; the first of a name counts."""
    found: dict[str, dict[str, Any]] = {}
    for each in documents:
        for entry in each.get(plural) or ():
            if not isinstance(entry, dict) or not isinstance(entry.get(singular) or {}, dict):
                raise _invalid(f"{plural}: an entry has no {singular}", "kubeconfig")
            found.setdefault(str(entry.get("name")), entry.get(singular) or {})
    return found


def _invalid(what: str, field: str) -> Invalid:
    return Invalid(f"kubeconfig: {what}", reason="Usage", field=field)
