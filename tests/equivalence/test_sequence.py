"""Every recurrence that `model.sequence` names: the parallel form is the stepwise one, whole or in pieces, with resets.

Values and gradients. What fails here is not offered. About a minute.
"""

from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i_jit import Trainer
from r2i_jit.compiling import quick
from r2i_jit.config import MEMAX, Sequence
from r2i_jit.ranges import ConfigError
from r2i_jit.sequence.stack import Stack
from tests.agents import small_config
from tests.equivalence.test_world_model import assert_close

B, T, H = 2, 9, 16
KINDS = get_args(Sequence)
# These programs run for milliseconds: what counts is how fast they compile.
jit = partial(jax.jit, compiler_options=quick())


def given_inputs(bits, seed):
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(B, T, H)).astype(np.float32)
    is_first = np.array([[bits >> (b * T + t) & 1 for t in range(T)] for b in range(B)], bool)
    return u, is_first


@pytest.fixture(scope="module", params=KINDS)
def core(request):
    if request.param in MEMAX:
        pytest.importorskip("memax")
    layers = (
        1 if request.param in MEMAX else 2
    )  # that states of several are kept apart, two show; the rest compile long
    stack = Stack(small_config(model__sequence=request.param, model__ssm_layers=layers).model)
    u, is_first = given_inputs(0, 0)

    def touch(module):
        return module.parallel(u, is_first, module.initial(B))

    key = jax.random.key(0)
    params = jit(partial(stack.init, method=touch))(key)["params"]
    # A learned initial state starts at zero, where a wrong reset would go unseen.
    noise = lambda path, x: x + 0.5 * jax.random.normal(key, x.shape, x.dtype) if path[-1].key == "initial" else x
    params = jax.tree_util.tree_map_with_path(noise, params)

    def whole(params, u, is_first, carry):
        return stack.apply({"params": params}, u, is_first, carry, method=Stack.parallel)

    def pieces(params, u, is_first, carry, cut):
        y, x = whole(params, u[:, :cut], is_first[:, :cut], carry)
        others = whole(params, u[:, cut:], is_first[:, cut:], x[:, -1])
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b], 1), (y, x), others)

    def steps(params, u, is_first, carry):
        call = partial(stack.apply, {"params": params})
        prepared, initial = call(method=Stack.prepare), call(B, method=Stack.initial)

        def one(carry, inputs):
            u_t, first = inputs
            y, x = call(prepared, u_t, jnp.where(first[:, None, None], initial, carry), method=Stack.step)
            return x, (y, x)

        out = jax.lax.scan(one, carry, (jnp.swapaxes(u, 0, 1), jnp.swapaxes(is_first, 0, 1)))[1]
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), out)

    def gradients(function):
        def loss(params, u, carry, is_first):
            y, x = function(params, u, is_first, carry)
            return jnp.sum(jnp.sin(y)) + jnp.sum(jnp.cos(x))

        return jit(jax.grad(loss, argnums=(0, 1, 2)))

    def carry(seed):
        """A state that is reached from the initial one, as not all numbers are states of all recurrences."""
        before, never = given_inputs(0, seed + 1)
        initial = stack.apply({"params": params}, B, method=Stack.initial)
        return whole(params, before, never, initial)[1][:, -1]

    return {
        "kind": request.param,
        "params": params,
        "carry": jit(carry, static_argnums=0),
        "whole": jit(whole),
        "pieces": jit(pieces, static_argnames="cut"),
        "steps": jit(steps),
        "slopes_whole": gradients(whole),
        "slopes_steps": gradients(steps),
        "later": jit(jax.grad(lambda u, params, first, carry: whole(params, u, first, carry)[0][:, 6:].sum())),
    }


PATTERNS = {"bits": st.integers(0, 2 ** (B * T) - 1), "seed": st.integers(0, 3)}


@settings(max_examples=12, deadline=None)
@given(**PATTERNS)
def test_parallel_equals_stepwise_values_and_gradients(core, bits, seed):
    u, is_first = given_inputs(bits, seed)
    carry = core["carry"](seed)
    assert_close(core["whole"](core["params"], u, is_first, carry), core["steps"](core["params"], u, is_first, carry))
    arguments = (core["params"], u, carry, is_first)
    assert_close(core["slopes_whole"](*arguments), core["slopes_steps"](*arguments), 5e-3)


@settings(max_examples=8, deadline=None)
@given(**PATTERNS, cut=st.just(4))
def test_whole_equals_two_pieces(core, bits, seed, cut):
    u, is_first = given_inputs(bits, seed)
    arguments = (core["params"], u, is_first, core["carry"](seed))
    assert_close(core["whole"](*arguments), core["pieces"](*arguments, cut=cut))


def test_what_was_before_a_reset_has_no_effect_and_otherwise_has(core):
    u, is_first = given_inputs(0, 0)
    carry = core["carry"](0)
    slopes = core["later"](u, core["params"], is_first, carry)
    assert np.abs(slopes[:, 1]).max() > 0  # it is remembered
    is_first[:, 6] = True
    slopes = core["later"](u, core["params"], is_first, carry)
    assert not np.abs(slopes[:, :6]).any() and np.abs(slopes[:, 6:]).max() > 0


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["gru", "s6"])
def test_an_agent_trains_with_it(kind):
    if kind in MEMAX:
        pytest.importorskip("memax")
    trainer = Trainer(small_config(model__sequence=kind, behavior__policy_input="output"), quick_compile=True)
    state = trainer.init(jax.random.split(jax.random.key(0), 1))
    before = jax.tree.map(np.asarray, state.seeds.agent.model["stack"]["blocks_0"])
    state, metrics = trainer.train_chunk(state)
    assert np.isfinite(metrics["model/loss"]).all()
    after = state.seeds.agent.model["stack"]["blocks_0"]
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((np.asarray(a) != b).any()), after, before)))


def test_a_recurrence_of_a_package_that_is_not_installed_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"model.sequence=ffm.*pip install 'r2i-jit\[memax\]'"):
        small_config(model__sequence="ffm")
