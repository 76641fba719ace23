"""What matters for learning to recall: one setting changed at a time, a few seeds each, one table.

    python -m benchmarks.ablation                     # every variant, about five minutes each on one core
    python -m benchmarks.ablation --only base paper-cuts --seeds 3 --steps 60000

Each variant is one vmapped program over the seeds. Printed and written (JSON lines, `--out`): the environment steps
after which the greedy evaluation return of each seed first reached `--solved`, and the return at the end.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import jax
import numpy as np

from experiments.presets import preset
from r2i_jit import Trainer

VARIANTS: dict[str, tuple[str, list[str]]] = {
    "base": ("the preset", []),
    "symlog-mse": ("observation loss: squared error in symlog space (paper)", ["model.observation_loss=symlog_mse"]),
    "raw-reward": ("learns from the reward as the game pays it, 1/48", ["hypers.reward_scale=1"]),
    "paper-cuts": ("replay windows cut anywhere (paper)", ["replay.start=paper"]),
    # Windows that begin with an episode of this length hold no other, so only in those cut anywhere is there a reset.
    "reset-released": (
        "as paper-cuts; resets inside the scan as the released code does them",
        ["replay.start=paper", "model.reset=released"],
    ),
    "reset-none": ("as paper-cuts; no resets inside the scan", ["replay.start=paper", "model.reset=none"]),
    "dt-paper": ("dt in [0.001, 0.1] (paper)", ["model.dt_min=0.001", "model.dt_max=0.1"]),
    "discount-paper": ("discount 0.997 (paper)", ["hypers.discount=0.997"]),
    "rep-paper": ("representation loss scale 0.1 (paper)", ["hypers.rep_scale=0.1"]),
    "reward-init-0": ("the reward head's output starts at zero (paper)", ["model.reward_init=0"]),
    "action-scale-1": ("action enters the dynamics unscaled (paper)", ["model.action_scale=1"]),
}


def run(name: str, env: str, seeds: int, steps: int, interval: int, episodes: int, overrides: list[str]) -> dict:
    """Train one variant, with `overrides` on top, and return its evaluations."""
    trainer = Trainer(preset("popgym", "tiny", env).override([*VARIANTS[name][1], *overrides]))
    compile_seconds = trainer.compile(seeds)
    state = trainer.init(jax.random.split(jax.random.key(0), seeds))
    begin, evaluated, at, curve = time.perf_counter(), 0, [], []
    step = trainer.prefill_steps
    while step < steps:
        state, _ = trainer.train_chunk(state)
        step = int(state.env_steps)
        if step // interval > evaluated or step >= steps:
            evaluated = step // interval
            played = trainer.evaluate(state, jax.random.fold_in(jax.random.key(1), step), episodes=episodes)
            at.append(step)
            curve.append(np.asarray(played["episode_return"]).mean(1).round(4).tolist())
    return {
        "variant": name,
        "env": env,
        "steps": at,
        "eval_return": curve,  # (evaluations, seeds)
        "seconds": round(time.perf_counter() - begin, 1),
        "compile_seconds": round(compile_seconds, 1),
    }


def summary(result: dict, solved: float) -> str:
    """Return the table row of one variant."""
    returns = np.array(result["eval_return"])
    reached = [
        f"{result['steps'][int(np.argmax(column >= solved))] / 1000:.0f}k" if (column >= solved).any() else "no"
        for column in returns.T
    ]
    final = returns[-1]
    error = final.std(ddof=1) / np.sqrt(len(final)) if len(final) > 1 else float("nan")
    what = VARIANTS[result["variant"]][0]
    score = f"{final.mean():.3f} ± {error:.3f}"
    return f"| {result['variant']} | {what} | {', '.join(reached)} | {score} | {result['seconds']:.0f} |"


def main() -> None:
    """Parse the command line, run the variants, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="variants (all)")
    parser.add_argument("--env", default="popgym/RepeatPreviousEasy", help="environment (%(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each variant (%(default)s)")
    parser.add_argument("--steps", type=int, default=60_000, help="environment steps per seed (%(default)s)")
    parser.add_argument("--interval", type=int, default=4_000, help="steps between evaluations (%(default)s)")
    parser.add_argument("--episodes", type=int, default=64, help="episodes of an evaluation, per seed (%(default)s)")
    parser.add_argument("--solved", type=float, default=0.97, help="return that counts as solved (%(default)s)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides of every variant")
    parser.add_argument("--out", type=Path, help="append each result to this JSON-lines file")
    args = parser.parse_args()
    print(f"{args.env} {' '.join(args.set)}, {args.seeds} seeds, {args.steps} steps; {platform.machine()}, "
          f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {time.strftime('%Y-%m-%d')}\n")  # fmt: skip
    print(f"| variant | changed | steps to {args.solved} per seed | return at the end | training seconds |")
    print("|---|---|---|---|---|", flush=True)
    for name in args.only:
        result = run(name, args.env, args.seeds, args.steps, args.interval, args.episodes, args.set)
        print(summary(result, args.solved), flush=True)
        if args.out:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
