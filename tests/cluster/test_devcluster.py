"""The built-in node: it comes up, is used by everybody, and goes without a trace (issue section 2, "A real cluster").

Takes the node down and up several times: run it after every other cluster test. It leaves the node down.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devcluster import machine
from devcluster.errors import Unsupported
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(
    os.environ.get("CLUSTER") == "current", reason="CLUSTER=current: there is no node of ours to test"
)

CHECKOUT = Path(__file__).resolve().parents[2]
NAME = "tenant-retention-devcluster"
OUR_FOLDERS = (f"/var/lib/{NAME}", f"/run/{NAME}")
START_DEADLINE_SECONDS = 1200
VOLATILE_SETTINGS = ("kernel/ns_last_pid", "kernel/random", "fs/binfmt_misc")

POD_WITH_A_VOLUME = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "content"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "server", "labels": {"app": "server"}},
            "spec": {
                "volumes": [{"name": "content", "persistentVolumeClaim": {"claimName": "content"}}],
                "containers": [
                    {
                        "name": "server",
                        "image": "localhost/base:trixie",
                        "command": ["python3", "-m", "http.server", "8080", "--directory", "/content"],
                        "volumeMounts": [{"name": "content", "mountPath": "/content"}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                    }
                ],
            },
        },
        *(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": {"friend": answer}},
                "spec": {
                    "containers": [{"name": "c", "image": "localhost/base:trixie", "command": ["sleep", "infinity"]}]
                },
            }
            for name, answer in (("friend", "yes"), ("stranger", "no"))
        ),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "friends-only"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "server"}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"friend": "yes"}}}]}],
            },
        },
    ],
}


@pytest.fixture(scope="module", autouse=True)
def the_node_is_down_at_the_end() -> Iterator[None]:
    yield
    launch("down")


def test_taking_the_node_down_leaves_nothing_behind() -> None:
    launch("down")  # with all that other tests left there
    before = Machine.now()
    assert before.remains_of_a_node() == []
    launch("up")
    run_pods()
    during = Machine.now()
    assert during.remains_of_a_node(), "the node must be seen while it runs, or this test cannot fail"
    launch("down")
    after = Machine.now()
    assert after.remains_of_a_node() == []
    assert after.new_since(before) == []


def test_a_second_start_keeps_the_node_that_runs() -> None:
    launch("up")
    before = api_servers()
    told = launch("up")
    assert api_servers() == before, told
    assert len(before) == 1


def test_the_users_own_kubeconfig_is_never_written(tmp_path: Path) -> None:
    own = tmp_path / "config"
    own.write_text("mine")
    home = tmp_path / "home"
    home.mkdir()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    launch("up", environment={"KUBECONFIG": str(own), "HOME": str(home), "XDG_CACHE_HOME": cache})
    assert own.read_text() == "mine"
    assert not (home / ".kube").exists()


def test_a_network_policy_stops_strangers_and_neither_friends_nor_probes() -> None:
    launch("up")
    run_pods()
    address = kubectl("get", "pod", "server", "--output=jsonpath={.status.podIP}")
    asking = f"import urllib.request as r; print(r.urlopen('http://{address}:8080/', timeout=5).status)"
    assert kubectl("exec", "friend", "--", "python3", "-c", asking).strip() == "200"
    with pytest.raises(AssertionError, match="timed out"):
        kubectl("exec", "stranger", "--", "python3", "-c", asking)


def test_a_second_checkout_says_whose_node_it_uses_and_replaces_one_that_is_configured_otherwise(
    tmp_path: Path,
) -> None:
    launch("up")
    before = api_servers()
    other = copy_of_the_checkout(tmp_path / "other")
    told = launch("up", checkout=other)
    assert f"was started by {CHECKOUT}" in told
    assert api_servers() == before
    assert (other / ".devcluster" / "kubeconfig").read_text() == (CHECKOUT / ".devcluster" / "kubeconfig").read_text()

    told = launch("up", checkout=other)
    assert "building" not in told, "what is up to date must not be built again"
    assert "handing" not in told, "what the node has must not be handed over again"

    settings = other / "devcluster" / "settings" / "containerd.toml"
    settings.write_text(settings.read_text() + "\n# a difference\n")
    told = launch("up", checkout=other)
    assert f"{other} started is configured in another way; replacing it" in told
    assert not api_servers() & before
    assert len(api_servers()) == 1


def test_taking_down_what_is_down_is_no_error() -> None:
    launch("down")
    launch("down")


def test_a_second_checkout_builds_no_program_again(tmp_path: Path) -> None:
    launch("parts")
    assert "building" not in launch("parts", checkout=copy_of_the_checkout(tmp_path / "other"))


@pytest.mark.parametrize("moment", ["etcd", "kubelet"])
def test_a_start_that_was_killed_can_be_repeated(moment: str) -> None:
    launch("down")
    launch("images")  # so that the killed one has nothing to build
    before = Machine.now()
    starting = subprocess.Popen(
        [sys.executable, "-m", "devcluster", "up"],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: moment in programs_of_the_node(), f"{moment} is started", 300)
    finally:
        starting.send_signal(signal.SIGKILL)
        starting.wait()
    assert "interrupted" in launch("status")
    assert "interrupted" in launch("up")
    assert kubectl("get", "nodes", "--output=jsonpath={.items[*].metadata.name}") == "node1"
    launch("down")
    assert Machine.now().new_since(before) == []


def test_a_start_that_was_killed_can_be_taken_down() -> None:
    launch("down")
    launch("images")
    before = Machine.now()
    starting = subprocess.Popen(
        [sys.executable, "-m", "devcluster", "up"], cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: "kube-apiserver" in programs_of_the_node(), "the API server is started", 300)
    finally:
        starting.send_signal(signal.SIGKILL)
        starting.wait()
    launch("down")
    after = Machine.now()
    assert after.remains_of_a_node() == []
    assert after.new_since(before) == []


def test_a_node_that_lost_its_container_runtime_is_replaced() -> None:
    launch("up")
    run_pods()
    for pid, command in processes_of_the_node():
        if "containerd" in command or "kubelet" in command:
            os.kill(pid, signal.SIGKILL)
    assert "not whole any more" in launch("up")
    run_pods()
    launch("down")
    assert Machine.now().remains_of_a_node() == []


def test_somebody_who_is_not_root_is_told_so_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unsupported, match=r"needs root.*CLUSTER=current") as told:
        machine.check()
    assert told.value.exit_code == 2
    assert "\n" not in str(told.value)


def test_another_system_than_linux_is_told_so_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(Unsupported, match=r"needs Linux, but this is Darwin.*CLUSTER=current"):
        machine.check()


def test_cluster_current_names_the_context_and_starts_nothing(tmp_path: Path) -> None:
    launch("down")
    own = tmp_path / "config"
    own.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "my-kind"}))
    programs = f"{CHECKOUT / '.devcluster' / 'bin'}:{os.environ['PATH']}"
    told = launch("up", environment={"CLUSTER": "current", "KUBECONFIG": str(own), "PATH": programs})
    assert "the context my-kind" in told
    assert programs_of_the_node() == set()


@dataclass(frozen=True)
class Machine:
    """What can be left behind on a machine, seen without any help of the launcher."""

    processes: frozenset[str]
    mounts: frozenset[str]
    network_namespaces: frozenset[str]
    interfaces_and_routes: frozenset[str]
    control_groups: frozenset[str]
    kernel_settings: frozenset[str]
    files: frozenset[str]
    container_states: frozenset[str]

    @classmethod
    def now(cls) -> "Machine":
        return cls(
            processes=frozenset(f"{pid} {command}" for pid, command in processes_of_the_node()),
            mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            network_namespaces=frozenset(network_namespaces()),
            interfaces_and_routes=frozenset(
                " ".join(line.split())
                for command in (["ip", "-brief", "link"], ["ip", "route", "show", "table", "all"], ["ip", "netns"])
                for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
            ),
            control_groups=frozenset(str(path) for path in Path("/sys/fs/cgroup").rglob("*") if path.is_dir()),
            kernel_settings=frozenset(kernel_settings()),
            files=frozenset(
                str(path) for folder in ("/run", "/var/lib", "/var/log", "/etc/cni") for path in Path(folder).glob("*")
            ),
            container_states=frozenset(container_states()),
        )

    def remains_of_a_node(self) -> list[str]:
        """What by its name belongs to a node, however long it has been there."""
        return sorted(
            [
                *self.processes,
                *(mount for mount in self.mounts if mount.startswith(OUR_FOLDERS) or "/cni-" in mount),
                *(line for line in self.interfaces_and_routes if "trdev" in line or "10.244." in line),
                *(group for group in self.control_groups if NAME in group or "kubepods" in group),
                *self.container_states,
            ]
        )

    def new_since(self, before: "Machine") -> list[str]:
        """Everything that was not there before; other people's processes are not looked at."""
        ours_by_design = {f"/var/lib/{NAME}", f"/run/{NAME}.lock", "/run/containerd", "/var/lib/containerd"}
        return sorted(
            [
                *(self.processes - before.processes),
                *(self.mounts - before.mounts),
                *(self.network_namespaces - before.network_namespaces),
                *(self.interfaces_and_routes - before.interfaces_and_routes),
                *(self.control_groups - before.control_groups),
                *(self.kernel_settings - before.kernel_settings),
                *(self.files - before.files - ours_by_design),
            ]
        )


def processes_of_the_node() -> list[tuple[int, str]]:
    """Living processes that run a program of the cache, have our folders on their command line, or sit in our pods."""
    cache = f"{os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'}/tenant-retention-operator/parts/"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            groups = (folder / "cgroup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        # The parts are programs that others may run for themselves: only those with the node's files are the node's.
        of_the_node = any(ours in command for ours in OUR_FOLDERS) and (cache in command or "containerd" in command)
        if command and (of_the_node or NAME in groups):
            found.append((int(folder.name), command))
    return found


def programs_of_the_node() -> set[str]:
    return {word for _, command in processes_of_the_node() for word in command.split()[:2]}


def api_servers() -> set[int]:
    return {pid for pid, command in processes_of_the_node() if "kube-apiserver" in command}


def network_namespaces() -> Iterator[str]:
    """Those that a process is in or that are kept by a mount."""
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            yield str(link.readlink())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - nsfs " in line:
            yield line.split()[3]


def container_states() -> Iterator[str]:
    """What runc keeps of the node's containers, in the folder of every machine's containers."""
    for path in Path("/run/containerd/runc/k8s.io").glob("*/state.json"):
        try:
            if f"bundle=/run/{NAME}/" in path.read_text():
                yield str(path.parent)
        except FileNotFoundError:
            continue  # its container ended meanwhile


def kernel_settings() -> Iterator[str]:
    for path in Path("/proc/sys").rglob("*"):
        name = str(path.relative_to("/proc/sys"))
        # Those of an interface go with the interface.
        if name.startswith(VOLATILE_SETTINGS) or "/conf/" in name or "/neigh/" in name or not path.is_file():
            continue
        if path.stat().st_mode & 0o600 == 0o600:
            try:
                yield f"{name} = {path.read_text().strip()}"
            except (OSError, UnicodeDecodeError):
                continue  # some can be written, but not read just like that


def launch(command: str, checkout: Path = CHECKOUT, environment: dict[str, str] | None = None) -> str:
    """Run the launcher to its end and return what it told; it must succeed."""
    finished = subprocess.run(
        [sys.executable, "-m", "devcluster", command],
        cwd=checkout,
        env={**{name: value for name, value in os.environ.items() if name != "CLUSTER"}, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=START_DEADLINE_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    finished = subprocess.run(
        [sys.executable, "-m", "devcluster", "kubectl", *arguments],
        cwd=CHECKOUT,
        env={name: value for name, value in os.environ.items() if name != "CLUSTER"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr + finished.stdout
    return finished.stdout


def run_pods() -> None:
    kubectl("apply", "--filename=-", stdin=json.dumps(POD_WITH_A_VOLUME))
    kubectl("wait", "--for=condition=Ready", "pod/server", "pod/friend", "pod/stranger", "--timeout=240s")


def copy_of_the_checkout(target: Path) -> Path:
    """What the launcher reads, somewhere else."""
    target.mkdir()
    for name in ("devcluster", "operator"):
        shutil.copytree(CHECKOUT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "uv.lock", ".containerignore"):
        shutil.copy2(CHECKOUT / name, target / name)
    return target
