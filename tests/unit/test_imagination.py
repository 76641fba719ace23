"""What an imagined trajectory holds where: which action leads to which state, reward and end. About 20 seconds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.observation import Categorical
from r2i_jit import behavior
from r2i_jit.actions import ActionSpec
from r2i_jit.agent import Agent
from r2i_jit.nets import distributions as dist
from r2i_jit.world_model import Latent, WorldModel
from tests.agents import small_config

N, I = 5, 4
SPECS = {"discrete": ActionSpec(3, discrete=True), "continuous": ActionSpec(3, False, -np.ones(3), np.ones(3))}


def setup(kind, continue_mode, policy_input="full", dynamics_input="latent"):
    config = small_config(
        behavior__policy_input=policy_input, behavior__horizon=I, behavior__continue_mode=continue_mode,
        model__dynamics_input=dynamics_input, model__prior_skip=dynamics_input == "change",
    )  # fmt: skip
    agent = Agent(config, (Categorical(4),), SPECS[kind], jax.ShapeDtypeStruct((4,), jnp.uint8))
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(partial(agent.init, hypers=config.hypers), jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)
    model = config.model
    stoch = np.eye(model.classes)[rng.integers(0, model.classes, (N, model.stoch))].reshape(N, -1)
    change = stoch * rng.integers(0, 2, stoch.shape) if dynamics_input == "change" else None
    deter = model.deter + model.prior_skip * stoch.shape[1]
    hidden = rng.normal(size=(N, model.ssm_layers, 2 * model.ssm_state))
    start = Latent(stoch, change, rng.normal(size=(N, deter)), hidden, np.zeros(N))
    return agent, state, jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), start)


CASES = [("discrete", "mode", "latent"), ("continuous", "mean", "latent"), ("discrete", "mean", "change")]


@pytest.mark.heavy
@pytest.mark.parametrize(("kind", "continue_mode", "dynamics_input"), CASES)
def test_a_trajectory_holds_what_the_model_says_of_each_step(kind, continue_mode, dynamics_input):
    agent, state, start = setup(kind, continue_mode, dynamics_input=dynamics_input)
    start_cont = jnp.array([1.0, 0.0, 1.0, 1.0, 0.0], jnp.float32)

    def imagine(key):
        return behavior.imagine(agent.config.behavior, agent.spec, agent.model, agent.actor, state.model, state.actor,
                                start, start_cont, key)  # fmt: skip

    trajectory = jax.jit(imagine)(jax.random.key(1))
    apply = lambda *args, method: agent.model.apply({"params": state.model}, *args, method=method)
    prepared = apply(method=WorldModel.prepare)
    # With the policy input "full" the features are the whole latent: (z, h, x), and what is new in z.
    states = jax.tree.map(lambda all, last: jnp.concatenate([all, last[None]]), trajectory.feat, trajectory.last)
    latents, change = [], start.change
    for z, h, x, *new in zip(*states, strict=True):
        if latents and dynamics_input == "change":
            change = jnp.maximum(z - latents[-1].stoch, 0.0)
            np.testing.assert_array_equal(new, [change])
        latents.append(Latent(z, change, h, x.reshape(start.hidden.shape), start.start))
    jax.tree.map(np.testing.assert_array_equal, latents[0], start)
    np.testing.assert_array_equal(trajectory.start_cont, start_cont)
    assert len(latents) == I + 1 and trajectory.action.shape == (I, N, 3)
    for k in range(I):
        # z is a sample, but what it is a sample from, h and x follow from the state before and the action.
        expected = apply(prepared, latents[k], trajectory.action[k], None, method=WorldModel.imagine_step)
        np.testing.assert_allclose(latents[k + 1].deter, expected.deter, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(latents[k + 1].hidden, expected.hidden, rtol=1e-3, atol=1e-4)
        assert set(np.unique(latents[k + 1].stoch.round(5))) == {0.0, 1.0}
        reward_logits, continue_logit = apply(latents[k + 1], method=WorldModel.heads)
        np.testing.assert_allclose(trajectory.reward[k], dist.two_hot_mean(reward_logits), rtol=1e-3, atol=1e-3)
        cont = jax.nn.sigmoid(continue_logit)
        cont = (cont > 0.5) if continue_mode == "mode" else cont
        np.testing.assert_allclose(trajectory.cont[k], cont, rtol=1e-3, atol=1e-4)
    if kind == "discrete":
        assert set(np.unique(trajectory.action)) == {0.0, 1.0}


@pytest.mark.heavy
@pytest.mark.parametrize("policy_input", ["hidden", "output", "full"])
def test_rewards_and_ends_are_those_of_the_states_arrived_in_whatever_the_policy_reads(policy_input):
    agent, state, latent = setup("discrete", "mean", policy_input)
    key = jax.random.key(3)
    cont = jnp.ones(N, jnp.float32)
    trajectory = jax.jit(lambda: behavior.imagine(agent.config.behavior, agent.spec, agent.model, agent.actor,
                                                  state.model, state.actor, latent, cont, key))()  # fmt: skip
    apply = partial(agent.model.apply, {"params": state.model})
    prepared = apply(method=WorldModel.prepare)
    for k, step_key in enumerate(jax.random.split(key, I)):
        key_model = jax.random.split(step_key)[1]
        latent = apply(prepared, latent, trajectory.action[k], key_model, method=WorldModel.imagine_step)
        reward_logits, continue_logit = apply(latent, method=WorldModel.heads)
        np.testing.assert_allclose(trajectory.reward[k], dist.two_hot_mean(reward_logits), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(trajectory.cont[k], jax.nn.sigmoid(continue_logit), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", SPECS)
def test_only_continuous_actions_carry_the_gradient_of_rewards_to_the_policy(kind):
    agent, state, start = setup(kind, "mode")

    def total(actor):
        return behavior.imagine(agent.config.behavior, agent.spec, agent.model, agent.actor, state.model, actor, start,
                                jnp.ones(N, jnp.float32), jax.random.key(2)).reward[-1].sum()  # fmt: skip

    gradient = jax.jit(jax.grad(total))(state.actor)
    assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient)) == (kind == "continuous")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("kind", "policy_input"),
    [
        ("discrete", "hidden"),
        pytest.param("continuous", "full", marks=pytest.mark.heavy),
        pytest.param("discrete", "full", marks=pytest.mark.slow),
        pytest.param("continuous", "hidden", marks=pytest.mark.slow),
    ],
)
def test_the_policy_s_gradient_is_that_of_its_whole_loss(kind, policy_input):
    """Taken by the actor's raw output and then by its parameters, as by both at once."""
    agent, state, start = setup(kind, "mean", policy_input)
    cont, key = jnp.array([1.0, 0.0, 1.0, 1.0, 1.0], jnp.float32), jax.random.key(2)
    hypers = agent.config.hypers.replace(entropy_scale=0.1)

    def whole_loss(actor):
        cfg, spec, apply_critic = (
            agent.config.behavior,
            agent.spec,
            partial(agent.critic.apply, {"params": state.critic}),
        )
        trajectory = behavior.imagine(cfg, spec, agent.model, agent.actor, state.model, actor, start, cont, key)
        raw = agent.actor.apply({"params": actor}, jax.lax.stop_gradient(trajectory.feat))
        logits = [apply_critic(trajectory.feat), apply_critic(trajectory.last)[None]]
        value = dist.two_hot_mean(jnp.concatenate(logits))
        returns = behavior.lambda_returns(
            trajectory.reward, trajectory.cont, value, hypers.discount, hypers.return_lambda
        )
        norm = state.return_norm.update(jax.lax.stop_gradient(returns), hypers.return_decay)
        if kind == "discrete":
            trajectory, returns, value = jax.lax.stop_gradient((trajectory, returns, value))
        trajectory = trajectory._replace(raw=raw)
        return behavior.actor_loss(cfg, spec, trajectory, returns, value[:-1], norm, hypers)[0]

    def ours():
        return agent._actor_gradient(state, start, cont, hypers, key)[1]

    found, expected = jax.jit(lambda: (ours(), jax.grad(whole_loss)(state.actor)))()
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    assert largest > 0
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4 * largest), found, expected)


@pytest.mark.parametrize("gates", [0, 2])
def test_a_policy_may_begin_indifferent(gates):
    def first_policy(scale):
        config = small_config(behavior__actor_init=scale, behavior__actor_gates=gates).behavior
        actor = behavior.Actor(config, SPECS["discrete"])
        feat = (jax.random.normal(jax.random.key(0), (N, 7)), jax.random.normal(jax.random.key(1), (N, 4)))
        raw, _ = actor.init_with_output(jax.random.key(2), feat)
        return raw

    assert (first_policy(0) == 0).all()
    assert np.unique(first_policy(1)).size == 3 * N
