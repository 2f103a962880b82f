"""A tenant's cache: one contract on the server in memory and on Valkey 8.1 over TLS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tenant_retention.adapters.cache.provisioning import provision_cache
from tenant_retention.domain.caches import CacheRole, CacheStep, CacheUser, ObservedCache, SetUser, WantedCache
from tenant_retention.domain.errors import Invalid, StoreReleased
from tenant_retention.domain.ports.caches import CacheAdministration, EnforcementCache
from tests.stores.cache_servers import CacheSite, FakeSite, cache_of, opened_to_everything, real_site
from tests.stores.servers.valkey import ValkeyProcess

ACME = cache_of("acme")


class Killed(Exception):
    """The operator's process ended."""


class KilledAfter:
    """Passes so many calls with an effect on, then ends."""

    def __init__(self, administration: CacheAdministration, calls: int) -> None:
        self._administration = administration
        self._left = calls

    def check(self) -> tuple[str, ...]:
        return self._administration.check()

    def observe(self, wanted: WantedCache) -> ObservedCache:
        return self._administration.observe(wanted)

    def apply(self, step: CacheStep) -> None:
        self._administration.apply(step)
        self._end()

    def save(self) -> None:
        self._administration.save()
        self._end()

    def _end(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed


def all_keys(cache: EnforcementCache, count: int = 3) -> dict[bytes, int | None]:
    found: dict[bytes, int | None] = {}
    cursor = 0
    while True:
        page = cache.keys(cursor, count)
        found |= {key.name: key.milliseconds for key in page.keys}
        cursor = page.cursor
        if cursor == 0:
            return found


class CacheContract(ABC):
    """The contract; subclasses say which server."""

    @pytest.fixture
    @abstractmethod
    def site(self) -> Any:
        """The server."""

    def test_a_cache_is_made_once_and_a_second_look_changes_nothing__D1(self, site: CacheSite) -> None:
        made = provision_cache(site.administration, ACME)
        assert len(made) == 4
        assert provision_cache(site.administration, ACME) == ()

    @pytest.mark.parametrize("role", list(CacheRole))
    def test_a_user_that_somebody_opened_or_locked_out_is_put_right__X2(self, site: CacheSite, role: CacheRole) -> None:
        provision_cache(site.administration, ACME)
        name = ACME.username(role)
        user = ACME.users()[name]
        for changed in (opened_to_everything(user), replace(user, flags=frozenset({"off"})), _without_password(user)):
            site.change_user(name, changed)
            assert provision_cache(site.administration, ACME) == (f"user {name} put right",)

    def test_a_new_password_ends_the_old_one(self, site: CacheSite) -> None:
        provision_cache(site.administration, ACME)
        provision_cache(site.administration, replace(ACME, passwords={**ACME.passwords, CacheRole.ENFORCER: "new"}))
        assert site.enforcer(ACME, "new").keys(0, 10).keys == ()
        with pytest.raises(Invalid) as refused:
            site.enforcer(ACME).keys(0, 10)
        assert refused.value.reason == "AuthenticationFailed"

    @pytest.mark.parametrize("calls", [1, 2, 3, 4, 5, 6])
    def test_a_kill_after_any_effect_is_continued_by_the_next_look(self, site: CacheSite, calls: int) -> None:
        with pytest.raises(Killed):
            provision_cache(KilledAfter(site.administration, calls), ACME)
        provision_cache(site.administration, ACME)
        assert provision_cache(site.administration, ACME) == ()
        assert site.enforcer(ACME).keys(0, 10).keys == ()

    def test_a_server_serves_one_namespace_and_the_second_one_changes_nothing__X2(self, site: CacheSite) -> None:
        provision_cache(site.administration, ACME)
        other = cache_of("acme", namespace="customer-globex")
        with pytest.raises(Invalid, match="already serves namespace customer-acme") as refused:
            provision_cache(KilledAfter(site.administration, 1), other)
        assert refused.value.reason == "StoreConflict"
        assert site.administration.observe(other).users == {}
        assert provision_cache(site.administration, ACME) == ()

    def test_two_namespaces_that_claim_a_server_at_once_both_step_back__X2(self, site: CacheSite) -> None:
        other = cache_of("acme", namespace="customer-globex")

        class Meanwhile(KilledAfter):
            def apply(self, step: CacheStep) -> None:
                super().apply(step)
                if isinstance(step, SetUser):
                    site.change_user(other.owner, other.users()[other.owner])

        with pytest.raises(Invalid, match="serves one namespace"):
            provision_cache(Meanwhile(site.administration, 100), ACME)
        assert site.administration.observe(ACME).users == {}

    def test_several_policies_of_a_namespace_share_a_server_by_prefix(self, site: CacheSite) -> None:
        second = cache_of("acme-2")
        provision_cache(site.administration, ACME)
        provision_cache(site.administration, second)
        site.write(b"%b1" % ACME.prefix.encode())
        site.write(b"%b2" % second.prefix.encode())
        assert set(all_keys(site.enforcer(ACME))) == {f"{ACME.prefix}1".encode()}
        for act in (site.enforcer(ACME).remove, site.enforcer(ACME).keep):
            with pytest.raises(Invalid) as refused:
                act([f"{second.prefix}2".encode()])
            assert refused.value.reason == "PrivilegesMissing"

    def test_a_cache_of_an_earlier_policy_waits_for_an_administrator__X5(self, site: CacheSite) -> None:
        provision_cache(site.administration, ACME)
        later = cache_of("acme", policy_uid="p2")
        with pytest.raises(StoreReleased) as released:
            provision_cache(site.administration, later)
        assert (released.value.namespace_uid, released.value.policy_uid) == ("n1", "p1")
        assert len(provision_cache(site.administration, replace(later, confirmed_uids=frozenset({"p1"})))) == 1

    def test_a_server_that_lets_everybody_in_is_refused__X2(self, site: CacheSite) -> None:
        site.open_default(True)
        with pytest.raises(Invalid, match="ACL SETUSER default off") as refused:
            provision_cache(site.administration, ACME)
        assert refused.value.reason == "IsolationBroken"
        site.open_default(False)

    def test_only_keys_of_the_prefix_are_seen_whatever_they_are_called__X2(self, site: CacheSite) -> None:
        provision_cache(site.administration, ACME)
        prefix = ACME.prefix.encode()
        mine = {
            prefix + name for name in (b"", b"a", b"*", b"[a-z]", b"\\", b"\xff\x00\n", b"a:" + prefix, b"x" * 5000)
        }
        others = {b"other", prefix[:-1], prefix[:-1] + b"-2:a", b"x" + prefix + b"a", prefix.upper() + b"a"}
        for name in mine | others:
            site.write(name)
        cache = site.enforcer(ACME)
        assert set(all_keys(cache)) == mine
        assert cache.remove(sorted(mine)) == len(mine)
        assert set(site.living()) == others

    def test_a_life_is_shortened_never_lengthened_and_ends_by_itself__T6(self, site: CacheSite) -> None:
        provision_cache(site.administration, ACME)
        names = {life: f"{ACME.prefix}{life}".encode() for life in (None, 50_000, 500_000)}
        for life, name in names.items():
            site.write(name, life)
        cache = site.enforcer(ACME)
        assert cache.limit_life(dict.fromkeys([*names.values(), f"{ACME.prefix}gone".encode()], 100_000)) == 2
        lives = all_keys(cache)
        assert all(
            life is not None and 50_000 < life <= 100_000 for name, life in lives.items() if name != names[50_000]
        )
        assert 0 < (lives[names[50_000]] or 0) <= 50_000
        assert cache.keep([names[None], f"{ACME.prefix}gone".encode()]) == 1
        assert all_keys(cache)[names[None]] is None

    def test_a_thousand_keys_are_all_found_and_acts_may_be_repeated(self, site: CacheSite) -> None:
        provision_cache(site.administration, ACME)
        names = {f"{ACME.prefix}agents:{number}".encode() for number in range(1_000)}
        for name in names:
            site.write(name)
        cache = site.enforcer(ACME)
        assert set(all_keys(cache, 100)) == names
        assert cache.remove(sorted(names)) == len(names)
        assert cache.remove(sorted(names)) == 0


def _without_password(user: CacheUser) -> CacheUser:
    return replace(user, flags=user.flags | {"nopass"}, passwords=frozenset())


class TestInMemory(CacheContract):
    """The server in memory."""

    @pytest.fixture
    def site(self) -> CacheSite:
        return FakeSite()


class TestValkey(CacheContract):
    """Valkey 8.1 of Debian 13."""

    @pytest.fixture
    def site(self, valkey: ValkeyProcess) -> Iterator[CacheSite]:
        with real_site(valkey) as site:
            yield site
