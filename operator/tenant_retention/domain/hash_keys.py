"""One key of method Hash for all databases of a policy, so that one person has one hash everywhere (P12): who gets whose; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

APART = (
    "hashes of this database have a key of their own, made before all databases of a policy shared one, or while the others were "
    "away: a person has another hash here than in {first}; both keys are kept, see docs/anonymization.md to end them"
)


@dataclass(frozen=True)
class HashKeyState:
    """What one database says of its key, which itself stays there. ``needed``: it has a column that is hashed; ``fingerprint``:
    of the key that it has, None: it has none; ``destroyed``: fingerprints of keys that were destroyed in it."""

    needed: bool = False
    fingerprint: str | None = None
    destroyed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class HashKeyPlan:
    """Names of databases. ``destroy``: their key was destroyed in another one; ``targets``: get the key of ``source``, which makes
    one if it has none; ``apart``: have another key than ``first``, from before."""

    destroy: tuple[str, ...] = ()
    source: str | None = None
    targets: tuple[str, ...] = ()
    first: str | None = None
    apart: tuple[str, ...] = ()


def plan_hash_keys(states: Mapping[str, HashKeyState], *, whole: bool) -> HashKeyPlan:
    """``states``: of a policy's databases, the homes first. ``whole``: there are no others; one that is away may have the key.

    A key that is there is never replaced: its hashes could not be linked with new ones any more.
    """
    destroyed = frozenset(fingerprint for state in states.values() for fingerprint in state.destroyed)
    keys = {name: each.fingerprint for name, each in states.items() if each.fingerprint not in {None, *destroyed}}
    first = next(iter(keys), None)
    lacking = tuple(name for name, state in states.items() if state.needed and name not in keys)
    source = first or (lacking[0] if lacking and whole else None)
    return HashKeyPlan(
        destroy=tuple(name for name, state in states.items() if state.fingerprint in destroyed),
        source=source if lacking else None,
        targets=tuple(name for name in lacking if name != source) if source else (),
        first=first,
        apart=tuple(name for name, key in keys.items() if first is not None and key != keys[first]),
    )
