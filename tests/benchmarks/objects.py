"""Objects: a whole run over recordings, rows and evidence included, against ``s5cmd rm`` of the same objects."""

from __future__ import annotations

import io
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tenant_retention.enforcement.results import Outcome
from tests.benchmarks.report import Comparison, Steps, timed
from tests.stores.enforcement_archive import LiveArchive, days_ago

S5CMD = "github.com/peak/s5cmd/v2"
_MODULE = Path(__file__).with_name("s5cmd")
"""The Go module that pins its version."""
_THREADS = 16


def objects(archive: LiveArchive, count: int, steps: Steps, cache: Path) -> list[Comparison]:
    """``count`` recordings, each with its object, removed by a run; the same number removed by s5cmd."""
    with steps.step(f"build {S5CMD}"):
        program = s5cmd(cache)
    with steps.step(f"put {count:,} objects with their rows"):
        versions = put(archive, "audio", count)
        archive.write(
            "recordings",
            [(str(n), str(n), days_ago(20), f"audio/{n}", version) for n, version in enumerate(versions)],
            ("id", "session_id", "started_at", "object_key", "object_version"),
        )
    with steps.step("product, objects and rows"):
        results = []
        ours = timed(lambda: results.append(archive.run(categories=("recordings",))))
        if results[0].outcome is not Outcome.SUCCEEDED or archive.keys():
            raise RuntimeError(f"the run ended as {results[0].outcome}")
    with steps.step(f"put {count:,} objects for s5cmd"):
        put(archive, "theirs", count)
    with steps.step("s5cmd rm"):
        theirs = timed(lambda: remove(program, archive, "theirs"))
        if archive.keys():
            raise RuntimeError("s5cmd left objects")
    return [Comparison(f"{count:,} objects", "run: claim, object, row", ours, "s5cmd rm", theirs, 1.0)]


def put(archive: LiveArchive, prefix: str, count: int) -> list[str]:
    """Writes that many small objects; their versions."""
    client = archive.client

    def one(number: int) -> str:
        written = client.put_object(archive.bucket, f"{prefix}/{number}", io.BytesIO(b"sound"), 5)
        return str(written.version_id)

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(one, range(count)))


def s5cmd(cache: Path) -> Path:
    """The program, built once into ``cache``."""
    program = cache / "s5cmd"
    if not program.exists():
        subprocess.run(["go", "build", "-mod=readonly", "-o", str(program), S5CMD], cwd=_MODULE, check=True)
    return program


def remove(program: Path, archive: LiveArchive, prefix: str) -> None:
    """``s5cmd rm`` of everything below a prefix, in every version, as a run leaves it too."""
    server = archive.s3
    credentials = {
        "AWS_ACCESS_KEY_ID": server.administrator.key_id,
        "AWS_SECRET_ACCESS_KEY": server.administrator.secret,
        "AWS_REGION": server.endpoint.region,
    }
    subprocess.run(
        [
            str(program),
            "--endpoint-url",
            server.endpoint.url,
            "--no-verify-ssl",
            "--log",
            "error",
            "rm",
            "--all-versions",
            f"s3://{archive.bucket}/{prefix}/*",
        ],
        env={**os.environ, **credentials},
        check=True,
        stdout=subprocess.DEVNULL,
    )
