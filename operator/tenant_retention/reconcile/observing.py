"""Reading what a database says by its observer's login: the same for stores that are kept up and for those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from tenant_retention.adapters.tenant_stores import observer_user
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ledger import place_of
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.operator_secrets import administrator_secret
from tenant_retention.domain.names import Place
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.cluster import SECRET, Manifest
from tenant_retention.domain.ports.evidence import RunEvidence
from tenant_retention.domain.ports.observation import DatabaseFacts
from tenant_retention.domain.ports.stores import DatabaseLogin, DatabaseServer
from tenant_retention.domain.run_status import SUCCEEDED, outcome
from tenant_retention.domain.store_status import evidence_hash
from tenant_retention.reconcile.world import World, secret_values

ANCHOR_SEARCH = 400
"""Among how many of the newest links the anchored one must be: half a year of nights between two looks."""

_FEW = 4
"""The night's run is before the backup that came after it."""


async def observer(world: World, entry: DataStore, reference: PolicyRef, server: DatabaseServer) -> DatabaseLogin:
    """The observer's login at a store's database. Raises Invalid (SecretNotFound) where its password is lost."""
    passwords = await kept_passwords(world, reference, place_of(entry.spec))
    if "observer" not in passwords:
        raise Invalid(
            f"the observer's password of database {entry.spec.name} is lost, so its debt is not counted; bind the "
            "store to a policy again (spec.claimRef), which makes a new one",
            reason=Reason.SECRET_NOT_FOUND,
        )
    database = entry.spec.name
    user = observer_user(database)
    return DatabaseLogin(server.host, server.port, database, user, passwords["observer"], server.ca)


async def count(world: World, entry: DataStore, login: DatabaseLogin) -> DatabaseFacts:
    """What the observer reads. A chain that lost the link that the ledger anchored is not intact (X6)."""
    facts = await world.call(login.host, world.stores.observe_database, login)
    anchor = entry.status.evidence_head
    if anchor is None or (facts.latest_run is not None and evidence_hash(facts.latest_run) == anchor.hash):
        return facts
    links = await world.call(login.host, world.stores.evidence, login, ANCHOR_SEARCH)
    if any(evidence_hash(link) == anchor.hash for link in links):
        return facts
    return facts.model_copy(update={"chain_intact": False})


async def newest_runs(world: World, login: DatabaseLogin, facts: DatabaseFacts, mode: Mode) -> tuple[RunEvidence, ...]:
    """The newest runs' evidence, newest first; no more than a few where one of them counts for a policy of this mode and ended
    well."""
    latest = facts.latest_run
    if latest is None:
        return ()
    if latest.act is None and _ended_well(latest, mode):
        return (latest,)
    runs: tuple[RunEvidence, ...] = ()
    for limit in (_FEW, ANCHOR_SEARCH):
        links = await world.call(login.host, world.stores.evidence, login, limit)
        runs = tuple(link for link in links if link.act is None)
        if any(_ended_well(run, mode) for run in runs):
            break
    return runs


def night_of(runs: Sequence[RunEvidence], mode: Mode) -> RunEvidence | None:
    """The newest run of those that a policy of this mode wants: one by hand that was dry, or limited to some categories,
    proves and hides no night."""
    nights = (run for run in runs if not run.limited_to)
    return next((run for run in nights if mode is Mode.DRY_RUN or run.mode is mode), None)


def made_room(runs: Sequence[RunEvidence], mode: Mode, digest: str) -> bool:
    """Whether a run by these rules has ended well since they are in force: one that failed, or that the guard stopped, has left
    what must be gone by them. ``runs``: see ``newest_runs``."""
    return any(_ended_well(run, mode) for run in takewhile(lambda run: run.rules_digest == digest, runs))


def _ended_well(run: RunEvidence, mode: Mode) -> bool:
    return night_of((run,), mode) is not None and outcome({"": run}) == SUCCEEDED


def logins_secret(world: World, reference: PolicyRef, place: Place) -> Manifest:
    """The Secret of the operator's namespace that keeps the passwords of one database's logins, by role."""
    return administrator_secret(world.operator, reference, f"{place.label}-logins", {})


async def kept_passwords(world: World, reference: PolicyRef, place: Place) -> dict[str, str]:
    """The passwords that are kept; empty if there are none."""
    meta = logins_secret(world, reference, place)["metadata"]
    return secret_values(await world.cluster.get(SECRET, meta["name"], meta["namespace"]))
