"""PPO's parts: advantages, what counts, likelihoods of actions that were cut, and the loss's gradient."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.observation import Categorical
from r2i_jit import ppo
from r2i_jit.actions import ActionSpec
from r2i_jit.compiling import quick
from r2i_jit.nets import distributions as dist
from r2i_jit.ppo import Played, PPOAgent
from tests.agents import small_config

GOLDEN = Path(__file__).parents[1] / "golden"
E, K = 2, 7
SPECS = {"discrete": ActionSpec(3, discrete=True), "continuous": ActionSpec(2, False, -np.ones(2), np.ones(2))}


def by_definition(reward, terminal, first, value, discount, trace):
    """Return the advantages of one environment's steps 0..K-1; rewards, ends and starts are those of 0..K."""
    found = np.zeros(K)
    for t in range(K):
        weight = 1.0
        for s in range(t, K):
            if first[s + 1]:  # the action of an episode's last step leads nowhere
                break
            rest = 0.0 if terminal[s + 1] else discount * value[s + 1]
            found[t] += weight * (reward[s + 1] + rest - value[s])
            weight *= discount * trace
    return found


@settings(max_examples=40, deadline=None)
@given(ends=st.integers(0, 2 ** (E * K) - 1), cut=st.integers(0, 2 ** (E * K) - 1), seed=st.integers(0, 99))
def test_advantages_are_those_of_the_definition_whatever_ends_and_is_cut(ends, cut, seed):
    bits = lambda number: np.array([[number >> (e * K + t) & 1 for t in range(K)] for e in range(E)], bool)
    last = np.concatenate([bits(ends), np.zeros((E, 1), bool)], 1)  # of the steps 0..K; what K is plays no part
    terminal = last & ~np.concatenate([bits(cut), np.zeros((E, 1), bool)], 1)
    first = np.concatenate([np.zeros((E, 1), bool), last[:, :-1]], 1)
    rng = np.random.default_rng(seed)
    reward, value = rng.normal(size=(2, E, K + 1)).astype(np.float32)
    got = ppo.advantages(
        jnp.asarray(reward[:, 1:]), 1.0 - terminal[:, 1:].astype(np.float32), 1.0 - first[:, 1:].astype(np.float32),
        jnp.asarray(value), 0.9, 0.8,
    )  # fmt: skip
    expected = [by_definition(reward[e], terminal[e], first[e], value[e], 0.9, 0.8) for e in range(E)]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def rlax():
    """What `tests/golden/record_rlax.py` has recorded."""
    return {name: np.asarray(value) for name, value in json.loads((GOLDEN / "rlax.json").read_text()).items()}


def test_advantages_are_rlax_s(rlax):
    """rlax goes from an episode's last action to the next episode; here the last step is a row of its own between."""
    discount = float(rlax["discount"].max())
    for e, expected in enumerate(rlax["advantage"]):
        rows = []  # reward and continuation that follow an action, whether it counts, value before it
        for reward, kept, value in zip(rlax["reward"][e], rlax["discount"][e] > 0, rlax["value"][e], strict=False):
            rows += [(reward, kept, 1, value)] + ([] if kept else [(9.0, 1, 0, 9.0)])
        reward, cont, counts, value = np.array(rows, np.float32).T[:, None]
        value = np.concatenate([value, rlax["value"][e][None, -1:]], 1).astype(np.float32)
        found = ppo.advantages(reward, cont, counts, jnp.asarray(value), discount, float(rlax["trace"]))
        assert (np.asarray(found)[counts == 0] == 0).all()
        np.testing.assert_allclose(np.asarray(found)[counts == 1], expected, rtol=1e-4, atol=1e-5)


def test_the_loss_and_its_gradients_are_rlax_s(rlax):
    array = lambda name: jnp.asarray(rlax[name], jnp.float32)
    action = jax.nn.one_hot(jnp.asarray(rlax["action"], jnp.int32), rlax["logits"].shape[-1], dtype=jnp.float32)
    chosen = lambda logits: jnp.sum(jax.nn.log_softmax(logits) * action, -1)
    entropy = lambda logits: -jnp.sum(jax.nn.softmax(logits) * jax.nn.log_softmax(logits), -1)
    nothing = jnp.zeros(())
    returns = array("advantage") + array("value")[:, :-1]
    before = chosen(array("earlier"))
    played = Played(
        nothing, nothing, nothing, nothing, action, before, array("advantage"), returns, jnp.ones_like(before)
    )
    hypers = small_config().hypers.replace(clip_range=float(rlax["clip"]), value_scale=0.7, entropy_scale=0.3)

    def loss(logits, value):
        return ppo.objective(chosen(logits), entropy(logits), value, played, hypers)[0]

    total, (by_logits, by_value) = jax.value_and_grad(loss, (0, 1))(array("logits"), array("now"))
    sum_of = lambda end: (rlax[f"policy{end}"], 0.3 * rlax[f"entropy{end}"], 0.7 * rlax[f"critic{end}"])
    assert float(total) == pytest.approx(float(sum(sum_of(""))), abs=1e-5)
    policy, bonus, critic = sum_of("_gradient")
    np.testing.assert_allclose(by_logits, policy + bonus, atol=1e-6)
    np.testing.assert_allclose(by_value, critic, atol=1e-6)
    assert (policy == 0).all(-1).any() and (policy != 0).any()  # some ratios were cut


@pytest.mark.heavy
def test_an_action_that_was_cut_has_the_likelihood_of_all_that_is_beyond():
    mean, std = jnp.full((1, 1), 0.3, jnp.float32), jnp.full((1, 1), 0.6, jnp.float32)
    inside = jnp.linspace(-1.0, 1.0, 4001, dtype=jnp.float32)[1:-1, None]
    density = jnp.exp(dist.censored_log_prob(inside, mean, std))
    ends = jnp.exp(dist.censored_log_prob(jnp.array([[-1.0], [1.0]], jnp.float32), mean, std))
    samples = np.random.default_rng(0).normal(0.3, 0.6, 200_000)
    np.testing.assert_allclose(ends, [np.mean(samples <= -1), np.mean(samples >= 1)], atol=3e-3)
    assert float(density.sum() * (2.0 / 4000) + ends.sum()) == pytest.approx(1.0, abs=1e-3)
    slope = jax.grad(lambda mean: dist.censored_log_prob(jnp.ones(1, jnp.float32), mean, jnp.full(1, 0.1, jnp.float32)))
    assert np.isfinite(slope(jnp.array([-1.0], jnp.float32))).all()  # 20 deviations from where it was


@pytest.fixture(scope="module", params=SPECS)
def built(request):
    config = small_config(algorithm="ppo", model__sequence="gru", loop__num_envs=4)
    agent = PPOAgent(config, (Categorical(4),), SPECS[request.param], jax.ShapeDtypeStruct((4,), jnp.uint8))
    state = jax.jit(partial(agent.init, hypers=config.hypers), compiler_options=quick())(jax.random.key(0))
    rng = np.random.default_rng(1)
    size = agent.spec.size
    numbers = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    action = jnp.asarray(np.eye(size)[rng.integers(0, size, (E, K))], jnp.float32)
    if not agent.spec.discrete:
        action = jnp.clip(numbers(E, K, size), -1.0, 1.0)
    first = jnp.zeros((E, K), bool).at[0, 3].set(True)
    obs = jnp.asarray(np.eye(4)[rng.integers(0, 4, (E, K))], jnp.uint8)
    hidden = agent.initial_latent(state, E).hidden
    counts = jnp.ones((E, K), jnp.float32).at[0, 2].set(0.0)
    played = Played(obs, action, first, hidden, action, numbers(E, K), numbers(E, K), numbers(E, K), counts)
    return agent, state, played


def pieces(agent, state, played):
    inputs = played.obs, played.prev_action, played.is_first, played.hidden
    output = agent.model.apply({"params": state.model}, *inputs, method=ppo.Core.parallel).output
    return agent._policy(state.actor, output), agent._value(state.critic, output)


@pytest.mark.heavy
def test_before_the_first_update_its_slope_is_the_policy_gradient(built):
    """The ratio is 1 there, and nothing is cut off: -E[advantage grad log p], of actions that lead somewhere."""
    agent, state, played = built
    hypers = agent.config.hypers.replace(entropy_scale=0.0, value_scale=0.0)

    def slopes():
        logp = lambda actor: agent.log_prob(pieces(agent, state._replace(actor=actor), played)[0], played.action)
        now = played._replace(log_prob=logp(state.actor))
        loss = lambda actor: agent.loss((state.model, actor, state.critic), now, hypers)
        mean = lambda x: jnp.sum(x * played.counts) / played.counts.sum()
        scaled = played.advantage - mean(played.advantage)
        scaled = scaled / jnp.sqrt(mean(scaled**2)) * played.counts
        plain = lambda actor: -jnp.sum(scaled * logp(actor)) / played.counts.sum()
        return jax.grad(loss, has_aux=True)(state.actor), jax.grad(plain)(state.actor)

    (slope, metrics), expected = jax.jit(slopes, compiler_options=quick())()
    assert float(metrics["actor/clipped"]) == 0.0 and abs(float(metrics["actor/kl"])) < 1e-5
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected)) > 1e-3
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), slope, expected)


@pytest.mark.heavy
def test_what_leads_nowhere_changes_nothing_and_what_is_clipped_teaches_the_policy_nothing(built):
    agent, state, played = built
    loss = partial(agent.loss, hypers=agent.config.hypers.replace(entropy_scale=0.0, value_scale=0.0))
    params = state.model, state.actor, state.critic
    slope = jax.jit(jax.grad(lambda params, played: loss(params, played)[0]), compiler_options=quick())
    other = played._replace(
        advantage=played.advantage.at[0, 2].set(9.0), returns=played.returns.at[0, 2].set(9.0),
        log_prob=played.log_prob.at[0, 2].set(1.0),
    )  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, slope(params, played), slope(params, other))
    # Twice as likely as it was where it was good, half as likely where it was bad: enough.
    logp = jax.jit(lambda: agent.log_prob(pieces(agent, state, played)[0], played.action), compiler_options=quick())()
    better = played.advantage > jnp.sum(played.advantage * played.counts) / played.counts.sum()
    enough = played._replace(log_prob=logp - jnp.where(better, 0.7, -0.7))
    assert not any(np.abs(leaf).max() > 1e-7 for leaf in jax.tree.leaves(slope(params, enough)))
