"""Acting step by step, observing in parallel and observing in two pieces are the same function. About 40 seconds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.observation import Categorical
from r2i_jit.compiling import quick
from r2i_jit.nets import distributions as dist
from r2i_jit.world_model import Latent, WorldModel
from tests.agents import small_config

B, T, A = 2, 9, 3
# These programs run for milliseconds: what counts is how fast they compile.
jit = partial(jax.jit, compiler_options=quick())
PARTS = (Categorical(4),)


def build(**overrides):
    model = WorldModel(small_config(**overrides).model, PARTS)
    key = jax.random.key(0)
    obs, action, first, _ = sequence(0, 0)
    params = jit(model.init)(key, obs, action, first, key)["params"]
    # The learned initial state starts at zero, where a wrong reset would go unseen.
    noise = lambda path, x: x + 0.5 * jax.random.normal(key, x.shape, x.dtype) if path[-1].key == "initial" else x
    return model, jax.tree_util.tree_map_with_path(noise, params)


def sequence(bits, seed):
    rng = np.random.default_rng(seed)
    obs = np.eye(4, dtype=np.uint8)[rng.integers(0, 4, (B, T))]
    prev_action = np.eye(A, dtype=np.float32)[rng.integers(0, A, (B, T))]
    is_first = np.array([[bits >> (b * T + t) & 1 for t in range(T)] for b in range(B)], bool)
    return obs, prev_action, is_first, jax.random.key(seed)


def carry_of(config, seed):
    rng = np.random.default_rng(seed + 1)
    stoch = np.eye(config.classes, dtype=np.float32)[rng.integers(0, config.classes, (B, config.stoch))].reshape(B, -1)
    hidden = rng.normal(size=(B, config.ssm_layers, 2 * config.ssm_state)).astype(np.float32)
    start = jnp.asarray(rng.integers(0, 2, B), jnp.float32)
    change = stoch * rng.integers(0, 2, stoch.shape).astype(np.float32) if config.dynamics_input == "change" else None
    deter = jnp.zeros((B, config.deter + config.prior_skip * stoch.shape[1]), jnp.float32)
    return jax.tree.map(jnp.asarray, Latent(stoch, change, deter, hidden, start))


def call(model, params, method, *args):
    return model.apply({"params": params}, *args, method=method)


KINDS = [pytest.param("sequential-bilinear-learned-latent", marks=pytest.mark.heavy), "chunked-zoh-zeros-change"]


@pytest.fixture(scope="module", params=KINDS)
def agent(request):
    scan, discretization, initial, reads = request.param.split("-")
    model, params = build(
        model__scan=scan, model__discretization=discretization, model__initial_state=initial,
        model__dynamics_input=reads, model__prior_skip=reads == "change",
    )  # fmt: skip
    post_of = lambda params, obs: call(model, params, WorldModel.encode, obs)
    observe = lambda params, *args: call(model, params, WorldModel.observe_latent, *args)

    def whole(params, obs, prev_action, is_first, carry, key):
        post = post_of(params, obs)
        stoch = dist.sample_one_hot(key, jnp.exp(post))
        return observe(params, stoch, post, prev_action, is_first, carry), stoch

    def pieces(params, obs, prev_action, is_first, carry, key, cut):
        post = post_of(params, obs)
        stoch = dist.sample_one_hot(key, jnp.exp(post))
        left = observe(params, stoch[:, :cut], post[:, :cut], prev_action[:, :cut], is_first[:, :cut], carry)
        last = jax.tree.map(lambda x: x[:, -1], left.latent)
        right = observe(params, stoch[:, cut:], post[:, cut:], prev_action[:, cut:], is_first[:, cut:], last)
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b], 1), left, right)

    def steps(params, stoch, prev_action, is_first, carry):
        """Acting, with the posterior samples given: `observe_step` step by step."""

        def one(params, z, a, first, carry):
            def advance(module):
                before = module.restarted(carry, first)
                deter, hidden = module._advance(module.stack.prepare(), before, a, first)
                latent = Latent(z, module._change(z, before.stoch), deter, hidden, first.astype(jnp.float32))
                return latent, module.prior(deter, before.stoch)

            return model.apply({"params": params}, method=advance)

        def body(carry, at):
            carry, prior = one(params, *at, carry)
            return carry, (carry, prior)

        inputs = (stoch.reshape(B, T, -1), prev_action, is_first)
        _, out = jax.lax.scan(body, carry, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), inputs))
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), out)

    def loss_of(function):
        def loss(params, *args):
            latent, prior = function(params, *args)
            return jnp.sum(jnp.sin(latent.deter)) + jnp.sum(jnp.cos(latent.hidden)) + jnp.sum(prior**2)

        return jit(jax.grad(loss))

    def whole_latent(params, stoch, prev_action, is_first, carry):
        observed = observe(params, stoch, jnp.zeros_like(stoch), prev_action, is_first, carry)
        return observed.latent, observed.prior

    return {
        "model": model,
        "params": params,
        "whole": jit(whole),
        "pieces": jit(pieces, static_argnames="cut"),
        "steps": jit(steps),
        "grad_steps": loss_of(steps),
        "grad_whole": loss_of(whole_latent),
        "step": jit(lambda params, *args: call(model, params, WorldModel.observe_step, *args)),
    }


def assert_close(got, expected, tolerance=1e-4):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


PATTERNS = {"bits": st.integers(0, 2 ** (B * T) - 1), "seed": st.integers(0, 999)}


@settings(max_examples=20, deadline=None)
@given(**PATTERNS)
def test_observing_equals_acting_values_and_gradients(agent, bits, seed):
    obs, prev_action, is_first, key = sequence(bits, seed)
    carry = carry_of(agent["model"].config, seed)
    observed, stoch = agent["whole"](agent["params"], obs, prev_action, is_first, carry, key)
    latent, prior = agent["steps"](agent["params"], stoch, prev_action, is_first, carry)
    assert_close((observed.latent, observed.prior), (latent, prior))
    arguments = (agent["params"], stoch, prev_action, is_first, carry)
    assert_close(agent["grad_whole"](*arguments), agent["grad_steps"](*arguments), 5e-3)


@settings(max_examples=15, deadline=None)
@given(**PATTERNS, cut=st.sampled_from([1, 6]))
def test_observing_whole_equals_observing_two_pieces(agent, bits, seed, cut):
    obs, prev_action, is_first, key = sequence(bits, seed)
    arguments = (agent["params"], obs, prev_action, is_first, carry_of(agent["model"].config, seed), key)
    assert_close(agent["whole"](*arguments)[0], agent["pieces"](*arguments, cut=cut))


def test_policy_step_uses_the_same_recurrence(agent):
    """`observe_step` draws its own posterior sample; everything else must follow from the state before the step."""
    obs, prev_action, is_first, key = sequence(0b1010, 5)
    carry = carry_of(agent["model"].config, 5)
    latent = agent["step"](agent["params"], obs[:, 0], prev_action[:, 0], is_first[:, 0], carry, key)
    stoch = jnp.tile(latent.stoch.reshape(B, 1, -1, agent["model"].config.classes), (1, T, 1, 1))
    expected, _ = agent["steps"](agent["params"], stoch, prev_action, is_first, carry)
    assert_close(latent, jax.tree.map(lambda x: x[:, 0], expected))


def test_nothing_before_a_reset_matters(agent):
    """Changing everything before an is_first leaves every later latent unchanged, bit for bit; without it, not."""
    obs, prev_action, _, key = sequence(0, 1)
    is_first = np.zeros((B, T), bool)
    carry = carry_of(agent["model"].config, 1)
    for reset in (True, False):
        is_first[:, 6] = reset
        a = agent["whole"](agent["params"], obs, prev_action, is_first, carry, key)[0]
        changed_obs = np.concatenate([np.roll(obs[:, :6], 1, -1), obs[:, 6:]], 1)
        changed_action = np.concatenate([np.roll(prev_action[:, :7], 1, -1), prev_action[:, 7:]], 1)
        b = agent["whole"](agent["params"], changed_obs, changed_action, is_first, carry, key)[0]
        assert np.array_equal(a.latent.deter[:, 6:], b.latent.deter[:, 6:]) == reset


@pytest.mark.heavy
@pytest.mark.parametrize("reset", [pytest.param("released", marks=pytest.mark.heavy), "none"])
def test_other_reset_semantics_are_measurably_different(reset):
    model, params = build(model__reset=reset)
    exact, _ = build()
    is_first = np.zeros((B, T), bool)
    is_first[:, 0] = is_first[:, 6] = True
    obs, prev_action, _, key = sequence(0, 2)
    carry = carry_of(model.config, 2)

    def deter(model):
        observe = jit(lambda params: call(model, params, WorldModel.observe, obs, prev_action, is_first, carry, key))
        return observe(params).latent.deter

    a, b = deter(exact), deter(model)
    assert np.allclose(a[:, :5], b[:, :5], atol=1e-5)
    difference = np.abs(a - b).max((0, 2))
    assert difference[6] > 1e-3 and (difference[5] > 1e-3) == (reset == "released")


@pytest.mark.heavy
def test_a_gain_is_larger_weights_where_the_latents_logits_are_made():
    model, params = build(model__latent_gain=3.0)
    plain, _ = build()
    larger = dict(params)
    for net in ("post_net", "prior_net"):
        last = jax.tree.map(lambda leaf: 3.0 * leaf, params[net]["Dense_0"])
        larger[net] = {**params[net], "Dense_0": last}
    obs, prev_action, is_first, key = sequence(0b10100, 3)
    carry = carry_of(model.config, 3)

    def observe(model, params):
        return jit(lambda p: call(model, p, WorldModel.observe, obs, prev_action, is_first, carry, key))(params)

    assert_close(observe(model, params), observe(plain, larger))
    assert np.abs(observe(plain, params).post - observe(plain, larger).post).max() > 0.1
