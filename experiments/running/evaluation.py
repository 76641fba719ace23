"""Playing fresh episodes with a trained state, and how the result is summed up and shown."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from experiments.running import distributed, runinfo
from experiments.running.cli import note
from experiments.running.display import table
from experiments.running.references import references, summary
from r2i_jit.metrics import identity

# Streams of evaluation keys: one for the evaluations inside a run, one for the last, one for `experiments.evaluate`,
# one for the films.
# Training's keys are what `split` makes of the same root key, which is `fold_in` of the seed's index: these are larger
# than any.
DURING, FINAL, SEPARATE, FILMED = 2**32 - 1, 2**32 - 2, 2**32 - 3, 2**32 - 4
FINAL_EPISODES = 128
QUANTILES = 0.1, 0.5, 0.9  # of a seed's returns
OTHER = "other_mean", "other_stderr"  # where greedy play is evaluated, of sampled play, and the reverse


def evaluation_key(seed: int, stream: int, step: int) -> Any:
    """Return the key of an evaluation: a function of seed, stream and step only, so that a resume repeats it."""
    import jax

    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), step)


def draws(info: runinfo.RunInfo) -> list[int]:
    """Return, for each member, the number that says which episodes it is evaluated on: the `rows` of `evaluate`.

    In a sweep it is the same for a seed under all hyper-parameters, so that these are compared on the same episodes.
    """
    if info.kind != "sweep":
        return info.rows
    envs = [member.get("env") for member in info.members]
    places = {env: place for place, env in enumerate(dict.fromkeys(envs))}
    return [places[env] * info.num_seeds + member["seed"] for env, member in zip(envs, info.members, strict=True)]


def evaluate(
    trainer: Any,
    state: Any,
    key: Any,
    members: list[dict[str, Any]],
    episodes: int,
    forget: int | None = None,
    max_steps: int | None = None,
    rows: list[int] | None = None,
) -> dict[str, Any]:
    """Play `episodes` episodes per member and return their statistics as JSON values; `rows` as of `Trainer.evaluate`.

    They are of the form of play that the configuration names, `greedy` says which. `other_mean` and `other_stderr` are
    of the other one, which begins with the same keys: of samples beside the most likely actions, or the reverse.

    A member that has diverged has no figures, and is in no mean. `cut` is the number of episodes that had not ended
    after as many steps as the evaluation allows: their returns are what they had until then.
    """
    greedy = trainer.config.loop.evaluation_greedy
    ways = [
        trainer.evaluate(state, key, episodes, greedy=way, forget=forget, max_steps=max_steps, rows=rows)
        for way in (greedy, not greedy)
    ]
    played = ways[0]
    returns, lengths = (np.asarray(played[name], np.float64) for name in ("episode_return", "episode_length"))
    others = np.asarray(ways[1]["episode_return"], np.float64)
    cut, lost = np.asarray(played["episode_cut"]), np.asarray(distributed.fetched(trainer, state, "seeds.diverged"))
    own = [
        {**member, "diverged": True, **dict.fromkeys(("mean", "stderr", "quantiles", "length", *OTHER))}
        if lost[i]
        else {
            **member,
            "mean": _mean(returns[i]),
            "stderr": _stderr(returns[i]),
            "quantiles": np.quantile(returns[i], QUANTILES).tolist(),
            "length": _mean(lengths[i]),
            **dict(zip(OTHER, (_mean(others[i]), _stderr(others[i])), strict=True)),
        }
        for i, member in enumerate(members)
    ]
    return together(own, greedy, returns.shape[1], int(cut[~lost].sum()), int(lengths.max()))


def together(members: list[dict[str, Any]], greedy: bool, episodes: int, cut: int, longest: int) -> dict[str, Any]:
    """Return what `evaluate` does, of what it says of each member.

    Args:
      members: one entry for each.
      greedy: whether the most likely actions were played, and not samples.
      episodes: of each.
      cut: episodes of all that were cut.
      longest: steps of the longest.
    """
    # Episodes of one seed share a policy: with several seeds the error of the mean is taken over seeds.
    overall = mean_over_seeds(members)
    extra = {"cut": cut, "cut_at": longest} if cut else {}
    return {"greedy": greedy, "episodes": episodes, "members": members, **overall, **extra}


def joined(results: list[dict[str, Any]], places: list[int]) -> dict[str, Any]:
    """Return what `evaluate` does, of what it says of each part of a run; `places` are the members' in the whole."""
    own = [entry for result in results for entry in result["members"]]
    ordered = sorted(range(len(own)), key=lambda index: places[index])
    cut = sum(result.get("cut", 0) for result in results)
    longest = max(result.get("cut_at", 0) for result in results)
    return together([own[index] for index in ordered], results[0]["greedy"], results[0]["episodes"], cut, longest)


def mean_over_seeds(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return mean and standard error of some members of `evaluate`'s result, over those that have not diverged.

    Those of the other form are there if all members have them: they were not always played.
    """
    sound = [row for row in rows if row["mean"] is not None]
    forms = [("mean", "stderr"), *([OTHER] if all(OTHER[0] in row for row in rows) else [])]
    if len(sound) == 1 == len(rows):
        return {name: sound[0][name] for form in forms for name in form}
    result: dict[str, float | None] = {}
    for mean, stderr in forms:
        means = np.array([row[mean] for row in sound])
        result |= {mean: _mean(means) if sound else None, stderr: _stderr(means)}
    return result


def report(env: str, result: dict[str, Any]) -> str:
    """Return the table of an evaluation, its overall mean and the known returns of the environment."""
    body = [[identity(row), *_cells(row)] for row in result["members"]]
    first = result["members"][0]
    who = "setting, seed" if "env" in first else "seed"
    forms = form(result["greedy"]), form(not result["greedy"])
    head = [who, f"return, {forms[0]} (mean ± s.e.)", *(f"{q:.0%} below" for q in QUANTILES), "episode length"]
    text = table([*head, f"return, {forms[1]}"], body)
    unlike = "env" in first or any(key.startswith("hypers.") for key in first)  # the mean would be over unlike agents
    if not unlike and result["mean"] is not None:
        over = "seeds" if len(body) > 1 else "episodes"
        mean = shown(result["mean"], result["stderr"])
        other = shown(*(result[name] for name in OTHER))
        text += f"\nmean return {mean} {forms[0]}, {other} {forms[1]}"
        text += f" (s.e. over {over}; {result['episodes']} episodes each)"
    if "cut" in result:
        played = result["episodes"] * sum(row["mean"] is not None for row in result["members"])
        text += (
            f"\n{result['cut']} of {played} episodes had not ended after {result['cut_at']:,} steps and were cut: "
            "their returns are what they had until then"
        )
    known = summary(env)
    return text + (f"\nknown for {env}: {known}" if known else "")


def document(env: str, step: int, result: dict[str, Any]) -> dict[str, Any]:
    """Return what evaluation.json holds."""
    return {"env": env, "env_steps": step, **result, "references": references(env)}


def read_document(path: Path) -> dict[str, Any] | None:
    """Return what an evaluation.json holds; None if there is none, or with a warning if it does not read."""
    if not path.exists():
        return None
    try:
        found = runinfo.read_object(path)
    except runinfo.RunFileError as error:
        note(f"{error}; it is passed over")
        return None
    number = lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    sound = isinstance(found.get("env"), str) and isinstance(found.get("env_steps"), int)
    sound &= all(name in found and (found[name] is None or number(found[name])) for name in ("mean", "stderr"))
    members = found.get("members")
    sound &= (
        isinstance(members, list) and bool(members) and all(isinstance(row, dict) and "mean" in row for row in members)
    )
    if not sound:
        note(
            f"{path} is damaged: env, env_steps, mean, stderr or members is missing or no such value; it is passed over"
        )
        return None
    return found


def _cells(row: dict[str, Any]) -> list[str]:
    if row["mean"] is None:
        return ["diverged", *["-"] * len(QUANTILES), "-", "-"]
    quantiles = [f"{value:.2f}" for value in row["quantiles"]]
    other = shown(*(row[name] for name in OTHER))
    return [shown(row["mean"], row["stderr"]), *quantiles, f"{row['length']:.1f}", other]


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


def _stderr(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def form(greedy: bool) -> str:
    """Return what an evaluation's form of play is called."""
    return "greedy" if greedy else "sampled"


def shown(mean: float, stderr: float | None) -> str:
    """Return a mean and its standard error as text."""
    return f"{mean:.3f}" + (f" ± {stderr:.3f}" if stderr is not None else "")
