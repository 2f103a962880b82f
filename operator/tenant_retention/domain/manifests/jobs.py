"""The nightly CronJob, its plan, and single Jobs from the same pod (EXPECTATIONS.md, "Jobs"). All of it may go with the policy."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests.inputs import Amounts, EnforcementPod, PolicyRef, RequestRef, Resources, RunRef
from tenant_retention.domain.manifests.metadata import (
    GROUP,
    LABEL_LIMIT,
    SECRET_MODE,
    Manifest,
    container_security,
    labels,
    manifest,
    owner_reference,
    pod_security,
    resource_requirements,
)
from tenant_retention.domain.manifests.networking import JOB_COMPONENT
from tenant_retention.domain.manifests.servers import scratch, secret_volume
from tenant_retention.domain.names import CRON_JOB_NAME_LIMIT, OBJECT_NAME_LIMIT, bounded
from tenant_retention.domain.plan_document import PlanDocument, Task
from tenant_retention.domain.schedule import Schedule

PLAN_KEY: Final = "plan.json"
PLAN_MOUNT: Final = "/plan"
BINDINGS_MOUNT: Final = "/bindings"
TASK_LABEL: Final = f"{GROUP}/task"
RUN_LABEL: Final = f"{GROUP}/run"
REQUEST_LABEL: Final = f"{GROUP}/request"
SUBJECT_MOUNT: Final = "/subject"
USER: Final = 65532
CONTAINER: Final = "enforcement"
COMMAND: Final = ("python3", "-m", "tenant_retention.enforcement", "--plan", f"{PLAN_MOUNT}/{PLAN_KEY}")
BAD_CONFIGURATION_EXIT_CODE: Final = 1
"""The engine's exit code for what no retry can cure; the Job fails at once."""
RETRIES: Final = 2
FINISHED_JOB_SECONDS: Final = 3 * 24 * 3600
"""Long enough for a weekend's look at a failed run; the evidence itself is in the database."""
# Measured: 69 MiB at most and 1 s of CPU for a run over 100,000 rows and 2,000 objects (peak resident set of the process);
# importing alone takes 64 MiB. Batches bound the rest, whatever the table's size.
DEFAULT_RESOURCES: Final = Resources(
    requests=Amounts(cpu="50m", memory="96Mi"),
    limits=Amounts(memory="256Mi"),
)
_PLAN_LIMIT_BYTES = 1_000_000
Asked = RunRef | RequestRef
"""What may ask for a Job of its own."""


def plan_config_map(policy: PolicyRef, plan: PlanDocument, run: Asked | None = None) -> Manifest:
    """The plan that the pods read; it holds no secret. ``run``: the plan of what asked for it, owned by that.

    Raises Invalid if the plan does not fit a ConfigMap.
    """
    text = plan.model_dump_json(by_alias=True)
    if len(text.encode()) > _PLAN_LIMIT_BYTES:
        raise Invalid(
            "spec.profileRef: the profile's tables and categories do not fit one plan of 1 MB; use fewer columns",
            reason="ProfileInvalid",
            field="spec.profileRef",
        )
    name = plan_name(policy, run, plan.task)
    found = manifest("v1", "ConfigMap", name, policy.namespace, labels(policy, JOB_COMPONENT))
    found["metadata"]["ownerReferences"] = [owner_reference(run or policy)]
    return found | {"data": {PLAN_KEY: text}}


def plan_name(policy: PolicyRef, run: Asked | None = None, task: Task = Task.EXPIRE) -> str:
    """The name of the ConfigMap with the nightly plan, with that of another task, or with the plan of one run.

    All but the first end with a UID: a run called ``plan`` must not write over the plan of a policy called ``acme-plan``.
    """
    if run is None and task is not Task.EXPIRE:
        return bounded(f"{policy.name}-plan-{task}-{policy.uid}", OBJECT_NAME_LIMIT)
    if run is None:
        return f"{policy.name}-plan"
    return bounded(f"{policy.name}-plan-{run.name}-{run.uid}", OBJECT_NAME_LIMIT)


def cron_job_name(policy: PolicyRef, task: Task = Task.EXPIRE) -> str:
    """At most 52 characters: Kubernetes appends eleven for each Job."""
    return bounded(f"{policy.name}-{task}", CRON_JOB_NAME_LIMIT)


def missed_job_name(policy: PolicyRef, scheduled: datetime, task: Task = Task.EXPIRE) -> str:
    """The name that the CronJob controller gives to the Job of this start: whoever comes second finds it taken."""
    return f"{cron_job_name(policy, task)}-{int(scheduled.timestamp()) // 60}"


def run_job_name(policy: PolicyRef, run: RunRef) -> str:
    """The Job of one RetentionRun; the run's UID makes a run of the same name, made again later, another Job."""
    return bounded(f"{policy.name}-{run.name}-{run.uid}", OBJECT_NAME_LIMIT)


def request_job_name(policy: PolicyRef, request: RequestRef, minute: datetime) -> str:
    """The name of the Job of a DataSubjectRequest that is made in this minute: whoever comes second in it finds it taken."""
    made = int(minute.timestamp()) // 60
    return bounded(f"{policy.name}-{request.name}-{request.uid}-{made}", OBJECT_NAME_LIMIT)


def cron_job(pod: EnforcementPod, schedule: Schedule, *, suspend: bool = False) -> Manifest:
    """The nightly CronJob. A run may last one window; a start that was missed is caught up for ``schedule``'s deadline."""
    policy = pod.policy
    labelled = _labels(pod)
    found = manifest("batch/v1", "CronJob", cron_job_name(policy, pod.task), policy.namespace, labelled)
    found["metadata"]["ownerReferences"] = [owner_reference(policy)]
    return found | {
        "spec": {
            "schedule": schedule.cron,
            "timeZone": schedule.time_zone,
            "suspend": suspend,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": schedule.starting_deadline_seconds,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": labelled},
                "spec": _job_spec(pod, labelled, schedule.window_seconds),
            },
        }
    }


def one_off_job(pod: EnforcementPod, name: str, *, active_deadline_seconds: int, run: Asked | None = None) -> Manifest:
    """One Job from the CronJob's pod: for a missed start (``missed_job_name``), a RetentionRun (``run_job_name``) or a
    DataSubjectRequest (``request_job_name``)."""
    labelled = _labels(pod)
    if run is not None:
        label = RUN_LABEL if isinstance(run, RunRef) else REQUEST_LABEL
        labelled[label] = bounded(run.name, LABEL_LIMIT)
    found = manifest("batch/v1", "Job", name, pod.policy.namespace, labelled)
    found["metadata"]["ownerReferences"] = [owner_reference(run or pod.policy)]
    return found | {"spec": _job_spec(pod, labelled, active_deadline_seconds)}


def _labels(pod: EnforcementPod) -> dict[str, str]:
    return labels(pod.policy, JOB_COMPONENT) | {TASK_LABEL: bounded(pod.task.value, LABEL_LIMIT)}


def _job_spec(pod: EnforcementPod, labelled: dict[str, str], active_deadline_seconds: int) -> Manifest:
    return {
        "backoffLimit": RETRIES,
        "activeDeadlineSeconds": active_deadline_seconds,
        "ttlSecondsAfterFinished": FINISHED_JOB_SECONDS,
        # A second pod while the first one is still ending would find the run in progress and fail for nothing.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": CONTAINER,
                        "operator": "In",
                        "values": [BAD_CONFIGURATION_EXIT_CODE],
                    },
                },
            ]
        },
        "template": {"metadata": {"labels": dict(labelled)}, "spec": _pod_spec(pod)},
    }


def _pod_spec(pod: EnforcementPod) -> Manifest:
    mounted = sorted(set(pod.bindings))
    volumes: list[Manifest] = [
        {"name": "plan", "configMap": {"name": pod.plan, "defaultMode": 0o444}},
        scratch("tmp", "64Mi"),
        *(secret_volume(f"binding-{index}", name, SECRET_MODE) for index, name in enumerate(mounted)),
        *([secret_volume("subject", pod.subject, SECRET_MODE)] if pod.subject is not None else []),
    ]
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # One batch ends in well under a second; the rest is for a slow bucket.
        "terminationGracePeriodSeconds": 30,
        "securityContext": pod_security(USER),
        "containers": [_container(pod, mounted)],
        "volumes": volumes,
    }
    if pod.image.pull_secrets:
        spec["imagePullSecrets"] = [{"name": pull_secret} for pull_secret in pod.image.pull_secrets]
    return spec


def _container(pod: EnforcementPod, mounted: list[str]) -> Manifest:
    bindings = [
        {"name": f"binding-{index}", "mountPath": f"{BINDINGS_MOUNT}/{name}", "readOnly": True}
        for index, name in enumerate(mounted)
    ]
    subject = [{"name": "subject", "mountPath": SUBJECT_MOUNT, "readOnly": True}] if pod.subject is not None else []
    return {
        "name": CONTAINER,
        "image": pod.image.name,
        "imagePullPolicy": pod.image.pull_policy,
        "command": list(COMMAND),
        "resources": resource_requirements(pod.resources or DEFAULT_RESOURCES),
        "securityContext": container_security(),
        # The result of the run, at most 2 KiB; never the log, which an operator would have to trust.
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "plan", "mountPath": PLAN_MOUNT, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            *bindings,
            *subject,
        ],
    }
