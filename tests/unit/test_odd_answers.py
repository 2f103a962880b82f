"""What a database tells that no reader can hold ends one piece of work, and says which field it was (X6, X8)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tenant_retention.adapters.postgres.failures import answer
from tenant_retention.domain.conditions import instant, moment
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.enforcement import RangeBatch


def test_an_answer_that_cannot_be_read_names_its_field_and_no_value__X6() -> None:
    with pytest.raises(Invalid) as refused:
        answer(RangeBatch, {"deleted": 1, "resumeAfter": "0026-11-22T00:00:00+00:00 BC"})
    assert refused.value.reason == "Unforeseen"
    assert "RangeBatch: resumeAfter" in refused.value.message
    assert "0026" not in refused.value.message


@pytest.mark.parametrize("year", [1, 26, 9999])
def test_an_instant_of_any_year_is_read_back_as_it_was_written(year: int) -> None:
    at = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert instant(at) == f"{year:04d}-12-31T23:59:59Z"
    assert moment(instant(at)) == at
