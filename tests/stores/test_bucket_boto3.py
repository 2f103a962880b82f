"""boto3 works unchanged with a bucket's binding Secret: no code of ours, only its environment."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.domain.bucket_identities import BucketRole
from tenant_retention.domain.manifests.bindings import s3_keys
from tenant_retention.domain.manifests.inputs import S3Credentials
from tests.stores.object_stores import RealObjectStore
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_buckets import TenantBucket, a_tenant_bucket

BOTO3_VERSION = "1.44.5"
_APPLICATION = Path(__file__).parent / "boto3_application.py"
_REFUSED = {"delete": "AccessDenied", "delete version": "AccessDenied", "delete batch": "AccessDenied"}


@pytest.fixture(scope="session")
def boto3_python() -> Path:
    """A Python with boto3, which does not fit beside our own packages; made once, in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenant-retention-operator"
    home = cache / f"boto3-{BOTO3_VERSION}-python{sys.version_info.major}.{sys.version_info.minor}"
    complete = home / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    # Other processes of the test run want it too.
    with home.with_name(f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, timeout=300)
            install = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*install, f"boto3=={BOTO3_VERSION}"], check=True, timeout=600)
            complete.touch()
    return home / "bin" / "python"


def run_application(
    python: Path, binding: Path, bucket: TenantBucket, server: S3Server, role: BucketRole
) -> dict[str, object]:
    """Runs the application with the Secret's keys as its environment, as ``envFrom`` gives them, and its files mounted."""
    key = bucket.keys[role]
    credentials = S3Credentials(
        bucket=bucket.name,
        endpoint=server.endpoint.url,
        region=server.endpoint.region,
        access_key=key.key_id,
        secret_key=key.secret,
        ca=server.endpoint.ca,
    )
    keys = s3_keys(credentials, str(binding))
    for name, value in keys.items():
        (binding / name).write_text(value)
    environment = {name: value for name, value in keys.items() if name.startswith("AWS_") or name == "BUCKET_NAME"}
    done = subprocess.run(
        [str(python), str(_APPLICATION)],
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(binding), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_boto3_writes_reads_and_is_refused_deletion_with_the_app_secret_unchanged(
    boto3_python: Path, s3_server: S3Server, tmp_path: Path
) -> None:
    with S3Connection(s3_server.endpoint, s3_server.administrator) as connection:
        bucket = a_tenant_bucket(RealObjectStore(s3_server, connection), object_lock=True)
        told = run_application(boto3_python, tmp_path, bucket, s3_server, BucketRole.APP)
        version = told.pop("version")
        assert told == {
            "put": "ok",
            "get": "ok",
            "same bytes": True,
            "list": "ok",
            "multipart": "ok",
            "encrypted": "AES256",
            **_REFUSED,
        }
        assert ("recordings/1.wav", version, False) in bucket.versions()
