"""What a node of a Ray cluster does for a job: it runs it as a process of its own that ends with it.

The process, and not Ray's worker, has JAX: on the cores or cards that the job was given, with its output in the job's
log. It holds the worker's pipe, so that the kernel tells it when the worker is gone, and the worker goes with its node:
no run is trained on by a node that the cluster has lost, while another one goes on with it.
"""

import contextlib
import dataclasses
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from experiments.launching import cores
from experiments.running import machine, pool

_SEEN = 5.0  # seconds in which what one machine wrote is to show on another one
_FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
_OF_A_CARD = 0.75  # of its memory, which JAX takes by default


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be run.

    Attributes:
      words: what Python is called with.
      log: the file that gets what it prints.
      seen: a file that whoever ordered it wrote; its folder has to be the same one here.
      variables: of the environment, over those of the node.
      given: how much of each of Ray's resources, CPU and GPU, it has for itself.
    """

    words: tuple[str, ...]
    log: Path
    seen: Path
    variables: Mapping[str, str]
    given: Mapping[str, float]


class Outcome(NamedTuple):
    """How it ended: the exit code, 128 + number after a signal; or why this node cannot run it."""

    code: int
    problem: str = ""


class Job:
    """A job on its node, as an actor of Ray's with two threads: one waits for the process, the other may stop it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._asked: int | None = None
        self._changing = threading.Lock()

    def place(self) -> str:
        """Return the name of the node, once there is one for it."""
        return socket.gethostname()

    def stop(self, number: int) -> None:
        """Send the process a signal, or let it not begin."""
        with self._changing:
            self._asked = number
            if self._process is not None:
                self._process.send_signal(number)

    def run(self, order: Order) -> Outcome:
        """Run a job to its end."""
        if not _shows(order.seen):
            where = order.seen.parent
            return Outcome(
                1, f"{where} of the launch is not there on {self.place()}: it has to be on a file system of all nodes"
            )
        count = 0 if order.given.get("GPU") else math.ceil(order.given["CPU"])
        try:
            log = pool.opened(order.log)
        except OSError as error:
            return Outcome(1, f"cannot write {order.log} on {self.place()}: {error.strerror or error}")
        with log, cores.held(count) as own:
            with self._changing:
                if self._asked is not None:
                    return Outcome(128 + self._asked)
                process = self._process = subprocess.Popen(
                    [sys.executable, *order.words], stdin=subprocess.PIPE, stdout=log, stderr=log,
                    start_new_session=True, env=environment(order, os.environ, _sharing(order.given)),
                )  # fmt: skip
            if own:
                with contextlib.suppress(OSError):  # it is over already
                    os.sched_setaffinity(process.pid, own)
            code = process.wait()
        return Outcome(128 - code if code < 0 else code)


def environment(order: Order, here: Mapping[str, str], sharing: int) -> dict[str, str]:
    """Return the variables of a job's process on a node that has room for `sharing` such ones.

    Ray hides the cards of others from a job that has one, and nothing from a job that has none.
    """
    found = {**here, **order.variables, machine.SHARING: str(sharing)}
    cards = order.given.get("GPU", 0)
    if not cards:
        found["JAX_PLATFORMS"] = "cpu"
    elif cards < 1:  # others have the rest
        found.setdefault(_FRACTION, f"{_OF_A_CARD * cards:.3f}")
    return found


def _sharing(given: Mapping[str, float]) -> int:
    """Return how many jobs of the kind this node has room for."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    has: Mapping[str, float] = next((node["Resources"] for node in ray.nodes() if node["NodeID"] == own), {})
    return max(1, int(min(has.get(name, 0) // much for name, much in given.items() if much)))


def _shows(path: Path) -> bool:
    """Return whether there is a file that another machine has just written."""
    until = time.monotonic() + _SEEN
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
