"""The world model alone learns to recall, down to the entropy of its target. About two minutes on one core."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.presets import preset
from r2i_jit import Trainer
from r2i_jit.nets import distributions as dist

ROUND, ROUNDS = 100, 20  # updates


def two_hot_entropy(target):
    """Return the lowest cross-entropy that any prediction of a known target can have."""
    position = (dist.symlog(target) + 20.0) * (254 / 40.0)
    upper = position - jnp.floor(position)
    weights = jnp.stack([1 - upper, upper])
    return -jnp.sum(jnp.where(weights > 0, weights * jnp.log(jnp.maximum(weights, 1e-30)), 0.0), 0)


@pytest.fixture(scope="module")
def learner():
    """Return (trainer, state with replay full of random play, train(agent, replay, key, forget) -> reward loss)."""
    trainer = Trainer(preset("popgym").override(["replay.prefill=40000", "replay.capacity=40000"]))
    state = trainer.init(jax.random.split(jax.random.key(0), 1))
    seed = jax.tree.map(lambda x: x[0], state.seeds)

    @partial(jax.jit, donate_argnums=0)
    def train(agent_state, key, forget):
        def update(agent_state, key):
            key_sample, key_update = jax.random.split(key)
            batch = trainer._sample(seed.replay, state.written, key_sample)
            batch = batch._replace(is_first=batch.is_first | forget)
            agent_state, _, metrics = trainer.agent._update_model(agent_state, batch, seed.hypers, key_update)
            return agent_state._replace(updates=agent_state.updates + 1), metrics["model/reward_loss"]

        agent_state, losses = jax.lax.scan(update, agent_state, jax.random.split(key, ROUND))
        return agent_state, losses[-ROUND // 2 :].mean()

    return trainer, state, seed, train


def train_until(learner, forget, below, rounds=ROUNDS):
    """Return (reward loss, rounds) when it falls below `below`, or after `rounds`."""
    _, _, seed, train = learner
    agent_state = jax.tree.map(jnp.copy, seed.agent)
    for i in range(rounds):
        agent_state, loss = train(agent_state, jax.random.fold_in(jax.random.key(1), i), forget)
        if loss < below:
            break
    return float(loss), i + 1


@pytest.mark.heavy
def test_reward_loss_reaches_the_floor_only_with_memory(learner):
    """RepeatPreviousEasy under random play: the reward is certain to who recalls the card of three steps ago.

    Floor: the entropy of the two-hot target itself. A model without memory adds the entropy of a 1/4 chance on the 48
    of 52 steps that are paid.
    """
    trainer, state, seed, _ = learner
    reward = np.asarray(seed.replay.reward) * float(seed.hypers.reward_scale)
    floor = float(two_hot_entropy(jnp.asarray(reward)).mean())
    paid = np.mean(reward != 0)
    chance = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    memoryless = floor + paid * chance
    assert paid == pytest.approx(48 / 52, abs=0.01)

    recalled, rounds = train_until(learner, forget=False, below=floor + 0.05)
    assert floor - 0.01 < recalled < floor + 0.05, (recalled, floor, memoryless)
    forgetful, _ = train_until(learner, forget=True, below=floor + 0.05, rounds=rounds)  # as long as the other took
    assert forgetful > memoryless - 0.03, (forgetful, floor, memoryless)
