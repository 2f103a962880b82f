"""Where the API server is and who we are there: inside a Pod its service account, else the kubeconfig."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a Pod finds its service account's token."""


@asynccontextmanager
async def api_client(kubeconfig: Path | None, *, in_cluster: bool) -> AsyncIterator[ApiClient]:
    """An API client that is closed on leaving. ``kubeconfig`` None and not ``in_cluster``: the user's default one."""
    configuration = Configuration()
    loader: Any = config
    if in_cluster:
        loader.load_incluster_config(client_configuration=configuration)
    else:
        await loader.load_kube_config(
            config_file=str(kubeconfig) if kubeconfig else None,
            client_configuration=configuration,
            persist_config=False,
        )
    async with ApiClient(configuration) as api:
        yield api
