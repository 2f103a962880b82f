"""What the operator process is told from outside. Read once, in ``__main__``; passed on as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenant_retention.domain.errors import Invalid


@dataclass(frozen=True)
class Settings:
    """Where the operator runs and what it makes servers and jobs from. Durations in seconds.

    ``installation``: empty means the UID of kube-system. ``watch_namespaces``: empty means all.
    ``store_threads``: how many store calls (database, bucket) run at once in the whole process; ``per_backend``: against
    one server. ``run_grace_seconds``: how late a scheduled run may be before the operator starts it itself.
    """

    namespace: str
    service_account: str
    tenant_cluster_role: str
    installation: str
    watch_namespaces: tuple[str, ...]
    job_image: str
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...]
    embedded_classes: bool
    postgresql_image: str
    seaweedfs_image: str
    cloudnativepg_namespace: str
    resync_seconds: float
    log_level: str
    instance: str
    http_port: int = 8080
    workers: int = 8
    store_threads: int = 12
    per_backend: int = 3
    run_grace_seconds: float = 600.0


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of this process. Raises Invalid naming the variable that is missing or wrong."""

    def text(name: str, default: str | None = None) -> str:
        value = environment.get(name, "").strip() or default
        if value is None:
            raise Invalid(f"{name}: the environment variable is missing; the chart sets it", field=name)
        return value

    def number(name: str, default: float, least: float) -> float:
        value = text(name, str(default))
        try:
            parsed = float(value)
        except ValueError:
            parsed = float("nan")
        if not parsed >= least:
            raise Invalid(f"{name}: {value!r} is not a number of at least {least:g}", field=name)
        return parsed

    def words(name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in environment.get(name, "").split(",") if word.strip())

    return Settings(
        namespace=text("OPERATOR_NAMESPACE"),
        service_account=text("OPERATOR_SERVICE_ACCOUNT", "tenant-retention-operator"),
        tenant_cluster_role=text("TENANT_CLUSTER_ROLE", "tenant-retention-operator-tenant"),
        installation=environment.get("INSTALLATION_ID", "").strip(),
        watch_namespaces=words("WATCH_NAMESPACES"),
        job_image=text("JOB_IMAGE"),
        image_pull_policy=text("JOB_IMAGE_PULL_POLICY", "IfNotPresent"),
        image_pull_secrets=words("JOB_IMAGE_PULL_SECRETS"),
        embedded_classes=text("EMBEDDED_CLASSES", "true").lower() != "false",
        postgresql_image=text("EMBEDDED_POSTGRESQL_IMAGE"),
        seaweedfs_image=text("EMBEDDED_SEAWEEDFS_IMAGE"),
        cloudnativepg_namespace=text("CLOUDNATIVEPG_NAMESPACE", "cnpg-system"),
        resync_seconds=number("RESYNC_INTERVAL_SECONDS", 60, 1),
        log_level=text("LOG_LEVEL", "INFO").upper(),
        instance=text("HOSTNAME", "tenant-retention-operator"),
        http_port=int(number("HTTP_PORT", 8080, 1)),
        workers=int(number("WORKERS", 8, 1)),
        store_threads=int(number("STORE_THREADS", 12, 1)),
        per_backend=int(number("STORE_CALLS_PER_SERVER", 3, 1)),
        run_grace_seconds=number("RUN_GRACE_SECONDS", 600, 1),
    )
