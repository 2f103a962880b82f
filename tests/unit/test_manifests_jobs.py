"""The nightly CronJob and single Jobs: what Kubernetes is told, so that a run comes, ends, and is not run twice."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenant_retention.domain.definition import ColumnDefinition, TableDefinition
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.manifests import jobs
from tenant_retention.domain.manifests.inputs import PolicyRef, RunRef
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.domain.schedule import plan_schedule
from tests.unit.manifest_examples import DEFINITION, PLAN, POD, POLICY, RUN

SCHEDULE = plan_schedule(POLICY.namespace, POLICY.name, "expire", time_zone="Europe/Amsterdam", duration="PT4H")
CRON_JOB = jobs.cron_job(POD, SCHEDULE)
JOB_SPEC = CRON_JOB["spec"]["jobTemplate"]["spec"]


def test_the_cron_job_runs_once_a_night_in_the_tenants_time_zone() -> None:
    spec = CRON_JOB["spec"]
    assert len(spec["schedule"].split()) == 5
    assert spec["timeZone"] == "Europe/Amsterdam"
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["suspend"] is False
    assert spec["startingDeadlineSeconds"] == 4 * 3600


def test_suspending_the_policy_suspends_the_cron_job() -> None:
    assert jobs.cron_job(POD, SCHEDULE, suspend=True)["spec"]["suspend"] is True


def test_a_run_is_bounded_by_its_window_and_finished_jobs_go() -> None:
    assert JOB_SPEC["activeDeadlineSeconds"] == 4 * 3600
    assert 0 < JOB_SPEC["ttlSecondsAfterFinished"] <= 7 * 24 * 3600
    assert CRON_JOB["spec"]["successfulJobsHistoryLimit"] > 0 < CRON_JOB["spec"]["failedJobsHistoryLimit"]


def test_a_disruption_is_no_failure_and_bad_configuration_is_not_retried() -> None:
    ignore, fail = JOB_SPEC["podFailurePolicy"]["rules"]
    assert (ignore["action"], ignore["onPodConditions"]) == ("Ignore", [{"type": "DisruptionTarget", "status": "True"}])
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", [jobs.BAD_CONFIGURATION_EXIT_CODE])
    pod = JOB_SPEC["template"]["spec"]
    assert fail["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert pod["restartPolicy"] == "Never", "a pod failure policy asks for it"
    assert JOB_SPEC["backoffLimit"] > 0


def test_the_pod_has_plan_and_bindings_where_the_plan_says_and_no_secret_in_its_environment() -> None:
    pod = JOB_SPEC["template"]["spec"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert set(mounts) == {"/plan", "/tmp", "/bindings/acme-analytical-enforcer", "/bindings/acme-content-enforcer"}
    assert all(mount.get("readOnly") for path, mount in mounts.items() if path != "/tmp")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for path, mount in mounts.items():
        if path.startswith("/bindings/"):
            assert volumes[mount["name"]]["secret"]["secretName"] == path.rsplit("/", 1)[1]
    assert "env" not in pod["containers"][0]
    assert pod["containers"][0]["terminationMessagePolicy"] == "File"


def test_the_order_in_which_bindings_are_named_changes_nothing() -> None:
    assert jobs.cron_job(replace(POD, bindings=tuple(reversed(POD.bindings))), SCHEDULE) == CRON_JOB


def test_the_plan_is_read_back_as_written() -> None:
    config_map = jobs.plan_config_map(POLICY, PLAN)
    assert config_map["metadata"]["name"] == POD.plan
    assert PlanDocument.model_validate_json(config_map["data"]["plan.json"]) == PLAN
    assert json.loads(config_map["data"]["plan.json"])["rulesDigest"] == PLAN.rules_digest


def test_a_plan_that_fits_no_config_map_is_refused_with_the_fields_name() -> None:
    column = ColumnDefinition(name="c" * 60, type="Text")
    table = TableDefinition(
        name="t", primary_key=("id",), born_at="b", back="P7Y", ahead="P3M", columns=(column,) * 12_000
    )
    plan = PLAN.model_copy(update={"definition": DEFINITION.model_copy(update={"tables": (table,)})})
    with pytest.raises(Invalid, match=r"spec\.profileRef"):
        jobs.plan_config_map(POLICY, plan)


def test_a_missed_start_gets_the_name_that_kubernetes_would_have_given_it() -> None:
    scheduled = datetime(2026, 11, 22, 1, 37, tzinfo=UTC)
    assert jobs.missed_job_name(POLICY, scheduled) == "acme-expire-29921857"
    assert jobs.missed_job_name(POLICY, scheduled.replace(minute=38)) != "acme-expire-29921857"


def test_a_single_job_runs_the_same_pod_as_the_nightly_one() -> None:
    job = jobs.one_off_job(POD, "acme-expire-29921857", active_deadline_seconds=SCHEDULE.window_seconds)
    assert job["spec"] == JOB_SPEC


def test_the_job_of_a_retention_run_is_owned_and_named_by_it() -> None:
    name = jobs.run_job_name(POLICY, RUN)
    job = jobs.one_off_job(replace(POD, plan=jobs.plan_name(POLICY, RUN)), name, active_deadline_seconds=60, run=RUN)
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("RetentionRun", RUN.name, RUN.uid)
    assert job["metadata"]["labels"]["tenantretention.io/run"] == RUN.name
    plan = jobs.plan_config_map(POLICY, PLAN, RUN)
    assert job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] == plan["metadata"]["name"]
    again = RunRef(RUN.name, "another-uid")
    assert jobs.run_job_name(POLICY, again) != name


def test_a_run_cannot_be_named_so_that_it_writes_over_another_policys_plan__X2() -> None:
    victim = jobs.plan_name(PolicyRef("customer-acme", "acme-plan", "uid"))
    assert jobs.plan_name(POLICY, RunRef("plan", RUN.uid)) != victim == "acme-plan-plan"


def test_long_run_names_that_are_equal_after_cutting_stay_two() -> None:
    policy = PolicyRef("customer-acme", "a" * 40, "uid")
    names = {jobs.run_job_name(policy, RunRef("r" * 200 + end, "uid")) for end in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 63 for name in names)


def test_the_program_understands_the_command_and_its_exit_code_for_bad_configuration(tmp_path: Path) -> None:
    words = tmp_path / "termination-log"
    words.touch()
    command = [sys.executable, *jobs.COMMAND[1:], "--termination-log", str(words)]
    # The plan is not mounted here: the very thing that no retry cures.
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == jobs.BAD_CONFIGURATION_EXIT_CODE
    assert json.loads(words.read_text())["outcome"] == "Invalid"
    assert "/plan/plan.json" in ended.stderr
