"""The trainer with PPO: what it learns from is what was played, seeds are apart, and a resumed run is the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit import ConfigError, Trainer
from r2i_jit.checkpoint import Checkpoints
from tests.agents import small_config
from tests.trees import assert_close, assert_same

SIZES = {
    "algorithm": "ppo", "model__sequence": "gru", "loop__num_envs": 8, "loop__chunk_updates": 8,
    "ppo__steps": 9, "ppo__epochs": 2, "ppo__minibatches": 2,
}  # fmt: skip
KEYS = jax.random.split(jax.random.key(0), 2)
ENV = "bsuite/memory_len_3"  # an episode is four or five steps, of which nine hold two ends


@pytest.fixture(scope="module")
def trained():
    """Return (trainer, the state after two chunks of two seeds, the metrics of both, a copy of what was between)."""
    trainer = Trainer(small_config(ENV, **SIZES), quick_compile=True)
    state, first = trainer.train_chunk(trainer.init(KEYS))
    between = jax.tree.map(jnp.copy, state)
    state, second = trainer.train_chunk(state)
    return trainer, state, (first, second), between


@pytest.mark.heavy
def test_it_keeps_no_replay_and_counts_what_it_does(trained):
    trainer, state, (first, second), _ = trained
    assert trainer.prefill_steps == 0 and trainer.replay_bytes_per_step == 0
    assert not jax.tree.leaves(state.seeds.replay)
    assert trainer.updates_per_chunk == 8 and trainer.steps_per_chunk == 2 * 9 * 8
    assert second["updates"].tolist() == [16, 16] and second["env_steps"].tolist() == [288, 288]
    assert (first["episodes"] > 20).all() and all(np.isfinite(value).all() for value in second.values())
    assert trainer.trace_counts["train_chunk"] == 1


@pytest.mark.heavy
def test_seeds_do_not_know_of_each_other(trained):
    trainer, _, _, between = trained
    state, _ = trainer.train_chunk(trainer.init(KEYS[1:]))
    rounded, exact = (state.seeds.agent, between.seeds.agent), (state.seeds.player.stream, between.seeds.player.stream)
    second = lambda tree: jax.tree.map(lambda leaf: leaf[1:], tree)
    assert_same(exact[0], second(exact[1]))
    assert_close(rounded[0], second(rounded[1]))


@pytest.mark.heavy
def test_a_resumed_run_goes_on_to_the_bit(trained, tmp_path):
    trainer, state, _, between = trained
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, between, {})
        checkpoints.wait()
        restored = checkpoints.restore(trainer.state_shapes(2)).state
    assert_same(trainer.train_chunk(restored)[0], state)


@pytest.mark.heavy
def test_what_it_learns_from_is_what_was_known_and_done_while_playing(trained):
    """Values and likelihoods of a block at once are those of one step after the other, over ends of episodes too."""
    trainer, _, _, between = trained
    seed = jax.tree.map(lambda leaf: leaf[0], between.seeds)
    agent, begun = trainer.agent, seed.player

    @jax.jit
    def both():
        after, block, *_ = trainer._collect(seed, random=False)
        step, hypers = after.player.stream.step, seed.hypers
        played = agent.played(seed.agent, (begun.latent, begun.prev_action), block, step, hypers)
        latent, prev_action, found = begun.latent, begun.prev_action, []
        for t in range(9):
            obs, first = block.obs[t], block.is_first[t]
            _, latent = agent.act(seed.agent, latent, obs, prev_action, first, jax.random.key(0))
            prev_action = block.action[t]
            policy = agent._policy(seed.agent.actor, latent.output)
            found.append((agent.log_prob(policy, agent.spec.encode(prev_action)), agent.value(seed.agent, latent)))
        return played, jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *found), after, latent

    played, (log_prob, value), after, latent = both()
    np.testing.assert_allclose(played.log_prob, log_prob, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(played.returns - played.advantage, value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(latent.hidden, after.player.latent.hidden, rtol=1e-4, atol=1e-5)
    assert 0 < int((played.counts == 0).sum()) < played.counts.size / 3 and played.is_first.any()


def test_streams_that_do_not_share_out_are_refused():
    with pytest.raises(ConfigError, match="ppo.minibatches=3 must divide loop.num_envs=8"):
        small_config(ENV, **{**SIZES, "ppo__minibatches": 3})
    with pytest.raises(ConfigError, match="ppo.steps=100000: expected at most 12500 with loop.num_envs=8"):
        small_config(ENV, **{**SIZES, "ppo__steps": 100_000, "loop__chunk_updates": 4000})
