"""The jobs of a launch on a Ray cluster that is connected: begun, waited for, tried again, stopped."""

import collections
import contextlib
import dataclasses
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.launching import engines, on_node
from experiments.launching.plan import Plan
from experiments.running import cli, pool, signals

_LOOK = 0.2  # seconds between two looks for a signal
_AT_ONCE = 256  # jobs that Ray is given, if --jobs does not say less: it queues what it has no room for
_LOST = 5  # times in a row that a job may be lost without a new checkpoint: the job may be what brings nodes down


class _Turn(NamedTuple):
    """A job that is to be begun.

    Attributes:
      number: its place in the plan.
      failed: how often it has.
      lost: how often it was lost since its last checkpoint.
    """

    number: int
    failed: int = 0
    lost: int = 0


class _Running(NamedTuple):
    """A job that Ray has: its actor, what is ready once that has a node, and its checkpoint at the beginning."""

    turn: _Turn
    actor: Any
    place: Any
    checkpoint: int


@dataclasses.dataclass(frozen=True)
class Jobs:
    """The jobs of one launch.

    Attributes:
      plan: what they are.
      given: how much of Ray's CPU and GPU each has.
      options: how they are run.
      seen: a file in the plan's folder that the nodes are to see.
      variables: of the environment, for every job.
    """

    plan: Plan
    given: Mapping[str, float]
    options: engines.Options
    seen: Path
    variables: Mapping[str, str]

    def run(self, numbers: Sequence[int]) -> Iterator[engines.Ended]:
        """Run jobs and yield how each ended, as they end.

        A signal that asks this process to stop is passed on; what runs then saves and ends. Of what has not begun the
        first one is yielded, as stopped.
        """
        import ray

        waiting = collections.deque(_Turn(number) for number in numbers)
        places, running = self.options.jobs or _AT_ONCE, dict[Any, _Running]()
        with signals.StopSignal(self.options.max_seconds) as stop:
            stop.consequence = "the runs save and stop"
            told = False
            try:
                while running or (waiting and stop.number is None):
                    while waiting and len(running) < places and stop.number is None:
                        running |= self._begin(waiting.popleft())
                    if stop.number is not None and not told:
                        waiting.extend(_stop(running, _sent(stop.number)))
                        told = True
                    for reference in ray.wait(list(running), timeout=_LOOK)[0] if running else ():
                        one = running.pop(reference)
                        ended, again = self._outcome(reference, one, stop)
                        if ended is not None:
                            yield ended
                        elif again is not None:
                            waiting.appendleft(again)
                if waiting:
                    assert stop.number is not None
                    yield engines.Ended(waiting[0].number, stop.exit_code, "stopped", True)
            finally:  # also where nobody asks for the next one
                if running and not told:
                    _stop(running, signal.SIGTERM)
                if running:
                    ray.wait(list(running), num_returns=len(running))

    def _begin(self, turn: _Turn) -> dict[Any, _Running]:
        """Give Ray a job; return what is ready when it has ended, with what is known of it."""
        import ray

        order = on_node.Order(
            (*engines.words(self.plan, turn.number), "--attached"),
            self.plan.log(turn.number).absolute(), self.seen, self.variables, self.given,
        )  # fmt: skip
        kind = ray.remote(num_cpus=self.given["CPU"], num_gpus=self.given["GPU"], max_restarts=0, max_concurrency=2)
        actor = kind(on_node.Job).remote()
        place = actor.place.remote()
        return {actor.run.remote(order): _Running(turn, actor, place, self.plan.checkpoint(turn.number))}

    def _outcome(
        self, reference: Any, one: _Running, stop: signals.StopSignal
    ) -> tuple[engines.Ended | None, _Turn | None]:
        """Return how a job ended, or its next turn."""
        turn, name = one.turn, self.plan.jobs[one.turn.number].name
        code = _code(reference)
        _release(one.actor)
        if stop.number is not None and (code is None or signals.is_stop(code)):
            return engines.Ended(turn.number, stop.exit_code, "stopped", True), None
        if code is None:
            lost = 1 if self.plan.checkpoint(turn.number) > one.checkpoint else turn.lost + 1
            where = _place(one.place)
            if lost <= _LOST:
                cli.note(f"{name}: lost with its node{where}; it goes on where there is another one")
                return None, turn._replace(lost=lost)
            return engines.Ended(turn.number, 137, f"failed (lost {lost} times without a new checkpoint)", False), None
        if code == 0:
            return engines.Ended(turn.number, 0, "done", False), None
        said = pool.reason(self.plan.log(turn.number), code)
        if code not in pool.FOR_GOOD and turn.failed < self.options.retries and stop.number is None:
            cli.note(f"{name}: {said}; trying again")
            return None, turn._replace(failed=turn.failed + 1)
        return engines.Ended(turn.number, code, said, False), None


def _code(reference: Any) -> int | None:
    """Return the exit code of a job that has ended, None if it was lost; exit 2 if its node cannot run it."""
    import ray

    try:
        code, problem = ray.get(reference)
    except ray.exceptions.RayActorError as error:
        if error.actor_init_failed:
            cli.fail(f"a node cannot run the jobs: {_last_line(error)}")
        return None
    except ray.exceptions.RayError as error:
        cli.fail(f"a node cannot run the jobs: {_last_line(error)}")
    if problem:
        cli.fail(problem)
    return code


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _stop(running: dict[Any, _Running], number: int) -> list[_Turn]:
    """Let all jobs that have begun save and end; take the others back from Ray, and return them."""
    import ray

    back = []
    for reference, one in list(running.items()):
        if ray.wait([one.place], timeout=0)[0]:
            with contextlib.suppress(ray.exceptions.RayError):  # its node is lost
                one.actor.stop.remote(number)
        else:
            _release(one.actor)
            back.append(running.pop(reference).turn)
    return back


def _release(actor: Any) -> None:
    import ray

    with contextlib.suppress(ray.exceptions.RayError):
        ray.kill(actor)


def _place(reference: Any) -> str:
    """Return where a job ran, in words; nothing if it had not begun."""
    import ray

    try:
        return f" on {ray.get(reference, timeout=0)}"
    except ray.exceptions.RayError:
        return ""


def _sent(number: int) -> int:
    """Return the signal that a job is sent for one that came here, so that it ends for the same reason."""
    return signal.SIGUSR1 if number in signals.TIME_IS_OVER else signal.SIGTERM
