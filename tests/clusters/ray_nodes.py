"""A real Ray cluster of several nodes on this machine: in tests, or by hand to try things.

    python tests/clusters/ray_nodes.py --nodes 2

says the flags that use it; Ctrl-C ends exactly these processes.

``ray stop`` would end every Ray of the machine. Here each node is a session of processes of its
own, the head listens on a free port, and its files lie in a folder of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

START = 90.0
"""Seconds within which a node must be up."""

# A node that says nothing is dead for Ray after 65 s; here after 6.
_QUICK = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


@dataclass(frozen=True)
class Node:
    """A node's processes: all in one session, `ray start` first."""

    process: subprocess.Popen
    log: Path

    @property
    def raylet(self) -> int:
        """Process that gives out the node's work."""
        processes = _processes()
        return next(pid for pid in self.pids() if processes[pid][0] == "raylet")

    def pids(self) -> list[int]:
        """All processes of the node, and those that its tasks have started."""
        processes = _processes()
        found = {pid for pid, (_, _, session) in processes.items() if session == self.process.pid}
        while more := {pid for pid, (_, parent, _) in processes.items() if parent in found} - found:
            found |= more
        return sorted(found)

    def kill(self) -> None:
        """End all of them."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Cluster:
    """A head of one core, then as many nodes of one core as are added.

    Attributes
    ----------
    address : str
        Of the head.
    nodes : list of Node
        The head first.
    """

    def __init__(self) -> None:
        # Not pytest's folder: paths of sockets are at most 107 bytes long.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))
        port, client = _free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.nodes: list[Node] = []
        self._start(
            "--head", f"--port={port}", f"--ray-client-server-port={client}",
            f"--temp-dir={self.folder}", "--include-dashboard=false",
        )  # fmt: skip

    def add(self) -> Node:
        """Start one more node, and wait until it is up: of several at once, some fail."""
        return self._start(f"--address={self.address}")

    def _start(self, *arguments: str) -> Node:
        log = self.folder / f"node{len(self.nodes)}.log"
        ray = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1",
               "--node-ip-address=127.0.0.1", "--object-store-memory=80000000",
               *arguments]  # fmt: skip
        before, end = self.living(), time.monotonic() + START
        while True:
            with log.open("w") as said:
                process = subprocess.Popen(
                    ray, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **_QUICK},
                )  # fmt: skip
            node = Node(process, log)
            while process.poll() is None and time.monotonic() < end:
                if self.living() > before:
                    self.nodes.append(node)
                    return node
                time.sleep(0.2)
            node.kill()
            if time.monotonic() > end:  # a loaded machine may need a second try
                words = log.read_text()[-2000:]
                self.stop()
                raise RuntimeError(f"a node of Ray does not start: {words}")

    def living(self) -> int:
        """How many nodes the head takes for alive."""
        from ray._raylet import GcsClient

        host, _, port = self.address.partition(":")
        try:  # Ray itself would wait for minutes
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return 0
        nodes = GcsClient(address=self.address).get_all_node_info().values()
        return sum(node.state == 0 for node in nodes)

    def stop(self) -> None:
        """End all processes of all nodes, and remove their files."""
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _processes() -> dict[int, tuple[str, int, int]]:
    """Living processes: number -> name, parent, session."""
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            head, _, rest = (each / "stat").read_text(errors="replace").rpartition(")")
            state, parent, _, session = rest.split()[:4]
            if state not in "ZX":
                found[int(each.name)] = head.partition("(")[2], int(parent), int(session)
    return found


def main() -> None:
    """Start a cluster, and stop it at Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--nodes", type=int, default=2)
    chosen = parser.parse_args()
    cluster = Cluster()
    try:
        for _ in range(chosen.nodes - 1):
            cluster.add()
        print(f"--executor ray --ray-address {cluster.address}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
