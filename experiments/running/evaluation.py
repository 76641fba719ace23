"""Playing fresh episodes with a trained state, and how the result is summed up and shown."""

import math
from typing import Any

import numpy as np

from experiments.running.display import table
from experiments.running.references import references, summary
from r2i_jit.metrics import identity

# Streams of evaluation keys: one for the evaluations inside a run, one for the last, one for `experiments.evaluate`.
DURING, FINAL, SEPARATE = 1, 2, 3
FINAL_EPISODES = 128
QUANTILES = 0.1, 0.5, 0.9  # of a seed's returns


def evaluation_key(seed: int, stream: int, step: int) -> Any:
    """Return the key of an evaluation: a function of seed, stream and step only, so that a resume repeats it."""
    import jax

    # The root key of training is split, never folded, so that this stream is apart from it.
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), step)


def evaluate(
    trainer: Any, state: Any, key: Any, members: list[dict[str, Any]], episodes: int, forget: int | None = None
) -> dict[str, Any]:
    """Play `episodes` episodes per member and return their statistics as JSON values."""
    played = trainer.evaluate(state, key, episodes, forget=forget)
    returns, lengths = (np.asarray(played[name], np.float64) for name in ("episode_return", "episode_length"))
    rows = [
        {
            **member,
            "mean": _mean(returns[i]),
            "stderr": _stderr(returns[i]),
            "quantiles": np.quantile(returns[i], QUANTILES).tolist(),
            "length": _mean(lengths[i]),
        }
        for i, member in enumerate(members)
    ]
    per_member = returns.mean(axis=1)
    # Episodes of one seed share a policy: with several seeds the error of the mean is taken over seeds.
    stderr = _stderr(per_member) if len(members) > 1 else rows[0]["stderr"]
    return {"episodes": returns.shape[1], "members": rows, "mean": _mean(per_member), "stderr": stderr}


def report(env: str, result: dict[str, Any]) -> str:
    """Return the table of an evaluation, its overall mean and the known returns of the environment."""
    body = [
        [
            identity(row),
            _show(row["mean"], row["stderr"]),
            *(f"{value:.2f}" for value in row["quantiles"]),
            f"{row['length']:.1f}",
        ]
        for row in result["members"]
    ]
    text = table(["seed", "return (mean ± s.e.)", *(f"{q:.0%} below" for q in QUANTILES), "episode length"], body)
    if not any(key.startswith("hypers.") for key in result["members"][0]):  # else the mean is over unlike agents
        over = "seeds" if len(body) > 1 else "episodes"
        mean = _show(result["mean"], result["stderr"])
        text += f"\nmean return {mean} (s.e. over {over}; {result['episodes']} episodes each)"
    known = summary(env)
    return text + (f"\nknown for {env}: {known}" if known else "")


def document(env: str, step: int, result: dict[str, Any]) -> dict[str, Any]:
    """Return what evaluation.json holds."""
    return {"env": env, "env_steps": step, **result, "references": references(env)}


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


def _stderr(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def _show(mean: float, stderr: float | None) -> str:
    return f"{mean:.3f}" + (f" ± {stderr:.3f}" if stderr is not None else "")
