"""A server's own clock: libfaketime stands between it and the machine, so that a test says what ``now()`` is, to the second.

The product's functions stay as they are: they read the clock that every client of that server reads.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from tests.stores.servers.install import faketime_library


class ServerClock:
    """The clock of one server, in a file that all its processes read; the machine's until ``set``, then it stands still.

    A clock that stands lets no timeout of the server end: the test has one of its own.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self._library = directory / "libfaketime.so.1"
        shutil.copyfile(faketime_library(), self._library)
        self._library.chmod(0o644)
        self._instant: datetime | None = None
        self._write("+0")

    def now(self) -> datetime:
        """What the server's ``now()`` says."""
        return self._instant or datetime.now(UTC)

    def prefix(self) -> list[str]:
        """What comes before the server's program on its command line."""
        return [
            "/usr/bin/env",
            f"LD_PRELOAD={self._library}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            # What the server measures how long something took by, and what files say, stay real.
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
            "FAKETIME_DISABLE_SHM=1",
            "TZ=UTC",
        ]

    def set(self, instant: datetime) -> None:
        """From now on it is this instant, in sessions that are there already too."""
        self._instant = instant
        self._write(f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}")

    def _write(self, text: str) -> None:
        # Never seen half written.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text + "\n")
        fresh.chmod(0o644)
        fresh.rename(self._file)
