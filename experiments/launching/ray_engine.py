"""The engine `ray`: jobs on the nodes of a Ray cluster, or of one on this machine that ends with the launch.

A job is an actor (`on_node.Job`), which keeps its place until it ends, and can be told to stop. Ray restarts nothing:
what is lost with a node, or fails, is given to Ray anew, and goes on from its last checkpoint.
"""

import contextlib
import dataclasses
import importlib.util
import logging
import os
import signal
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.launching import engines
from experiments.launching.plan import Plan
from experiments.launching.ray_jobs import Jobs
from experiments.running import cli, machine, signals, startup

OPTIONS = ("address", *engines.RESOURCES)
_REACHED = 5.0  # seconds in which a cluster is to answer
_STORE = 80 * 2**20  # bytes of the object store of Ray on this machine, the least that it takes: only words go through
# What Ray is to be, unless the environment says otherwise; it is read when it is imported.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Of this process's environment, what is meant for the runs: the rest is of its machine.
_CARRIED = ("JAX_", "XLA_", "R2I_", "WANDB_")


def add_arguments(parser: cli.Parser) -> None:
    """Add the options of this engine."""
    engines.add_resource_arguments(parser)
    group = parser.add_argument_group("with --on ray")
    group.add_argument(
        "--address", metavar="HOST:PORT",
        help="of the cluster, `auto` for the one that this machine is a node of (default: RAY_ADDRESS, "
        "or else a cluster of this machine that ends with the launch)",
    )  # fmt: skip


def make(args: Any) -> "Ray":
    """Return the engine that the command line asks for."""
    if args.gpus is not None and args.gpus > 1 and args.gpus != int(args.gpus):
        cli.fail(f"--gpus {args.gpus:g}: several cards are whole ones; a part of one is below 1")
    if args.cpus == 0 and args.gpus in (None, 0):
        cli.fail("--cpus 0: a job without a card needs a core, or a part of one")
    return Ray(args.address or os.environ.get("RAY_ADDRESS") or None, args.cpus, args.gpus)


@dataclasses.dataclass(frozen=True)
class Ray:
    """Runs the jobs on a cluster.

    Attributes:
      address: of the cluster; None for one on this machine.
      cpus, gpus: for each job; None for the default.
    """

    address: str | None
    cpus: float | None
    gpus: float | None

    def check(self) -> None:
        """Connect, or start Ray here, before JAX has threads, which a process that forks cannot have.

        Exits with 2 if there is no Ray, no cluster at the address, or not as much of this machine as a job is to have.
        """
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        if not self.address and "RAY_AUTH_MODE" not in os.environ:  # else Ray leaves a token of its own in the home
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2}
        if importlib.util.find_spec("ray") is None:
            cli.fail("--on ray needs the extra 'ray': pip install 'r2i-jit[ray]'")
        if self.address:
            _refuse_silent(self.address)
            self._connect(address=self.address)
        else:
            with _unsignalled():
                self._connect(address="local", num_cpus=machine.cores(), object_store_memory=_STORE,
                              include_dashboard=False)  # fmt: skip
        self._refuse_too_much()

    def run(self, plan: Plan, numbers: Sequence[int], options: engines.Options) -> Iterator[engines.Ended]:
        """Run jobs, by default as many at a time as the cluster has room for; see `engines.Engine`."""
        import ray

        try:
            with _mark(plan.folder) as seen:
                yield from Jobs(plan, self._given(), options, seen, _carried()).run(numbers)
        finally:
            ray.shutdown()

    def _connect(self, **how: Any) -> None:
        import ray

        worker = ray._private.worker
        if hasattr(worker, "print_to_stdstream"):  # a lost node's last words, on stdout; we say what is lost
            worker.print_to_stdstream = lambda *_, **__: None
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **how)
        except Exception as error:  # of many kinds: another version, nobody there, not enough memory
            said = " ".join(str(error).split()) or type(error).__name__
            if not self.address:
                cli.fail(f"Ray does not start: {said}")
            token = (
                "" if "RAY_AUTH_MODE" in os.environ else "; one that asks for a token needs RAY_AUTH_MODE=token here"
            )
            cli.fail(f"--address {self.address}: {said}{token}")

    def _given(self) -> Mapping[str, float]:
        """Return what each job gets."""
        cpus = 1.0 if self.cpus is None else self.cpus
        gpus = float(any(node.get("GPU", 0) for node in _nodes())) if self.gpus is None else self.gpus
        return {"CPU": cpus, "GPU": gpus}

    def _refuse_too_much(self) -> None:
        """Exit 2 if this machine has less than a job is to have; a cluster may get a node that has it."""
        given, nodes = self._given(), _nodes()
        if any(all(node.get(name, 0) >= much for name, much in given.items()) for node in nodes):
            return
        asked = f"{given['CPU']:g} cores and {given['GPU']:g} cards"
        if self.address:
            cli.note(f"no node of the cluster has {asked}, which --cpus and --gpus ask for; waiting for one")
        else:
            has = f"{nodes[0].get('CPU', 0):g} and {nodes[0].get('GPU', 0):g}"
            cli.fail(f"--cpus, --gpus: a job is to have {asked}, and this machine has {has}")


def _nodes() -> list[Mapping[str, float]]:
    """Return how much of its resources each node of the cluster has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _refuse_silent(address: str) -> None:
    """Exit 2 if nobody listens at an address, which Ray would find out in its own time."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto" or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACHED).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        cli.fail(f"--address {address}: no Ray cluster answers there ({reason}); `ray start --head` prints an address")


@contextlib.contextmanager
def _unsignalled() -> Iterator[None]:
    """Let no signal of this process's terminal reach what is started; one that comes to this process comes later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*signals.ASKING_TO_STOP} - {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _mark(folder: Path) -> Iterator[Path]:
    """Have a file in the folder of a plan, by which a node knows that it sees the same folder."""
    path = folder.absolute() / f".launch-{uuid.uuid4().hex}"
    try:
        for left in folder.glob(".launch-*"):  # of one that was killed
            left.unlink(missing_ok=True)
        path.touch()
    except OSError as error:
        cli.fail(f"cannot write {path}: {error.strerror or error}", cli.SAVE_FAILED)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _carried() -> dict[str, str]:
    return {name: value for name, value in startup.inherited().items() if name.startswith(_CARRIED)}
