"""What is computed in which precision when the agent computes in bfloat16. About 10 seconds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.observation import Categorical
from r2i_jit import behavior
from r2i_jit.actions import ActionSpec
from r2i_jit.agent import Agent
from r2i_jit.world_model import WorldModel
from tests.agents import small_config
from tests.trees import equations

N, T, A = 4, 6, 3
OBS = jax.ShapeDtypeStruct((4,), jnp.uint8)


def build(precision, discrete=True):
    config = small_config(loop__precision=precision, model__prior_skip="true", behavior__policy_input="full")
    spec = ActionSpec(A, True) if discrete else ActionSpec(A, False, -np.ones(A), np.ones(A))
    agent = Agent(config, (Categorical(4),), spec, OBS)
    return agent, jax.jit(partial(agent.init, hypers=config.hypers))(jax.random.key(0))


def products(jaxpr):
    """Return (precision, dtype of the result) of every product of an array with a matrix, functions within included."""
    found = [equation for equation in equations(jaxpr) if equation.primitive.name == "dot_general"]
    return [(equation.params["precision"], equation.outvars[0].aval.dtype.name) for equation in found]


@pytest.mark.parametrize(
    ("precision", "wanted"), [pytest.param("float32", "HIGHEST", marks=pytest.mark.heavy), ("bfloat16", "HIGH")]
)
def test_the_sequence_models_products_are_as_exact_as_what_they_read(precision, wanted):
    agent, state = build(precision)
    play = jnp.zeros((N, T, 4), jnp.uint8), jnp.zeros((N, T, A), jnp.float32), jnp.zeros((N, T), bool)

    def observe(params, obs, action, is_first):
        carry = agent.model.apply({"params": params}, N, method=WorldModel.initial)
        return agent.model.apply(
            {"params": params}, obs, action, is_first, carry, None, method=WorldModel.observe
        ).latent.hidden

    with jax.default_matmul_precision("default"):
        found = products(jax.make_jaxpr(observe)(state.model, *play).jaxpr)
    asked = [[str(one) for one in pair] for pair, dtype in found if dtype == "float32"]
    asked = [pair for pair in asked if "DEFAULT" not in pair]
    assert len(asked) == 2 * agent.config.model.ssm_layers
    assert {one for pair in asked for one in pair} == {wanted}


@pytest.mark.heavy
@pytest.mark.parametrize("discrete", [False, True])
def test_imagining_with_kernels_cast_once_is_imagining_with_the_parameters(monkeypatch, discrete):
    """Values, and the gradient through the actions: it is summed over the steps in float32."""
    agent, state = build("bfloat16", discrete)
    rng = np.random.default_rng(0)
    # What is recalled starts at zero, in any precision.
    state, start = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), (state, agent.initial_latent(state, N))
    )
    cont = jnp.ones(N, jnp.float32)

    def imagine():
        def total(actor, model, key):
            trajectory = behavior.imagine(
                agent.config.behavior, agent.spec, agent.model, agent.actor, model, actor, start, cont, key
            )
            return trajectory.reward.sum(), trajectory

        return jax.jit(jax.value_and_grad(total, has_aux=True))(state.actor, state.model, jax.random.key(1))

    once = imagine()
    monkeypatch.setattr(behavior, "cast_kernels", lambda params, dtype: params)
    monkeypatch.setattr(WorldModel, "for_steps", lambda self, params: params)
    jax.tree.map(np.testing.assert_array_equal, once, imagine())
