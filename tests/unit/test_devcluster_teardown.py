"""What `make cluster-down` takes away at places that other programs use too: what is the node's, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from devcluster import network
from devcluster.errors import DevclusterError
from devcluster.layout import Layout
from devcluster.teardown import remove_container_states

SHARED = "runc/k8s.io"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(checkout=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state", run=tmp_path / "run/ours")


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder like /run/containerd."""
    folder = tmp_path / "containerd"
    (folder / SHARED).mkdir(parents=True)
    (folder / "s").mkdir()
    return folder


def ip_command(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Puts a program `ip` of ours first on the PATH: whether an interface is there when looked at is the kernel's choice."""
    program = folder / "ip"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def container(runtime: Path, socket: Path, bundle: Path, name: str) -> Path:
    """A container that was killed: its state as runc writes it, and its shim's socket; returns the socket."""
    labels = [f"bundle={bundle / name}", "cgroup=/kubepods"]
    (runtime / SHARED / name).mkdir()
    (runtime / SHARED / name / "state.json").write_text(json.dumps({"id": name, "config": {"labels": labels}}))
    shim = runtime / "s" / hashlib.sha256(f"{socket}/k8s.io/{name}".encode()).hexdigest()
    shim.touch()
    return shim


def test_what_our_containers_left_goes_and_with_the_last_of_it_the_folders(layout: Layout, runtime: Path) -> None:
    for name in ("a", "b"):
        container(runtime, layout.containerd_socket, layout.containerd_socket.parent, name)
    remove_container_states(layout, runtime)
    assert not runtime.exists()
    remove_container_states(layout, runtime)


def test_other_peoples_containers_keep_their_state_and_their_sockets(layout: Layout, runtime: Path) -> None:
    ours = container(runtime, layout.containerd_socket, layout.containerd_socket.parent, "a")
    other = Path("/run/containerd/containerd.sock")
    theirs = container(runtime, other, Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io"), "b")
    beside = container(runtime, other, layout.run.with_name("ours-not") / "containerd", "c")
    # Without a state nobody can say whose it is: a container that is just being made, for instance.
    (runtime / SHARED / "d").mkdir()
    os.mkdir(runtime / "fifo")
    remove_container_states(layout, runtime)
    assert {path.name for path in (runtime / SHARED).iterdir()} == {"b", "c", "d"}
    assert not ours.exists()
    assert theirs.exists()
    assert beside.exists()
    assert (runtime / "fifo").exists()


def test_a_machine_without_containerd_has_nothing_to_remove(layout: Layout, tmp_path: Path) -> None:
    remove_container_states(layout, tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_interfaces_that_the_kernel_took_away_while_we_were_at_it_are_no_error(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There when it is looked at first, gone when it is deleted.
    seen = tmp_path / "seen"
    ip_command(
        tmp_path, monkeypatch, f'[ "$2" = show ] && [ ! -e {seen} ] && touch {seen} && exit 0\ntouch {seen}; exit 1'
    )
    network.delete(layout)


def test_interfaces_that_stay_are_an_error_that_shows_what_ip_said(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip_command(
        tmp_path,
        monkeypatch,
        '[ "$2" = show ] && exit 0\necho "RTNETLINK answers: Operation not permitted" >&2; exit 2',
    )
    with pytest.raises(DevclusterError, match="Operation not permitted"):
        network.delete(layout)
