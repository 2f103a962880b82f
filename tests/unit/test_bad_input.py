"""Bad input where rules are pure: hostile names give sound names, limits and defaults of classes are refused by field."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import DataStoreClass
from tenant_retention.api.v1alpha1.tenantretentionpolicy import StoreRequest
from tenant_retention.domain import ledger
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.definition import TableDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ledger import Claimant
from tenant_retention.domain.names import StoreIdentity, bounded
from tenant_retention.domain.servers import ServerFacts
from tenant_retention.domain.topology import WantedStore, bytes_of, choose_class

DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
DATABASE = re.compile(r"[a-z][a-z0-9_]{0,47}")
BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
HOSTILE = [
    "o'brien", 'say "hi"', "a; DROP DATABASE postgres; --", "nul\0byte", "two\nlines", "n" * 300, "", "-", "日本", "../..",
    "%s{0}", "1starts-with-a-digit", "UPPER", "a_b", "xn--a",
]  # fmt: skip


def assert_sound(identity: StoreIdentity) -> None:
    """Names that PostgreSQL, S3 and Kubernetes take without quoting, and that leave room for the suffixes of roles."""
    assert DNS_LABEL.fullmatch(identity.store_id()), identity.store_id()
    assert BUCKET.fullmatch(identity.bucket()), identity.bucket()
    assert DATABASE.fullmatch(identity.database()), identity.database()
    roles = DatabaseRoles.of(identity.database())
    assert all(len(name.encode()) <= 63 for name in (roles.owner, *roles.groups(), *roles.logins()))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_name_becomes_a_name_that_every_store_takes__X2(hostile: str) -> None:
    assert_sound(StoreIdentity("installation", hostile, hostile, "Analytical", unit=hostile))


@given(st.tuples(*[st.text(max_size=80)] * 4))
def test_whatever_the_names_are_the_stores_names_are_sound__X2(parts: tuple[str, str, str, str]) -> None:
    namespace, policy, region, unit = parts
    assert_sound(StoreIdentity("installation", namespace, policy, "Content", region, unit))


def test_names_that_read_alike_or_are_equal_after_cutting_stay_apart__X2() -> None:
    long = "n" * 300
    pairs = [
        ("a", "b-c"),
        ("a-b", "c"),
        ("a.b", "c"),
        ("A-B", "c"),
        (long + "1", "p"),
        (long + "2", "p"),
        ("p", long + "1"),
    ]
    identities = [StoreIdentity("i", namespace, policy, "Analytical") for namespace, policy in pairs]
    identities.append(StoreIdentity("another installation", "a", "b-c", "Analytical"))
    for one, other in itertools.combinations(identities, 2):
        assert one.database() != other.database()
        assert one.bucket() != other.bucket()
        assert one.store_id() != other.store_id()


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_two_names_cut_to_one_length_stay_two(one: str, other: str) -> None:
    cut = [bounded(name, 40) for name in (one, other)]
    assert (cut[0] == cut[1]) == (one == other)
    assert all(len(name.encode()) <= 40 for name in cut if name.isascii())


def store_class(name: str = "pg", **spec: Any) -> DataStoreClass:
    """A class of embedded PostgreSQL servers."""
    return DataStoreClass.from_object(
        {
            "apiVersion": "tenantretention.io/v1alpha1",
            "kind": "DataStoreClass",
            "metadata": {"name": name, "uid": f"uid of {name}", "generation": 1},
            "spec": {"type": "PostgreSQL", "provisioner": "Embedded", "default": True, **spec},
        }
    )


def made_from(found: DataStoreClass, namespace: str, policy: str) -> DataStore:
    """The ledger entry of a store of that class."""
    identity = StoreIdentity("i", namespace, policy, "Analytical")
    return DataStore.from_object(ledger.entry(identity, Claimant(namespace, "1", policy, "2"), found))


def refusal(
    classes: list[DataStoreClass], request: StoreRequest | None = None, entries: tuple[DataStore, ...] = ()
) -> Invalid:
    """What choosing a class for a new store is refused with."""
    wanted = WantedStore("Analytical", "PostgreSQL", request)
    with pytest.raises(Invalid) as refused:
        choose_class(wanted, classes, namespace="customer-acme", namespace_labels={}, ledger=entries)
    return refused.value


@pytest.mark.parametrize(
    "defaults, named, step",
    [
        (
            [],
            "none",
            "set spec.default: true on one (kubectl get dsc), or name one in spec.stores[Analytical].className",
        ),
        (["one", "two"], "one, two", "set spec.default: false on all but one of them, or name one in spec.stores["),
    ],
)
def test_without_exactly_one_default_class_the_field_to_fill_in_and_the_next_step_are_named(
    defaults: list[str], named: str, step: str
) -> None:
    error = refusal([*map(store_class, defaults), store_class("not default", default=False)])
    assert (error.reason, error.field) == ("NoDefaultClass", "spec.stores[Analytical].className")
    assert f"are: {named};" in error.message
    assert step in error.message


def test_one_store_more_than_a_class_allows_is_refused_with_the_limit_and_other_namespaces_do_not_count() -> None:
    limited = store_class(limits={"storesPerNamespace": 1})
    entries = (made_from(limited, "customer-acme", "other"), made_from(limited, "customer-globex", "acme"))
    error = refusal([limited], entries=entries)
    assert (error.reason, error.field) == ("ClassLimitExceeded", "spec.stores[Analytical].className")
    assert "has 1 stores of class pg, the limit is 1" in error.message
    assert "raise the limit or name another class" in error.message
    wanted = WantedStore("Analytical", "PostgreSQL", None)
    assert choose_class(wanted, [limited], namespace="ns", namespace_labels={}, ledger=entries[1:]) is limited


@pytest.mark.parametrize("asked", ["11Gi", "10241Mi", "10737418241", "1Ti"])
def test_more_storage_than_a_class_allows_is_refused_with_both_amounts(asked: str) -> None:
    error = refusal(
        [store_class(limits={"storagePerStore": "10Gi"})], StoreRequest(purpose="Analytical", storage=asked)
    )
    assert (error.reason, error.field) == ("ClassLimitExceeded", "spec.stores[Analytical].storage")
    assert f"{asked} is more than 10Gi" in error.message


@pytest.mark.parametrize("text", ["", "lots", "10GiB", "-1Gi", "1e3", "10 Gi", "٣Gi"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid, match="write for example 10Gi"):
        bytes_of(text)


@pytest.mark.parametrize(
    "name", ["", "n" * 64, "n" * 300, "日" * 22, "nul\0byte"], ids=["empty", "64", "300", "66", "NUL"]
)
@pytest.mark.parametrize("place", ["table", "column", "birth"])
def test_a_name_that_postgresql_would_cut_is_refused_before_it_gets_there__X2(name: str, place: str) -> None:
    column = {"name": name if place == "column" else "id", "type": "Text"}
    table = {"name": name if place == "table" else "calls", "bornAt": name if place == "birth" else "started_at"}
    with pytest.raises(ValidationError, match="1 to 63 bytes and no NUL; change the profile"):
        TableDefinition.model_validate(
            {**table, "primaryKey": ["id"], "back": "P1Y", "ahead": "P1M", "columns": [column]}
        )


@pytest.mark.parametrize("seconds, told", [(0.003, 1), (1.0, 1), (1.001, 2)])
def test_a_server_that_answers_slowly_is_said_to_be_slow_without_a_figure_that_moves__D7(
    seconds: float, told: int
) -> None:
    facts = ServerFacts(170_002, timedelta(seconds=seconds), "TLSv1.3", True, True, superuser=False)
    words = facts.words()
    assert words[0] == "PostgreSQL 17.2, TLSv1.3"
    assert len(words) == told
    assert told == 1 or "put the server nearer or relieve it" in words[1]
