"""A class's CPU and memory as the builders take them."""

from __future__ import annotations

from tenant_retention.api.v1alpha1 import serverclasses
from tenant_retention.domain.manifests.inputs import Amounts, Resources


def resources_of(wanted: serverclasses.Resources | None) -> Resources | None:
    """What a class says of its server's container; None where it says nothing."""
    if wanted is None:
        return None
    requests, limits = wanted.requests, wanted.limits
    return Resources(
        requests=Amounts(requests.cpu, requests.memory) if requests else Amounts(),
        limits=Amounts(limits.cpu, limits.memory) if limits else Amounts(),
    )
