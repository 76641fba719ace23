"""One run over several processes (`--distributed`), each with devices of its own, on one machine or on several.

The first process does all that a run does: it reads what is there, writes the run directory, decides when to evaluate,
to save and to stop. The others have a Trainer like its own, and no file: they are told what the first one's is asked
for (`words`), and do the same.
"""

import contextlib
import dataclasses
import functools
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any, NoReturn

from experiments.running import cli, signals, words
from experiments.running.waiting import Stopped, wait_for

_LOOKS = 0.2  # seconds between two looks at whether there is something new
_MEETS = 300  # seconds to wait for all processes at the beginning
_FAILED = 1
_OVER, _ASKED = "r2i/over", "r2i/asked"
_TRAINER, _WHOLE = "trainer", "whole"  # orders, beside the names of what is done together
_LOSS = re.compile("gloo|nccl|connection|unavailable|coordination|heartbeat", re.IGNORECASE)
Lead = Callable[[], tuple[int, Path, Any]]
Rows = Callable[[Any, Any], tuple[Any, Any]]


def begin(place: cli.Place, stop: signals.StopSignal) -> None:
    """Meet the other processes; call it before JAX has any devices.

    Exits 2 if they do not come within minutes, or as a signal says.
    """
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # which would take SIGTERM from our handler
    given: dict[str, Any] = {}
    if place.processes:
        given = {
            "coordinator_address": place.address, "num_processes": place.processes, "process_id": place.number,
        }  # fmt: skip
    # JAX would wait without an ear for signals, and abort in the end.
    meet = lambda: jax.distributed.initialize(**given, initialization_timeout=2 * _MEETS)
    where = f" at {place.address}" if given else ""
    try:
        wait_for(meet, f"waiting for the other processes{where}", stop, "stopping; nothing has begun yet", _MEETS)
    except Stopped:
        raise SystemExit(stop.exit_code) from None
    except TimeoutError:
        cli.fail(f"--distributed: not all processes came{where} within {_MEETS // 60} minutes")
    except ValueError:
        cli.fail("--distributed: no queue, MPI or pod says which processes there are; give --distributed I/N@HOST:PORT")
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        cli.fail(f"--distributed: the processes did not meet ({reason[:300]})")
    words.ours().again = "--distributed" + (f" I/{place.processes}@{place.address}" if given else "")


def again() -> str:
    """Return what a command line needs to go on with as many processes, with a space in front; nothing for one."""
    import jax

    return f" {words.ours().again}" if jax.process_count() > 1 else ""


def run(lead: Lead, rows: Rows, stop: signals.StopSignal) -> tuple[int, Path, Any]:
    """Do a run in the first process and what it takes of the others in these; call it in all of them.

    Args:
      lead: the run: returns its exit code, and whatever else the caller wants of the first process.
      rows: (Config, RunInfo) -> keys and Hypers of the members, or None for the Config's.
      stop: says when to stop.

    Returns:
      What `lead` does; in the other processes the exit code, no path and None.
    """
    import jax

    if jax.process_index():
        return _follow(rows, stop), Path(), None
    threading.Thread(target=_pass_on_signals, args=(stop,), daemon=True).start()
    try:
        found = lead()
    except SystemExit as error:
        _part_ways(error.code if isinstance(error.code, int) else _FAILED)
        raise
    except Exception as error:
        if is_loss(error):
            reason = str(error).splitlines()[0][:200]
            cli.note(f"error: another process is gone, or failed; what is saved is not lost: --resume ({reason})")
        else:
            traceback.print_exc()
        _abandon(_FAILED)
    _part_ways(found[0])
    return found


def is_loss(error: Exception) -> bool:
    """Return whether an error is what an exchange with a process that is gone raises."""
    import jax

    return isinstance(error, jax.errors.JaxRuntimeError | ValueError) and bool(_LOSS.search(str(error)))


def refuse_idle(trainer: Any, num_seeds: int) -> None:
    """Exit 2 if so many seeds leave devices of several processes without work: nobody would have these wait."""
    import jax

    there, taken = len(jax.devices()), trainer.devices_for(num_seeds)
    if jax.process_count() > 1 and taken < there:
        cli.fail(
            f"--distributed: {jax.process_count()} processes have {there} devices and this run takes {taken}; give "
            f"--devices-per-seed {there}, or another number that with --seeds takes all of them"
        )


def leading(trainer: Any, config: Any, info: Any) -> Any:
    """Return the Trainer of a run, which has those of the other processes do what it does, if there are others.

    Args:
      trainer: the first process's.
      config: the run's.
      info: what else the run is.
    """
    import jax

    return trainer if jax.process_count() == 1 else _Leading(trainer, config, info)


def fetched(trainer: Any, state: Any, part: str = "") -> Any:
    """Return a state of a run, or a part such as `seeds.agent`, as this process can read it."""
    return trainer.fetched(state, part) if isinstance(trainer, _Leading) else _part(state, part)


def placed(trainer: Any, state: Any) -> Any:
    """Return a state that this process has whole where the Trainer's programs want it."""
    return trainer.placed(state) if isinstance(trainer, _Leading) else state


class _Together:
    """What all processes do at the same time with their Trainers and their parts of the state, by its name.

    Each takes the state and JSON values, and returns the state after it and what comes of it, which `whole` makes
    readable for the first process.
    """

    def __init__(self, trainer: Any, rows: Callable[[], tuple[Any, Any]]) -> None:
        self._trainer, self._rows = trainer, rows
        self.found: Any = None

    def compile(self, state: Any, num_seeds: int, **settings: bool) -> tuple[Any, float]:
        return state, self._trainer.compile(num_seeds, **settings)

    def begin(self, state: Any) -> tuple[Any, Any]:
        return self._trainer.begin(*self._rows())

    def train_chunk(self, state: Any) -> tuple[Any, Any]:
        return self._trainer.train_chunk(state)

    def evaluate(self, state: Any, key: list[int], episodes: int | None, settings: dict[str, Any]) -> tuple[Any, Any]:
        import jax
        import jax.numpy as jnp

        typed = jax.random.wrap_key_data(jnp.array(key, jnp.uint32))
        return state, self._trainer.evaluate(state, typed, episodes, **settings)

    def fetched(self, state: Any, part: str) -> tuple[Any, Any]:
        return state, _part(state, part)

    def placed(self, state: Any, num_seeds: int) -> tuple[Any, Any]:
        from r2i_jit import processes

        state = processes.placed(state, self._trainer.state_shapes(num_seeds))
        return state, state

    def do(self, what: str, state: Any, given: dict[str, Any]) -> Any:
        """Do what has this name, and return the state after it."""
        state, self.found = getattr(self, what)(state, **given)
        return state

    def whole(self) -> Any:
        """Return what came of what was done last."""
        from r2i_jit import processes

        found, self.found = self.found, None
        return processes.whole(found)


class _Leading:
    """The first process's Trainer: before it does what takes all of them, the others are told."""

    def __init__(self, trainer: Any, config: Any, info: Any) -> None:
        self._trainer = trainer
        words.ours().order(_TRAINER, {"config": config.to_dict(), "info": dataclasses.asdict(info)})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)

    def compile(self, num_seeds: int, **settings: bool) -> float:
        """As of the Trainer, in all processes."""
        return self._all("compile", None, whole=False, num_seeds=num_seeds, **settings)[1]

    def begin(self, *rows: Any) -> tuple[Any, Any]:
        """As of the Trainer, in all processes; its rows are what `run` was told."""
        return self._all("begin", None, rows)

    def train_chunk(self, state: Any) -> tuple[Any, Any]:
        """As of the Trainer, in all processes."""
        return self._all("train_chunk", state)

    def evaluate(self, state: Any, key: Any, episodes: int | None = None, **settings: Any) -> Any:
        """As of the Trainer, in all processes."""
        import jax

        data = jax.device_get(jax.random.key_data(key)).tolist()
        return self._all("evaluate", state, key=data, episodes=episodes, settings=settings)[1]

    def fetched(self, state: Any, part: str) -> Any:
        """Return a part of a state whole, on the host."""
        return self._all("fetched", state, part=part)[1]

    def placed(self, state: Any) -> Any:
        """Return a state that is whole here where the programs want it."""
        return self._all("placed", state, whole=False, num_seeds=state.seeds.key.shape[0])[0]

    def _all(self, what: str, state: Any, rows: Any = (), whole: bool = True, **given: Any) -> tuple[Any, Any]:
        """Return the state after something that all do, and what came of it: as the first process can read it, or not
        looked at.
        """
        together = _Together(self._trainer, lambda: rows)
        words.ours().order(what, given)
        state = together.do(what, state, given)
        if not whole:
            return state, together.found
        words.ours().order(_WHOLE, {})
        return state, together.whole()


def _part(state: Any, part: str) -> Any:
    return attrgetter(part)(state) if part else state


def _follow(rows: Rows, stop: signals.StopSignal) -> int:
    """Do what the first process says until it says that the run is over; return the exit code that it says."""
    stop.consequence = "told to the first process"
    sys.stdout.flush()
    os.dup2(2, 1)  # results are the first process's; what is printed here is gloo's
    over = threading.Event()
    thread = threading.Thread(target=_obey, args=(rows, over), daemon=True)
    thread.start()
    told = False
    while (said := words.ours().heard(_OVER)) is None:
        if not thread.is_alive():
            _end(_FAILED)  # what went wrong was said; the first process notices that this one has gone
        if stop.number is not None and not told:
            told = True
            words.ours().say(f"{_ASKED}/{os.getpid()}-{stop.number}", stop.number)
    code, together = said
    if not together:
        _end(code)
    over.set()
    thread.join(10 * _LOOKS)
    _leave()
    if thread.is_alive():  # in the middle of what the first process has given up
        _end(code)
    return code


def _obey(rows: Rows, over: threading.Event) -> None:
    import jax

    from experiments.running import importing
    from experiments.running.runinfo import RunInfo
    from r2i_jit import Trainer
    from r2i_jit.config import Config

    together: Any = None
    state = None
    try:
        while not over.is_set():
            order = words.ours().next_order()
            if order is None:
                continue
            what, given = order
            if what == _TRAINER:
                config, info = Config.from_dict(given["config"]), RunInfo(**given["info"])
                importing.prepare(info.imports, info.folder)
                trainer = Trainer(
                    config,
                    devices=jax.devices(),
                    devices_per_seed=info.devices_per_seed,
                    tallied=info.log_episodes is not None,
                )
                together, state = _Together(trainer, functools.partial(rows, config, info)), None
            elif what == _WHOLE:
                together.whole()
            else:
                state = together.do(what, state, given)
            words.ours().done()
    except SystemExit:
        return  # and why was said
    except Exception as error:
        if not over.is_set() and not is_loss(error):  # else the first process says it
            traceback.print_exc()


def _pass_on_signals(stop: signals.StopSignal) -> None:
    """Have signals that came to other processes alone answered here, wherever this one is; for a thread."""
    with contextlib.suppress(Exception):  # the others are gone, which others notice
        while stop.number is None:
            time.sleep(_LOOKS)
            for number in words.ours().all(_ASKED)[:1]:
                # The end of the other's --max-time: this one may have no such limit.
                os.kill(os.getpid(), signal.SIGUSR1 if number == signal.SIGALRM else number)
                return


def _part_ways(code: int) -> None:
    """Tell the other processes that the run is over, and wait for them to leave."""
    words.ours().say(_OVER, (code, True))
    _leave()


def _abandon(code: int) -> NoReturn:
    """Tell the other processes that the run is over, those that still hear it, and end."""
    with contextlib.suppress(Exception):
        words.ours().say(_OVER, (code, False))
        time.sleep(10 * _LOOKS)
    _end(code)


def _end(code: int) -> NoReturn:
    """End at once: to leave as `_leave` does takes minutes where a process is gone, and then an abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _leave() -> None:
    import jax

    with contextlib.suppress(Exception):
        jax.distributed.shutdown()
