"""Servers for the store tests; each is started once a session, when the first test asks for it."""

import pytest

from tests.stores.backed_up import backed_up, backups_stencil
from tests.stores.enforcement_archive import acme, archive_stencil, logs_stencil
from tests.stores.object_stores import object_store
from tests.stores.servers.postgres import (
    choose_versions,
    postgres15_process,
    postgres17,
    postgres17_process,
    postgres18_process,
    postgres_process,
    postgres_server,
    quick_logins,
)
from tests.stores.servers.s3 import minio_server, s3_server, seaweedfs
from tests.stores.servers.valkey import valkey
from tests.stores.tenant_databases import tenant_databases

SHOWN = "shown"
"""The property of a test whose text stands in the summary: what it measured, whichever process ran it."""

__all__ = [
    "SHOWN",
    "acme",
    "archive_stencil",
    "backed_up",
    "backups_stencil",
    "logs_stencil",
    "minio_server",
    "object_store",
    "postgres15_process",
    "postgres17",
    "postgres17_process",
    "postgres18_process",
    "postgres_process",
    "postgres_server",
    "quick_logins",
    "s3_server",
    "seaweedfs",
    "tenant_databases",
    "valkey",
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On which PostgreSQL a test runs."""
    choose_versions(metafunc)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded to be shown."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == SHOWN and report.when == "call":
                terminalreporter.write_line(text)
