"""What the operator's log says, and what it does not repeat."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tenant_retention.telemetry import configure_logging

KOPF = "kopf._core.reactor.observation"
MISSING = "Unresolved resources cannot be served (try creating their CRDs): "
CLOUDNATIVEPG = "Selector(group='postgresql.cnpg.io', version='v1', any_name='clusters')"
POLICIES = "Selector(group='tenantretention.io', version='v1alpha1', any_name='tenantretentionpolicies')"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is the whole process's: what the test changes is taken back."""
    names = ("", "kopf", "aiohttp", "asyncio", "kubernetes", "urllib3", KOPF)
    loggers = [logging.getLogger(name) for name in names]
    before = [(found.level, list(found.handlers), list(found.filters)) for found in loggers]
    yield
    for found, (level, handlers, filters) in zip(loggers, before, strict=True):
        found.setLevel(level)
        found.handlers[:], found.filters[:] = handlers, filters


def test_that_cloudnativepg_is_not_installed_is_no_warning_at_every_look_and_a_missing_kind_of_ours_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("INFO")
    for missing in (CLOUDNATIVEPG, POLICIES, f"{CLOUDNATIVEPG}, {POLICIES}"):
        logging.getLogger(KOPF).warning(MISSING + missing)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("tenantretention.io" in line for line in lines)
