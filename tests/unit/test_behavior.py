"""Lambda-returns, weights and the two policy gradients. About 20 seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit import behavior
from r2i_jit.actions import ActionSpec
from r2i_jit.behavior import Policy, ReturnNorm, Trajectory
from r2i_jit.config import BehaviorConfig, Hypers

HYPERS = Hypers(discount=0.9, return_lambda=0.8, entropy_scale=0.01)


def test_lambda_returns_equal_the_definition():
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(5, 3)), rng.normal(size=(6, 3))
    cont = rng.integers(0, 2, (5, 3)).astype(float)
    expected, following = np.zeros((5, 3)), value[-1]
    for k in reversed(range(5)):
        following = reward[k] + 0.9 * cont[k] * ((1 - 0.8) * value[k + 1] + 0.8 * following)
        expected[k] = following
    got = behavior.lambda_returns(*(jnp.asarray(x, jnp.float32) for x in (reward, cont, value)), 0.9, 0.8)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_one_step_and_monte_carlo_limits():
    reward, cont, value = jnp.ones((3, 1)), jnp.ones((3, 1)), jnp.array([[5.0], [6.0], [7.0], [8.0]])
    td = behavior.lambda_returns(reward, cont, value, 0.5, 0.0)
    np.testing.assert_allclose(td[:, 0], [1 + 0.5 * 6, 1 + 0.5 * 7, 1 + 0.5 * 8])
    mc = behavior.lambda_returns(reward, cont, value, 0.5, 1.0)
    np.testing.assert_allclose(mc[:, 0], [1 + 0.5 * (1 + 0.5 * (1 + 4)), 1 + 0.5 * (1 + 4), 1 + 4])


def test_states_after_an_end_have_no_weight():
    cont = jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    nothing = jnp.zeros((4, 2, 1))
    trajectory = Trajectory(nothing, nothing, nothing, nothing[..., 0], cont[1:], cont[0], nothing[0])
    weight = behavior.weights(trajectory, 0.9)
    np.testing.assert_allclose(weight, [[1, 0], [0.9, 0], [0, 0], [0, 0]], rtol=1e-6)


def test_return_norm_tracks_percentiles_and_never_amplifies():
    norm = ReturnNorm(jnp.zeros(()), jnp.zeros(()))
    assert float(norm.scale()) == 1.0
    for _ in range(400):
        norm = norm.update(jnp.linspace(-10.0, 10.0, 201), 0.95)
    assert float(norm.high) == pytest.approx(9.0, abs=1e-3) and float(norm.scale()) == pytest.approx(18.0, abs=1e-2)


def test_reinforce_gradient_is_that_of_the_expected_return():
    """Over all actions of a bandit, weighted by their probability, the estimator equals the exact gradient."""
    logits, payoff = jnp.array([0.2, -0.5, 1.0], jnp.float32), jnp.array([1.0, 3.0, -2.0], jnp.float32)
    spec, config = ActionSpec(3, discrete=True), BehaviorConfig(actor_unimix=0.0)
    hypers = HYPERS.replace(entropy_scale=0.0)
    norm = ReturnNorm(jnp.float32(0.0), jnp.float32(1.0))

    def estimate(action):
        one_hot, one = jax.nn.one_hot(action, 3, dtype=jnp.float32)[None, None], jnp.ones((1, 1), jnp.float32)
        returns, baseline = payoff[action][None, None], jnp.full((1, 1), 0.7, jnp.float32)

        def loss(raw):
            trajectory = Trajectory(one[None], raw[None, None], one_hot, one, one, one[0], one)
            return behavior.actor_loss(config, spec, trajectory, returns, baseline, norm, hypers)[0]

        return jax.grad(loss)(logits)

    probs = jax.nn.softmax(logits)
    got = sum(probs[a] * estimate(a) for a in range(3))
    exact = jax.grad(lambda p: -jnp.sum(jax.nn.softmax(p) * payoff))(logits)
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-5)


def test_policy_samples_and_probabilities_agree():
    raw = jnp.tile(jnp.array([0.5, 0.0, -1.0], jnp.float32), (20_000, 1))
    policy = Policy(ActionSpec(3, discrete=True), 0.1, raw)
    sample = policy.sample(jax.random.key(0))
    every = jnp.eye(3, dtype=jnp.float32)
    probs = jnp.exp(jnp.stack([policy.log_prob(jnp.tile(one, (20_000, 1)))[0] for one in every]))
    assert float(probs.sum()) == pytest.approx(1.0, abs=1e-5)
    assert np.abs(sample.mean(0) - probs).max() < 5 * 0.5 / np.sqrt(20_000)
    assert (policy.mode()[0] == every[0]).all()
    assert float(policy.entropy()[0]) == pytest.approx(float(-(probs * jnp.log(probs)).sum()), rel=1e-4)


def test_continuous_actions_are_reparameterised():
    raw = jnp.array([[0.3, -0.2, 0.1, 0.4]])
    spec = ActionSpec(2, False, np.full(2, -1.0), np.full(2, 1.0))
    gradient = jax.grad(lambda raw: Policy(spec, 0.0, raw).sample(jax.random.key(1)).sum())(raw)
    assert (np.abs(gradient) > 0).all()


@pytest.mark.parametrize(("actor_gradient", "discrete", "expected"), [("auto", True, False), ("auto", False, True)])
def test_gradient_estimator_follows_the_action_space(actor_gradient, discrete, expected):
    config = BehaviorConfig(actor_gradient=actor_gradient)
    assert behavior.uses_backprop(config, ActionSpec(2, discrete)) == expected


@pytest.mark.parametrize("discrete", [True, False])
def test_an_actor_with_gates_has_an_output_for_every_action(discrete):
    feat = jnp.ones((5, 4)), jnp.ones((5, 6))
    spec = ActionSpec(3, discrete)
    actor = behavior.Actor(BehaviorConfig(actor_units=8, actor_gates=2), spec)
    raw, params = actor.init_with_output(jax.random.key(0), feat)
    assert raw.shape == (5, 3 if discrete else 6) and "GatedMLP_0" in params["params"]
    assert "MLP_0" in behavior.Actor(BehaviorConfig(actor_units=8), spec).init(jax.random.key(0), feat)["params"]


def test_classes_that_are_new_open_the_ways_of_an_actor():
    """After a change to class 1 anywhere, and only then, the way of class 1 counts."""
    actor = behavior.Actor(BehaviorConfig(actor_units=8, actor_gates=2), ActionSpec(3, True), new_classes=2)
    z = jnp.asarray(np.eye(2)[[[0, 1], [1, 0], [1, 1]]].reshape(3, 4), jnp.float32)
    new = jnp.asarray([[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]], jnp.float32)  # nothing, class 1, class 0
    params = actor.init(jax.random.key(0), (z, new))["params"]
    kernel = params["GatedMLP_0"]["Dense_2"]["kernel"]
    assert kernel.shape == (8, (1 + 2 + 2) * 3)
    way = np.zeros(kernel.shape, np.float32)
    way[:4, 4 * 3 + 1] = [10.0, 20.0, 30.0, 40.0]  # gate of class 1, action 1, reads z
    opened = {"GatedMLP_0": params["GatedMLP_0"] | {"Dense_2": {"kernel": jnp.asarray(way)}}}
    moved = actor.apply({"params": opened}, (z, new)) - actor.apply({"params": params}, (z, new))
    np.testing.assert_allclose(moved, [[0, 0, 0], [0, 20.0 + 30.0, 0], [0, 0, 0]], atol=1e-4)


def test_chances_of_an_end_count_as_much_as_ends_do_on_average():
    """Why imagination multiplies with chances (continue_mode=mean): no step is likely the end, and yet it comes."""
    chance, horizon, runs = 0.3, 12, 200_000
    rng = np.random.default_rng(0)
    alive = np.cumprod(rng.random((horizon, runs)) > chance, axis=0)
    # The first reward is paid in any case, each later one if the episode still goes on.
    truth = 1 + sum(0.95**k * alive[k - 1].mean() for k in range(1, horizon))
    reward, value = jnp.ones((horizon, 1)), jnp.zeros((horizon + 1, 1))
    cont = jnp.full((horizon, 1), 1 - chance)
    mean = behavior.lambda_returns(reward, cont, value, 0.95, 1.0)[0, 0]
    mode = behavior.lambda_returns(reward, jnp.round(cont), value, 0.95, 1.0)[0, 0]
    assert float(mean) == pytest.approx(truth, rel=0.01)
    assert float(mode) > 2 * truth, "an end that may come at any step never does"
