"""One example of every object that the builders make, shared by the manifest tests."""

from __future__ import annotations

from datetime import UTC, datetime

from tenant_retention.adapters.certificates import issue_server_certificate, make_authority
from tenant_retention.domain.certificates import AuthorityState
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.manifests import (
    bindings,
    jobs,
    metadata,
    networking,
    operator_secrets,
    postgresql,
    seaweedfs,
)
from tenant_retention.domain.manifests.inputs import (
    DnsServers,
    EmbeddedPostgres,
    EmbeddedS3,
    Endpoint,
    EnforcementPod,
    Image,
    OperatorRef,
    PolicyRef,
    PostgresCredentials,
    RunRef,
    S3Credentials,
    ServerCertificate,
)
from tenant_retention.domain.manifests.metadata import Manifest
from tenant_retention.domain.plan_document import PlanDocument, StoreBinding
from tenant_retention.domain.schedule import plan_schedule

NOW = datetime(2026, 11, 22, 1, 37, tzinfo=UTC)
POLICY = PolicyRef("customer-acme", "acme", "0b1c2d3e-0000-4000-8000-000000000001")
OPERATOR = OperatorRef("tenant-retention-system")
RUN = RunRef("first-run", "0b1c2d3e-0000-4000-8000-000000000002")
VERIFIER = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$c3RvcmVkc3RvcmVk:c2VydmVyc2VydmVy"
PASSWORD = "p@ss/w:rd?#%&\\ '\"ü="
CERTIFICATE = ServerCertificate("-----BEGIN CERTIFICATE-----\nexample\n", "-----BEGIN PRIVATE KEY-----\nexample\n")
DEFINITION = RetentionDefinition(
    installation="test",
    namespace=POLICY.namespace,
    policy=POLICY.name,
    policy_uid=POLICY.uid,
    policy_generation=3,
    profile_generation=1,
    margin_seconds=86400,
    guard_percent=25,
    tables=(),
    categories=(),
)
PLAN = PlanDocument(
    definition=DEFINITION,
    rules_digest=DEFINITION.rules_digest(),
    databases=(StoreBinding(purpose="Analytical", binding="/bindings/acme-analytical-enforcer"),),
)
POD = EnforcementPod(
    POLICY,
    Image("localhost/tenant-retention-operator:0.1.0"),
    ("acme-content-enforcer", "acme-analytical-enforcer"),
    jobs.plan_name(POLICY),
)
POSTGRES = EmbeddedPostgres(POLICY, OPERATOR, Image("localhost/postgres:17.11"), CERTIFICATE, VERIFIER)
S3 = EmbeddedS3(
    POLICY,
    OPERATOR,
    Image("localhost/seaweedfs:4.48", pull_secrets=("pull",)),
    CERTIFICATE,
    "admin",
    "s3cr3t",
    "ab" * 32,
)
POSTGRES_CREDENTIALS = PostgresCredentials(
    "acme-postgresql.customer-acme.svc", 5432, "acme_db", "acme_db_app_1", PASSWORD, "-----BEGIN CERTIFICATE-----\n"
)
S3_CREDENTIALS = S3Credentials(
    seaweedfs.endpoint(POLICY), seaweedfs.REGION, "acme-bucket", "AKIA1", "s3cr3t/+", "-----BEGIN CERTIFICATE-----\n"
)


def schedule_objects() -> tuple[Manifest, ...]:
    """What may vanish with the policy."""
    schedule = plan_schedule(POLICY.namespace, POLICY.name, "expire", time_zone="Europe/Amsterdam")
    return (
        jobs.plan_config_map(POLICY, PLAN),
        jobs.plan_config_map(POLICY, PLAN, RUN),
        jobs.cron_job(POD, schedule),
        jobs.one_off_job(POD, jobs.missed_job_name(POLICY, NOW), active_deadline_seconds=3600),
        jobs.one_off_job(POD, jobs.run_job_name(POLICY, RUN), active_deadline_seconds=3600, run=RUN),
        networking.jobs_network_policy(
            POLICY, DnsServers(), (Endpoint("pg.example.com", 5433), Endpoint("10.0.0.7", 5432))
        ),
    )


def lasting_objects() -> tuple[Manifest, ...]:
    """What holds data or its credentials, or guards them."""
    authority = make_authority(NOW)
    issued = issue_server_certificate(authority, metadata.server_dns_names(POLICY, "postgresql"), NOW)
    return (
        *postgresql.embedded_postgresql(POSTGRES),
        *postgresql.embedded_postgresql(
            EmbeddedPostgres(POLICY, OPERATOR, Image("localhost/postgres:15.18"), issued, VERIFIER, "50Gi", "fast")
        ),
        *seaweedfs.embedded_s3(S3),
        bindings.postgres_binding(POLICY, "Analytical", "app", POSTGRES_CREDENTIALS, "store-1"),
        bindings.s3_binding(POLICY, "Content", "app", S3_CREDENTIALS, "store-2"),
        operator_secrets.administrator_secret(
            OPERATOR, POLICY, "postgresql-admin", {"username": "tro_admin", "password": "x"}
        ),
        operator_secrets.observer_secret(OPERATOR, POLICY, "Analytical", POSTGRES_CREDENTIALS),
        operator_secrets.authority_secret(OPERATOR, AuthorityState(authority)),
        operator_secrets.tenant_role_binding(OPERATOR, POLICY.namespace),
    )


def every_object() -> tuple[Manifest, ...]:
    """All of them."""
    return (*lasting_objects(), *schedule_objects())


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> Manifest:
    """The only object of ``kind`` among some."""
    (found,) = (one for one in manifests if one["kind"] == kind)
    return found
