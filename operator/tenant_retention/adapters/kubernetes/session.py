"""Where the API server is and who we are there: inside a Pod its service account, else the kubeconfig."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from tenant_retention.domain.errors import Invalid

IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a Pod finds its service account's token."""


@asynccontextmanager
async def api_client(
    kubeconfig: Path | None, *, in_cluster: bool, context: str | None = None
) -> AsyncIterator[ApiClient]:
    """An API client that is closed on leaving. ``kubeconfig`` None and not ``in_cluster``: the user's default one;
    ``context`` None: its current one."""
    configuration = Configuration()
    loader: Any = config
    if in_cluster:
        loader.load_incluster_config(client_configuration=configuration)
    else:
        await loader.load_kube_config(
            config_file=str(kubeconfig) if kubeconfig else None,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    async with ApiClient(configuration) as api:
        yield api


def context_namespace(kubeconfig: Path | None, context: str | None) -> str:
    """The namespace of a context (None: the current one); ``default`` where it names none.

    Raises Invalid where there is no kubeconfig, or no such context in it.
    """
    loader: Any = config
    try:
        contexts, current = loader.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
    except config.ConfigException as problem:
        raise Invalid(
            f"kubeconfig: {problem}; name one with --kubeconfig", reason="Usage", field="kubeconfig"
        ) from problem
    if context is None:
        found = current
    else:
        found = next((each for each in contexts if each["name"] == context), None)
        if found is None:
            known = ", ".join(sorted(each["name"] for each in contexts))
            raise Invalid(
                f"--context: there is no context {context}; there is {known}", reason="Usage", field="context"
            )
    return str(found["context"].get("namespace") or "default")
