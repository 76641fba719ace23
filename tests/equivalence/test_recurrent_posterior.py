"""`model.posterior=recurrent`, a posterior that reads h, as DreamerV3's: observed step by step. Half a minute."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from r2i_jit import Trainer
from r2i_jit.compiling import quick
from r2i_jit.nets import distributions as dist
from r2i_jit.world_model import Observed, WorldModel
from tests.agents import small_config
from tests.equivalence.test_world_model import PARTS, PATTERNS, B, T, assert_close, sequence

jit = partial(jax.jit, compiler_options=quick())
FORMS = {
    "gru, bare": {"model__sequence": "gru", "model__ssm_layers": 1, "model__block": "bare"},
    "s3m, gated": {"model__dynamics_input": "change", "model__prior_skip": True},
}


@pytest.fixture(scope="module", params=["gru, bare", pytest.param("s3m, gated", marks=pytest.mark.heavy)])
def built(request):
    config = small_config(model__posterior="recurrent", **FORMS[request.param])
    model = WorldModel(config.model, PARTS)
    key = jax.random.key(0)
    params = jit(model.init)(key, *sequence(0, 0)[:3], key)["params"]
    noise = lambda path, x: x + 0.5 * jax.random.normal(key, x.shape, x.dtype) if path[-1].key == "initial" else x
    params = jax.tree_util.tree_map_with_path(noise, params)

    def call(params, method, *args):
        return model.apply({"params": params}, *args, method=method)

    def observe(params, obs, action, first, carry, key):
        return call(params, WorldModel.observe, obs, action, first, carry, key)

    def carry(seed):
        """A latent that is reached from the first one."""
        obs, action, first, key = sequence(0, seed + 1)
        initial = call(params, WorldModel.initial, B)
        return jax.tree.map(lambda x: x[:, -1], observe(params, obs, action, first, initial, key).latent)

    def in_turn(step, carry, *inputs):
        """Take the steps one after the other; what comes of them has the time second, as the inputs have."""
        by_time = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), inputs)
        _, found = jax.lax.scan(lambda carry, at: step(carry, *at), carry, by_time)
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), found)

    def by_step(params, obs, action, first, carry):
        def one(carry, *seen):
            latent = call(params, WorldModel.observe_step, *seen, carry, None)
            return latent, latent

        return in_turn(one, carry, obs, action, first)

    def by_hand(params, obs, action, first, carry, key):
        """As `observe`, one step after the other, from what acting and the prior are made of."""

        def one(module, carry, obs, action, first, keys):
            before = module.restarted(carry, first)
            deter, hidden = module._advance(module.stack.prepare(), before, action, first)
            post = module._log_probs(module.post_net(*module.encoded(obs), deter))
            stoch = dist.straight_through(dist.sample_one_hot(keys[0], jnp.exp(post)), jnp.exp(post)).reshape(B, -1)
            change = module._change(stoch, before.stoch)
            latent = before._replace(stoch=stoch, change=change, deter=deter, hidden=hidden,
                                     start=first.astype(jnp.float32))  # fmt: skip
            return latent, Observed(latent, post, module.prior(deter, before.stoch))

        apply = partial(model.apply, {"params": params}, method=one)
        keys = jnp.broadcast_to(jax.random.split(key, T)[None], (B, T))
        return in_turn(apply, carry, obs, action, first, keys)

    def slopes(function):
        def loss(params, *args):
            observed = function(params, *args)
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(observed))

        return jit(jax.grad(loss))

    return {
        "params": params,
        "carry": jit(carry, static_argnums=0),
        "observe": jit(observe),
        "by_step": jit(by_step),
        "by_hand": jit(by_hand),
        "slopes": slopes(observe),
        "slopes_by_hand": slopes(by_hand),
    }


@settings(max_examples=10, deadline=None)
@given(**PATTERNS)
def test_observing_is_acting_step_by_step(built, bits, seed):
    obs, action, first, _ = sequence(bits, seed)
    carry = built["carry"](seed % 3)
    observed = built["observe"](built["params"], obs, action, first, carry, None)
    assert_close(observed.latent, built["by_step"](built["params"], obs, action, first, carry))


@pytest.mark.heavy
@settings(max_examples=6, deadline=None)
@given(**PATTERNS)
def test_observing_with_samples_is_what_it_says_step_by_step_values_and_gradients(built, bits, seed):
    obs, action, first, key = sequence(bits, seed)
    arguments = (built["params"], obs, action, first, built["carry"](seed % 3), key)
    assert_close(built["observe"](*arguments), built["by_hand"](*arguments))
    assert_close(built["slopes"](*arguments), built["slopes_by_hand"](*arguments), 5e-3)


def test_the_posterior_depends_on_what_was_before_and_not_on_what_was_before_a_reset(built):
    obs, action, first, _ = sequence(0, 1)
    changed = np.concatenate([np.roll(obs[:, :6], 1, -1), obs[:, 6:]], 1)
    carry = built["carry"](0)
    for reset in (False, True):
        first[:, 6] = reset
        one, other = (built["observe"](built["params"], x, action, first, carry, None) for x in (obs, changed))
        assert np.array_equal(one.post[:, 6], other.post[:, 6]) == reset


@pytest.mark.heavy
def test_an_agent_of_this_kind_trains():
    config = small_config(behavior__policy_input="output", model__posterior="recurrent", **FORMS["gru, bare"])
    trainer = Trainer(config, quick_compile=True)
    state, metrics = trainer.train_chunk(trainer.init(jax.random.split(jax.random.key(0), 1)))
    assert np.isfinite(metrics["model/loss"]).all() and state.seeds.agent.updates[0] > 0
    returns = trainer.evaluate(state, jax.random.key(1))["episode_return"]
    assert np.isfinite(returns).all()
