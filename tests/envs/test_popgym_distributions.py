"""What POPGym games draw at a reset, against 20,000 resets of the original (tests/golden/popgym_resets.json)."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest
from scipy import stats

from tests.envs.playing import BY_LEVEL, POPGYM, family_of, make

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "popgym_resets.json").read_text())
DRAWS = 20_000
LEVEL = 1e-3  # of significance, for all columns of an id together (Bonferroni)


def homogeneity(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the p-value of a chi-square test that two rows of counts come from one distribution.

    Categories are joined, rarest first, until each is expected at least ten times on both sides.
    """
    table = np.array([ours, theirs], float)
    table = table[:, np.argsort(table.sum(0))]
    while table.shape[1] > 1 and table[:, 0].sum() * table.sum(1).min() / table.sum() < 10:
        table = np.concatenate([table[:, :2].sum(1, keepdims=True), table[:, 2:]], 1)
        table = table[:, np.argsort(table.sum(0))]
    return 1.0 if table.shape[1] == 1 else float(stats.chi2_contingency(table, correction=False).pvalue)


@pytest.mark.heavy
@pytest.mark.parametrize("env_id", [one for one in BY_LEVEL if one.values[0] in GOLDEN["counts"]])
def test_resets_are_distributed_as_in_the_original(env_id):
    (family, _), (env, params) = family_of(env_id), make(env_id)
    _, states = jax.jit(jax.vmap(lambda key: env.reset_env(key, params)))(jax.random.split(jax.random.key(3), DRAWS))
    fields = {field.name: np.asarray(getattr(states, field.name)) for field in dataclasses.fields(states)}
    tests = {}
    for name, values in family.statistics(fields).items():
        columns = values.reshape(DRAWS, -1)
        for k, theirs in enumerate(GOLDEN["counts"][env_id][name]):
            ours = np.bincount(columns[:, k], minlength=len(theirs))
            theirs = np.pad(theirs, (0, len(ours) - len(theirs)))
            tests[name, k] = homogeneity(ours, theirs)
    worst = min(tests, key=tests.__getitem__)
    assert tests[worst] > LEVEL / len(tests), f"{worst}: p = {tests[worst]:.1e} of {len(tests)} tests"


def test_every_game_that_draws_something_is_compared():
    assert set(GOLDEN["counts"]) == set(POPGYM)
    assert GOLDEN["resets"] >= 10_000


def test_the_comparison_notices_a_difference():
    rng = np.random.default_rng(0)
    fair, biased = rng.integers(0, 6, DRAWS), rng.choice(6, DRAWS, p=[0.2, 0.16, 0.16, 0.16, 0.16, 0.16])
    assert homogeneity(np.bincount(fair), np.bincount(rng.integers(0, 6, DRAWS))) > 1e-3
    assert homogeneity(np.bincount(fair), np.bincount(biased)) < 1e-9
