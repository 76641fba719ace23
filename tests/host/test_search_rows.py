"""With the real Trainer on a little game: one compilation serves a search, and a row goes on wherever it is put."""

import json

import jax
import numpy as np
import pytest

import r2i_jit
from experiments import search
from experiments.searching import rows
from tests.agents import small_config
from tests.host import little_games
from tests.trees import assert_same, leaves

LRS = (1e-3, 3e-3, 1e-2)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch):
    little_games.register(monkeypatch)
    return r2i_jit.Trainer(small_config("little/Guess"), quick_compile=True)


def parts(state) -> list[list[np.ndarray]]:
    """Return the leaves of each row of a state."""
    return [leaves(jax.tree.map(lambda leaf, i=i: leaf[i], state.seeds)) for i in range(state.seeds.key.shape[0])]


@pytest.mark.heavy
def test_a_row_goes_on_at_another_place_exactly_as_where_it_was(trainer):
    """To the bit, also beside rows of another state, and beside a copy of itself."""
    hypers = rows.hypers(trainer.config.hypers, [{"hypers.model_lr": lr} for lr in LRS], 1)
    begin = lambda seed: trainer.init(rows.keys(seed, 3, 1), hypers)
    first, second = (trainer.train_chunk(begin(seed))[0] for seed in (0, 1))
    taken = [rows.taken(first, np.array([2, 0])), rows.taken(second, np.array([1]))]
    like = trainer.state_shapes(3)
    put = rows.joined(taken, like)
    copied = rows.joined([taken[1], *[rows.first(taken[0], 1, like)] * 2], like)
    assert [int(state.env_steps) for state in (put, copied)] == [int(first.env_steps)] * 2
    first, second, put, copied = (trainer.train_chunk(state)[0] for state in (first, second, put, copied))
    (a, _, c), (_, e, _) = parts(first), parts(second)
    for got, wanted in zip(parts(put) + parts(copied), (c, a, e, e, c, c), strict=True):
        for x, y in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(x, y)
    assert not all(np.array_equal(x, y) for x, y in zip(a, c, strict=True)), "all rows are alike"
    assert trainer.trace_counts["train_chunk"] == 1


@pytest.mark.heavy
def test_states_at_other_steps_are_not_joined(trainer):
    shapes = trainer.state_shapes(1)
    zeros = jax.tree.map(
        lambda leaf: (
            jax.random.split(jax.random.key(0), leaf.shape)
            if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else jax.numpy.zeros(leaf.shape, leaf.dtype)
        ),
        shapes,
    )
    part = rows.taken(zeros, np.array([0]))
    assert_same(rows.joined([part], shapes), zeros)
    later = rows.taken(zeros.replace(env_steps=zeros.env_steps + 8), np.array([0]))
    with pytest.raises(ValueError, match="env_steps differs"):
        rows.joined([part, later], trainer.state_shapes(2))


@pytest.mark.heavy
def test_one_compilation_serves_a_whole_search(tmp_path, monkeypatch, capsys):
    """Two rounds, three batches, one of them not full; the same command again finds all done."""
    little_games.register(monkeypatch)
    whole, made = r2i_jit.Trainer, []

    def build(config, **options):
        made.append(whole(config, **options, quick_compile=True))
        return made[-1]

    monkeypatch.setattr(r2i_jit, "Trainer", build)
    monkeypatch.setattr("experiments.presets.preset", lambda suite, size, env, agent: small_config(env))
    monkeypatch.setattr("experiments.drawing.searches.draw", lambda trials, axes, title, out: out)
    words = ["--env", "little/Guess", "--param", "hypers.model_lr=1e-4:1e-2:log", "hypers.actor_lr=1e-5:1e-2:log"]
    words += ["--trials", "3", "--batch", "2", "--rounds", "2", "--steps", "224", "--out-dir", str(tmp_path / "s")]
    assert search.main(words) == 0
    (trainer,) = made
    assert trainer.trace_counts == {"init": 1, "prefill": 1, "train_chunk": 1, "evaluate": 1}
    assert trainer.config.replay.capacity < 640, "no row holds more than is ever written"
    document = json.loads((tmp_path / "s" / "results.json").read_text())
    assert document["rounds"] == [112, 224]
    assert [entry["state"] for entry in document["trials"]] == ["complete", "complete", "pruned"]
    capsys.readouterr()
    assert search.main(words) == 0
    assert json.loads((tmp_path / "s" / "results.json").read_text()) == document
