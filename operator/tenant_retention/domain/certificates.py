"""When certificates of embedded servers change: pure decisions over facts and a given time (PROVISIONING.md section 2).

A certificate authority is replaced with an overlap: the successor is made and told to every client first (it is part of
the bundle), a week later it signs, and the old one stays in the bundle until it ends. So at no time does a client that
read its binding within the last week meet a server certificate that it cannot verify.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=365)
"""A new server certificate restarts the server, so not shorter; 90 days would mean six restarts a year."""
OVERLAP = timedelta(days=7)
"""How long a new authority is only told before it signs."""
BACKDATED = timedelta(hours=1)
"""Certificates begin this long before they are made, for clients whose clock is behind."""


@dataclass(frozen=True)
class Authority:
    """One certificate authority: PEM certificate, its key (None once it no longer signs), instants in UTC."""

    certificate: str
    key: str | None = field(repr=False)
    made: datetime
    expires: datetime


@dataclass(frozen=True)
class AuthorityState:
    """``current`` signs; ``following`` will; ``previous`` did. All of them are believed."""

    current: Authority
    following: Authority | None = None
    previous: Authority | None = None

    def bundle(self) -> str:
        """What clients verify with: every authority that may have signed a server certificate in use, PEM."""
        known = (self.current, self.following, self.previous)
        return "".join(authority.certificate for authority in known if authority is not None)


class AuthorityStep(StrEnum):
    """What is to be done with the authority now."""

    KEEP = "Keep"
    CREATE = "Create"
    PREPARE = "Prepare"
    PROMOTE = "Promote"
    FORGET = "Forget"


def authority_step(state: AuthorityState | None, now: datetime) -> AuthorityStep:
    """The one next step. Prepares a successor when two thirds of the life are over."""
    if state is None:
        return AuthorityStep.CREATE
    if state.following is not None and (now >= state.following.made + OVERLAP or state.current.expires <= now):
        return AuthorityStep.PROMOTE
    if state.current.expires <= now:
        return AuthorityStep.CREATE
    if state.following is None and now >= _two_thirds(state.current.made, state.current.expires):
        return AuthorityStep.PREPARE
    if state.previous is not None and state.previous.expires <= now:
        return AuthorityStep.FORGET
    return AuthorityStep.KEEP


def advance(state: AuthorityState | None, now: datetime, make: Callable[[datetime], Authority]) -> AuthorityState:
    """The state after every step that is due at ``now``; ``make`` makes a new authority. The same state if none is."""
    current = AuthorityState(make(now)) if state is None else state
    while (step := authority_step(current, now)) is not AuthorityStep.KEEP:
        current = _after(current, step, now, make)
    return current


class RenewalReason(StrEnum):
    """Why a server certificate is made anew."""

    MISSING = "Missing"
    OTHER_NAMES = "OtherNames"
    OTHER_AUTHORITY = "OtherAuthority"
    OTHER_KEY = "OtherKey"
    DUE = "Due"


@dataclass(frozen=True)
class CertificateFacts:
    """What a server certificate says. ``signed_by_current``: by the authority that signs now, verified."""

    dns_names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    signed_by_current: bool
    key_matches: bool


def renewal_reason(found: CertificateFacts | None, dns_names: tuple[str, ...], now: datetime) -> RenewalReason | None:
    """Why the server certificate must be replaced, None if it is as wanted. Due when two thirds of its life are over."""
    if found is None:
        return RenewalReason.MISSING
    if not found.key_matches:
        return RenewalReason.OTHER_KEY
    if set(found.dns_names) != set(dns_names):
        return RenewalReason.OTHER_NAMES
    if not found.signed_by_current:
        return RenewalReason.OTHER_AUTHORITY
    if now >= _two_thirds(found.not_before, found.not_after) or now < found.not_before:
        return RenewalReason.DUE
    return None


def _after(
    state: AuthorityState, step: AuthorityStep, now: datetime, make: Callable[[datetime], Authority]
) -> AuthorityState:
    if step is AuthorityStep.PREPARE:
        return replace(state, following=make(now))
    if step is AuthorityStep.FORGET:
        return replace(state, previous=None)
    retired = replace(state.current, key=None) if state.current.expires > now else None
    if step is AuthorityStep.PROMOTE and state.following is not None:
        return AuthorityState(state.following, None, retired)
    return AuthorityState(make(now), None, retired)


def _two_thirds(begin: datetime, end: datetime) -> datetime:
    return begin + (end - begin) * 2 / 3
