"""Learning curves as one figure, from the metrics of one or more runs or from what `scores` kept of them.

Thin lines are seeds, the thick line is their mean, the band its 95 % confidence interval over seeds (Student's t, so
it is honestly wide with few seeds), dots are the evaluations. Dashed lines are known returns of the environment, grey
squares points of a published curve, as far as they lie within the run's steps.
"""

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.running import rundir
from experiments.running.cli import fail, names, note
from experiments.running.references import lines as reference_lines
from experiments.running.references import references, span

# Okabe and Ito's palette: told apart with every common form of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# One after the other where the colours are used up: a bsuite experiment has up to 23 settings.
STYLES = ("-", "--", ":", "-.", (0, (7, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (9, 4)))
_MOST_INSIDE = 8  # entries of a legend that is drawn among the curves; a longer one stands beside them
_TITLE, _TITLE_LINES, _LABEL = 54, 3, 60  # characters of a line, and how many lines, that the picture has room for
POINTS = 150  # a curve is averaged into at most this many points


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line of the figure with its seeds.

    Attributes:
      steps: environment steps, shape (points,).
      returns: training returns, shape (seeds, points); NaN where no episode ended.
      eval_steps, evaluations: the same for evaluations; (evaluations,) and (seeds, evaluations).
      members: what identifies each seed, such as `{"seed": 0}`, in a sweep with its `hypers.*` values, and with its
        `env` where there are several settings.
    """

    label: str
    steps: np.ndarray
    returns: np.ndarray
    eval_steps: np.ndarray
    evaluations: np.ndarray
    members: tuple[dict[str, Any], ...] = ()


def plot_runs(run_dirs: Sequence[Path], out: Path) -> Path:
    """Draw the learning curves of one or more runs into the PNG file `out` and return its path.

    A run with no finished episode yet gives an empty figure. Exits with 2 if a folder is no run directory.
    """
    runs = [(run_dir, *rundir.load(run_dir)) for run_dir in run_dirs]
    called = names(run_dirs) if len(runs) > 1 else [""]
    curves = [curve for name, (path, _, info) in zip(called, runs, strict=True) for curve in of_run(path, info, name)]
    return draw(curves, [config.env for _, config, _ in runs], out)


def show_run(run_dir: Path) -> None:
    """Draw the learning curve of a run that has just ended into its directory, and say where; or why there is none."""
    try:
        print(f"learning curve: {plot_runs([run_dir], run_dir / 'plots' / 'learning_curve.png')}", flush=True)
    except OSError as error:
        note(f"no learning curve: {error.strerror or error}")


def of_run(run_dir: Path, info: Any, name: str = "") -> list[Curve]:
    """Return one curve per setting of hyper-parameters: one for a training run, several for a sweep.

    Args:
      run_dir: the run directory.
      info: its RunInfo.
      name: what the run is called in the labels, if there are several in the figure.
    """
    from experiments.running import recorded
    from r2i_jit.metrics import identity

    try:
        rows = recorded.rows(run_dir)
    except OSError as error:
        fail(f"cannot read {error.filename or run_dir / 'metrics.jsonl'}: {error.strerror or error}")
    if missing := recorded.missing(run_dir):
        note(f"{run_dir}: {', '.join(missing)} not begun: the curves are of the others")
    groups: dict[str, list[dict[str, Any]]] = {}
    for member in recorded.members(run_dir, info):
        groups.setdefault(_setting(member), []).append(member)
    curves = []
    for members in groups.values():
        own = [[row for row in rows if identity(row) == identity(member)] for member in members]
        curve = _curve(label(name, members), own)
        curves.append(dataclasses.replace(curve, members=tuple(members)))
    return curves


def label(name: str, members: Sequence[dict[str, Any]]) -> str:
    """Return what a curve is called: its run, if a name is given, and its setting; else how many seeds it has."""
    text = ", ".join(part for part in (name, _setting(members[0])) if part)
    return text or ("1 seed" if len(members) == 1 else f"mean of {len(members)} seeds, 95 % interval")


def _setting(member: dict[str, Any]) -> str:
    own = [member["env"].rpartition("/")[2]] if "env" in member else []
    swept = [f"{key.removeprefix('hypers.')}={value:g}" for key, value in member.items() if key.startswith("hypers.")]
    return ", ".join(own + swept)


def _curve(label: str, seeds: list[list[dict[str, Any]]]) -> Curve:
    """Average each seed's rows into bins of equal length, weighting a row by its number of episodes."""
    by_step = [{row["env_steps"]: row for row in rows} for rows in seeds]
    last = min(max(rows, default=-1) for rows in by_step)  # lines may be missing while a run is being written
    reached = sorted(step for step in set.union(*map(set, by_step)) if step <= last)
    aligned = [[rows.get(step, {}) for step in reached] for rows in by_step]  # and damaged ones were passed over
    length, steps = len(reached), np.array(reached, float)
    shape = len(seeds), length
    returns = np.array([[_number(row.get("episode_return")) for row in rows] for rows in aligned]).reshape(shape)
    weights = np.array([[_number(row.get("episodes", 1)) for row in rows] for rows in aligned]).reshape(shape)
    bins = np.array_split(np.arange(length), min(length, POINTS)) if length else []
    weights = np.where(np.isfinite(returns), weights, 0.0)
    total = np.stack([weights[:, b].sum(1) for b in bins], 1) if length else np.zeros((len(seeds), 0))
    summed = np.stack([(weights[:, b] * np.nan_to_num(returns[:, b])).sum(1) for b in bins], 1) if length else total
    averaged = np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)
    evaluated = [i for i in range(length) if any("eval_return" in rows[i] for rows in aligned)]
    evaluations = np.array([[_number(rows[i].get("eval_return")) for i in evaluated] for rows in aligned]).reshape(
        len(seeds), len(evaluated)
    )
    return Curve(label, np.array([steps[b].mean() for b in bins]), averaged, steps[evaluated], evaluations)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and half-width of the 95 % interval over axis 0, passing NaN over; half-width 0 where n < 2."""
    from scipy.special import stdtrit

    count = np.isfinite(values).sum(0)
    filled = np.nan_to_num(values)
    mean = np.divide(filled.sum(0), count, out=np.full(count.shape, np.nan), where=count > 0)
    squares = np.where(np.isfinite(values), (filled - np.nan_to_num(mean)) ** 2, 0.0).sum(0)
    several = np.maximum(count, 2)
    width = stdtrit(several - 1, 0.975) * np.sqrt(squares / (several - 1) / several)
    return mean, np.where(count > 1, width, 0.0)


def between(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values (steps,) with the NaN between two numbers on the line from one to the other.

    Where no episode of a seed ended it is not left out of the mean, which would go up and down with who is in it. What
    is before the first number or after the last, of a seed that diverged, stays NaN.
    """
    known = np.isfinite(values)
    if not known.any():
        return values
    return np.interp(steps, steps[known], values[known], left=np.nan, right=np.nan)


def draw(curves: Sequence[Curve], envs: Sequence[str], out: Path) -> Path:
    """Draw curves of the given environments into the PNG file `out` and return its path."""
    from matplotlib.figure import Figure

    envs = sorted(set(envs))
    figure = Figure(figsize=(7.5, 4.4), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for index, curve in enumerate(curves):
        _draw_curve(axes, curve, COLOURS[index % len(COLOURS)], STYLES[index // len(COLOURS) % len(STYLES)])
    _draw_references(axes, envs, max((curve.steps.max(initial=0) for curve in curves), default=0))
    _style(axes, curves, envs)
    return save(figure, out)


def save(figure: Any, out: Path, **options: Any) -> Path:
    """Write a figure into the PNG file `out`, never half of it in the place of a whole one, and return its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".tmp")
    figure.savefig(temporary, format="png", **options)
    temporary.replace(out)
    return out


def _draw_curve(axes: Any, curve: Curve, colour: str, style: Any) -> None:
    def line(values, size, **looks):
        kept = np.isfinite(values)
        marker = "D" if kept.sum() == 1 else ""  # One point makes no line.
        looks |= {"color": colour, "linestyle": style, "marker": marker, "markersize": size}
        axes.plot(curve.steps[kept], values[kept], **looks)

    mean, width = interval(
        np.array([between(curve.steps, seed) for seed in curve.returns]).reshape(curve.returns.shape)
    )
    known = np.isfinite(mean)
    if len(curve.returns) > 1:
        for seed in curve.returns:
            line(seed, 3, alpha=0.35, linewidth=0.8)
        axes.fill_between(
            curve.steps[known], (mean - width)[known], (mean + width)[known], color=colour, alpha=0.15, linewidth=0
        )
    line(mean, 5, linewidth=2, label=curve.label)
    if curve.evaluations.size:
        axes.plot(
            curve.eval_steps, interval(curve.evaluations)[0], "o", color=colour, markersize=4.5, markeredgecolor="white"
        )


def _draw_references(axes: Any, envs: Sequence[str], steps: float) -> None:
    """Draw known returns; with several environments in one figure they would say nothing."""
    if len(envs) != 1:
        return
    for label, low, high in reference_lines(envs[0]):
        if low < high:
            axes.axhspan(low, high, color="0.45", alpha=0.1, linewidth=0, zorder=0)
        for value in {low, high}:
            axes.axhline(value, color="0.45", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axes.annotate(
            f"{label} {span(low, high, 2)}", (1, high), xycoords=("axes fraction", "data"), xytext=(-4, 3),
            textcoords="offset points", ha="right", va="bottom", fontsize=8, color="0.35",
        )  # fmt: skip
    for agent, points in references(envs[0]).get("curves", {}).items():
        if inside := [point for point in points if point[0] <= steps]:
            x, y = zip(*inside, strict=True)
            axes.plot(x, y, "s:", color="0.45", markersize=5, linewidth=1, label=agent)


def _style(axes: Any, curves: Sequence[Curve], envs: Sequence[str]) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    values = [curve.returns[np.isfinite(curve.returns)] for curve in curves]
    values += [curve.evaluations[np.isfinite(curve.evaluations)] for curve in curves]
    values += [np.array(ends) for _, *ends in reference_lines(envs[0])] if len(envs) == 1 else []
    everything = np.concatenate(values)
    if everything.size:
        # From the seeds and references, not from the band, which with two seeds can be wider than any return.
        low, high = everything.min(), everything.max()
        margin = 0.08 * max(high - low, 1e-3)
        axes.set_ylim(low - margin, high + 1.5 * margin)
    axes.set_xlim(0, max(1, axes.get_xlim()[1]))  # Without a curve there would be thousandths of a step.
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.set_xlabel("environment steps per seed")
    axes.set_ylabel("episode return")
    axes.set_title(_wrapped(" · ".join(envs)), loc="left", fontweight="bold")
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if any(curve.evaluations.size for curve in curves):
        handles += axes.plot([], [], "o", color="0.3", markersize=4.5, markeredgecolor="white")
        labels.append("evaluation (mean)")
    labels = [textwrap.fill(label, _LABEL) for label in labels]
    if len(handles) > _MOST_INSIDE:
        axes.figure.legend(handles, labels, frameon=False, fontsize=7, handlelength=4, loc="outside right upper")
    elif handles:
        axes.legend(handles, labels, frameon=False, fontsize=8, loc="best")


def _wrapped(title: str) -> str:
    """Return a title in lines that are not wider than the picture; the end of one without end is left out."""
    if len(title) > _TITLE:
        title = title.replace(",", ", ")  # Between the numbers of settings, and not within one.
    lines = textwrap.wrap(title, _TITLE, max_lines=_TITLE_LINES, placeholder=" …", break_on_hyphens=False)
    return "\n".join(lines)
