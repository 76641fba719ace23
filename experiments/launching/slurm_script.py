"""The batch script of an array of jobs: what Slurm reads of it, and a few lines of bash around the run.

The run is a child of the shell, so that a shell is left to look at how it ended. Exit code 75 puts the task back into
the queue, however often; another failure does, as often as `retries` says. Failures are counted in a file of the task:
Slurm's own count has the restarts that are nobody's failure, too.
"""

import dataclasses
import re
import shlex
import sys
from collections.abc import Sequence

from experiments.launching import engines
from experiments.launching.plan import Plan
from experiments.running import cli, pool

FOLDER = "slurm"  # in the plan's
LONGEST_NOTICE = 300  # seconds


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the user asks of Slurm for each job.

    Attributes:
      options: for sbatch, such as ("partition", "gpu"); one without a value has "".
      seconds: that a job may take; None for as long as the partition has it.
      asked_notice: how many seconds before the limit Slurm is to say that it comes; None for the rule below.
      together: whether the tasks that a job has, such as one a card, train together (`--distributed`).
    """

    options: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None
    asked_notice: int | None = None
    together: bool = False

    @property
    def notice(self) -> int:
        """Seconds before the limit at which Slurm says that it comes, for a chunk to end and the state to be saved."""
        if self.asked_notice is not None:
            return self.asked_notice
        return LONGEST_NOTICE if self.seconds is None else int(min(LONGEST_NOTICE, max(1, self.seconds / 6)))

    def max_seconds(self, asked: float | None) -> float | None:
        """Return after how long a run leaves by itself: later than Slurm says so, for where it does not."""
        own = None if self.seconds is None else self.seconds - self.notice / 2
        return min((limit for limit in (asked, own) if limit is not None), default=None)


def text(plan: Plan, numbers: Sequence[int], first: int, wishes: Wishes, options: engines.Options) -> str:
    """Return the script that runs some jobs of a plan.

    Args:
      plan: whose folder has what the script names.
      numbers: of the jobs, ascending.
      first: the job that the array's index 0 stands for.
      wishes: what is asked of Slurm.
      options: what every engine is told.
    """
    indices = spans([number - first for number in numbers]) + (f"%{options.jobs}" if options.jobs else "")
    folder = str(plan.folder.absolute())
    asked = [
        ("job-name", name(plan)),
        ("array", indices),
        ("output", f"{folder.replace('%', '%%')}/{FOLDER}/{first}/%a.log"),
        ("open-mode", "append"),
        ("chdir", plan.start),
        ("requeue", ""),
        ("signal", f"B:USR1@{wishes.notice}"),
        *([("time", clock(wishes.seconds))] if wishes.seconds is not None else []),
        *wishes.options,
    ]
    limit = wishes.max_seconds(options.max_seconds)
    words = [sys.executable, *engines.words(plan, 0)[:-2]]
    own = ["--must-learn", *([] if limit is None else ["--max-time", f"{limit / 60:g}"])]
    return _TEXT.format(
        directives="\n".join(_directive(*one) for one in asked),
        folder=shlex.quote(folder),
        first=first,
        run=_TOGETHER * wishes.together + shlex.join(words),
        own=shlex.join(own),
        again=cli.AGAIN,
        for_good=" | ".join(map(str, (0, *pool.FOR_GOOD))),
        retries=options.retries,
        patience=f"{0.9 * wishes.notice:g}",
        notes=FOLDER,
    )


def name(plan: Plan) -> str:
    """Return what the jobs are called in the queue."""
    return "r2i-" + re.sub(r"[^\w.-]+", "-", plan.folder.absolute().name)


def clock(seconds: float) -> str:
    """Return a time as sbatch reads it: H:MM:SS."""
    whole = max(1, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def spans(numbers: Sequence[int]) -> str:
    """Return ascending numbers as sbatch reads them: 0-3,7,9-10."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{low}-{high}" if low < high else str(low) for low, high in found)


def _directive(option: str, value: str) -> str:
    if not value:
        return f"#SBATCH --{option}"
    # Quotes of this kind alone, as sbatch and bash agree on them.
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f"#SBATCH --{option}=" + (value if re.fullmatch(r"[\w./:@%,=+-]+", value) else f'"{escaped}"')


# Each ends by itself, where another one has: the exit code is to be the first one's, which is the highest then.
_TOGETHER = "srun --kill-on-bad-exit=0 ${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} "
_TEXT = """#!/bin/bash
{directives}

# Written by `r2i launch --on slurm`: each task of the array is a job of jobs.json, which goes on from where it was.
plan={folder}
number=$(({first} + SLURM_ARRAY_TASK_ID))
task=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID

{run} "$plan" "$number" {own} &
run=$!
# USR1 comes to this shell alone, ahead of the time limit; TERM to cancel or to preempt. The run saves and leaves.
# A run that does not leave in time is ended before Slurm would end all of this: it goes back into the queue, too.
late() {{
  sleep {patience}
  kill -KILL "$run" 2> /dev/null && echo "error: no chunk ended before the time limit; --sbatch=--signal=B:USR1@SECONDS"
}}
trap 'told=1; kill -USR1 "$run" 2> /dev/null; late & late=$!' USR1
trap 'told=1; unwanted=1; kill -TERM "$run" 2> /dev/null' TERM
while told=; wait "$run"; code=$?; [ "$told" ]; do :; done  # told: the signal has ended the wait, not the run
[ "$late" ] && kill "$late" 2> /dev/null

[ "$unwanted" ] && exit 143  # what was preempted Slurm begins again by itself
case $code in
  {for_good}) exit "$code" ;;  # done, or it would fail again
  {again}) ;;  # the time is over
  *)
    failures=$plan/{notes}/$task.failures
    echo "$code" >> "$failures"
    [ "$(wc -l < "$failures")" -le {retries} ] || exit "$code" ;;
esac
echo "exit code $code: back into the queue"
trap '' TERM USR1  # Slurm ends what asks to begin again, maybe before scontrol has heard that it will
queued=$plan/jobs/$number.queued
touch "$queued"
scontrol requeue "$task" || rm -f "$queued"
exit "$code"
"""
