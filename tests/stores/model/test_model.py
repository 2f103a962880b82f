"""The engine against the reference model, over as many simulated days as are asked for.

``MODEL_TENANT_DAYS`` (10,000; ``make soak``: 1,000,000) and ``MODEL_SEED``: the same seed lives the same lives.
The log tells how far it is and how fast; ``make soak`` shows it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stores.conftest import SHOWN
from tests.stores.model.lives import lives_in
from tests.stores.model.tenants import BEGINS, ModelWorld
from tests.stores.servers.install import NEWEST
from tests.stores.servers.postgres import SUMMER_TIME, running_postgres
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import TenantDatabases

LIVES_AT_ONCE = 5
"""Drawn from one seed; the first of them is always the shortest there is."""


@pytest.fixture
def world(seaweedfs: S3Server) -> Iterator[ModelWorld]:
    """The newest PostgreSQL, with a clock of its own, in a time zone with summer time, and an object store."""
    with running_postgres(NEWEST, SUMMER_TIME + "log_statement = 'none'\n", own_clock=True) as process:
        assert process.clock is not None
        process.clock.set(BEGINS)
        databases = TenantDatabases(process)
        yield ModelWorld(process.clock, databases, seaweedfs)
        databases.close()


@pytest.mark.timeout(0)
def test_after_every_step_the_stores_hold_what_the_reference_model_says__D3_M5_M7_M8_M10_P2_P4_P10_T5_T6_X1_X2_X3_X7_X9(
    world: ModelWorld, record_property: Callable[[str, object], None]
) -> None:
    days = int(os.environ.get("MODEL_TENANT_DAYS", "10000"))
    first = int(os.environ.get("MODEL_SEED", "5"))
    quiet = settings(
        max_examples=LIVES_AT_ONCE,
        stateful_step_count=50,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    lived, began = 0, time.monotonic()
    while world.tenant_days < days:
        number = first + lived
        try:
            run_state_machine_as_test(seed(number)(lives_in(world)), settings=quiet)
        except BaseException as failure:
            failure.add_note(f"the model's seed: repeat it alone with MODEL_SEED={number} MODEL_TENANT_DAYS=1")
            raise
        lived += 1
        rate = world.tenant_days / (time.monotonic() - began)
        logging.getLogger("model").info(
            "seed %d, %d of %d tenant-days, %.0f a minute, %.1f hours to go",
            *(number, world.tenant_days, days, 60 * rate, max(days - world.tenant_days, 0) / rate / 3600),
        )
    record_property(
        SHOWN,
        f"model: seed {first}, {world.tenant_days:,} tenant-days, {world.nights:,} nights {world.outcomes}, "
        f"{world.removed:,} rows removed, {world.unwanted:,} of them found unwanted, "
        f"{world.anonymized:,} without the person, {world.archived:,} archived, {world.backups:,} backups, "
        f"{world.steps:,} comparisons",
    )
    assert min(world.removed, world.unwanted, world.anonymized, world.archived, world.backups) > 0
