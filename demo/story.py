"""What the chapters of the demo share: the cluster, the customers, and what came of the chapters before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.customers import CUSTOMERS, Customer
from demo.kubectl import Kubectl
from demo.progress import tell_progress


@dataclass
class Story:
    """What the chapters share: the cluster, and per customer the jobs that were loaded and the policy that holds now."""

    kubectl: Kubectl
    root: Path
    customers: tuple[Customer, ...] = CUSTOMERS
    jobs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)

    def policy(self, customer: Customer) -> Any:
        """The customer's policy as the cluster holds it."""
        return self.kubectl.get("-n", customer.namespace, "trp", customer.name)

    def compliance(self, customer: Customer) -> dict[str, str]:
        """The condition Compliant of the customer's policy."""
        conditions = self.policy(customer)["status"]["conditions"]
        return next(each for each in conditions if each["type"] == "Compliant")

    def customer(self, name: str) -> Customer | None:
        """The one whose policy has this name; None where the story is told without it."""
        return next((customer for customer in self.customers if customer.name == name), None)

    def all_customers(self, what: str, act: Callable[[Customer], Any], *some: Customer) -> list[Any]:
        """Does the same for every customer, or for ``some``, at once, and tells how many are done; the results in order."""
        customers = some or self.customers
        with ThreadPoolExecutor(len(customers)) as pool:
            futures = [pool.submit(act, customer) for customer in customers]
            tell_progress(what, futures)
            return [future.result() for future in futures]
