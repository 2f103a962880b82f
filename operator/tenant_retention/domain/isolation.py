"""Which of a shared server's databases or buckets one look of the isolation probe tries: few, but all in turn; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SAMPLE = 20
"""Databases of others in one look: a look every quarter of an hour reaches 1,900 a day."""
BUCKET_SAMPLE = 5
"""Buckets of others in one look, each with a dozen requests a key: 480 a day."""


@dataclass(frozen=True)
class ProbeReport:
    """One look. ``breaches``: what a login or key reached and must not; ``tried`` of ``others``: databases or buckets of the
    server that are not its own; ``last``: the one after which the next look goes on."""

    breaches: tuple[str, ...]
    tried: int
    others: int
    last: str


def next_sample(names: Iterable[str], own: str, after: str, size: int = SAMPLE) -> tuple[str, ...]:
    """The ``size`` names that follow ``after`` in a circle, without ``own``.

    By name and not by number: those that come and go between two looks make none of the others wait a second round.
    """
    others = sorted(set(names) - {own})
    later = [name for name in others if name > after]
    return tuple([*later, *others[: len(others) - len(later)]][:size])
