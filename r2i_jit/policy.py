"""A trained agent to play with: `policy = r2i_jit.load("runs/…")`, then `policy.act` step by step in any loop."""

import dataclasses
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.observation import Leaf, arrange, member, shown
from r2i_jit import description, probing, trained
from r2i_jit.actions import ActionSpec
from r2i_jit.agent import AgentState
from r2i_jit.config import Config
from r2i_jit.probing import Prediction
from r2i_jit.trained import LoadError, Trained
from r2i_jit.world_model import Latent

__all__ = ["LoadError", "Memory", "TrainedPolicy", "load"]


class Memory(NamedTuple):
    """What an agent carries from step to step; leading axis: the batch.

    Attributes:
      latent: what the world model knows: stoch z, deter h, hidden x (the state of the state space model). Of PPO, which
        has none: output and hidden of the recurrence.
      prev_action: what was chosen, as the agent stores it.
      begun: (batch,) bool, False before the first step.
      key: typed PRNG key of the samples, () for the whole batch.
    """

    latent: Latent
    prev_action: jax.Array
    begun: jax.Array
    key: jax.Array


def load(source: str | os.PathLike[str], *, step: int | str = trained.LATEST, member: int = 0) -> "TrainedPolicy":
    """Return a trained agent, ready to act. Changes nothing on the disk.

    Args:
      source: a run directory, a file that `export` wrote, or "example", the agent that comes with this package.
      step: of a run directory, which checkpoint: environment steps, "best" or "latest". A damaged latest one is passed
        over with a warning in the log.
      member: of a run directory, which of its agents.

    Raises:
      LoadError: if there is no such agent or it does not read; one line says why.
    """
    return TrainedPolicy(trained.read(source, step, member))


class TrainedPolicy:
    """A trained agent; it does not change while it plays, and what it remembers is in the `Memory` that you keep.

    Attributes:
      agent: its networks.
      state: its weights, on the device.
      step: environment steps that it was trained for.
      member: which one of its run it is, such as {"seed": 0}.
      returns: mean, stderr and episodes as measured at the end of its run, or None.
      versions: what its run ran on.
      trace_counts: how often each program was traced: once per batch size and kind of choice.
    """

    def __init__(self, source: Trained):
        """Take the weights to the device; compiles nothing.

        Args:
          source: a trained agent.
        """
        self._trained = source
        self.agent = description.build_agent(source.config, source.description)
        self.state: AgentState = jax.device_put(trained.as_state(source.weights))
        self.step, self.member, self.returns, self.versions = (
            source.step,
            source.member,
            source.returns,
            source.versions,
        )
        self.trace_counts = {"start": 0, "act": 0, "value": 0, "predict": 0}
        self._start = jax.jit(self._traced_start, static_argnames="batch")
        self._act = jax.jit(self._traced_act, static_argnames="greedy")
        self._value = jax.jit(self._traced_value)
        self._predict = jax.jit(self._traced_predict)

    @property
    def config(self) -> Config:
        """The configuration of its run."""
        return self._trained.config

    @property
    def env_id(self) -> str:
        """The environment that it was trained in."""
        return self.config.env

    @property
    def observation(self) -> tuple[Leaf, ...]:
        """The arrays of one observation: path, shape and dtype of each, and what it is made of."""
        return self._trained.description.observation

    @property
    def action(self) -> ActionSpec:
        """The action space; an action has the shape `env_shape` and the dtype `env_dtype`."""
        return self._trained.description.action

    def start(self, batch: int, seed: int = 0) -> Memory:
        """Return the memory before the first step of `batch` environments.

        Args:
          batch: how many.
          seed: of the samples, where actions are sampled.

        Raises:
          ValueError: unless there is at least one.
        """
        if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
            raise ValueError(f"batch={batch!r}: expected a whole number of at least 1")
        return self._start(self.state, jax.random.key(seed), batch=int(batch))

    def act(self, memory: Memory, obs: Any, is_first: Any, *, greedy: bool | None = None) -> tuple[np.ndarray, Memory]:
        """Choose actions for one step of a batch of environments.

        Args:
          memory: of `start`, or of the step before.
          obs: as the environment gives it, with a batch axis in front: (batch, *shape), NumPy or JAX, or a dict or
            tuple of such arrays.
          is_first: (batch,) bool, where an episode begins: what was before is forgotten. The first step after `start`
            begins one in any case.
          greedy: the most likely latents and actions instead of samples; by default config.loop.evaluation_greedy.

        Returns:
          (actions as the environment takes them (batch, *action.env_shape), memory).

        Raises:
          ValueError: if an array has another shape or another kind of dtype than it should have.
        """
        batch = memory.begun.shape[0]
        obs = self._arranged(obs, batch)
        is_first = _fitting("is_first", is_first, (batch,), "bool")
        greedy = self.config.loop.evaluation_greedy if greedy is None else bool(greedy)
        action, memory = self._act(self.state, memory, obs, is_first, greedy=greedy)
        return np.asarray(action), memory

    def value(self, memory: Memory) -> np.ndarray:
        """Return the discounted return that the critic expects, float32 (batch,), in the game's own reward."""
        return np.asarray(self._value(self.state, memory.latent))

    def predict(self, memory: Memory, actions: Any, *, seed: int | None = None) -> Prediction:
        """Return what the world model expects if these actions are taken, without seeing what comes of them.

        Args:
          memory: after a step.
          actions: (batch, T, *action.env_shape), as the environment takes them, the first one chosen at that step.
          seed: of samples of the latents, one of the futures held possible. None takes the most likely latents.

        Returns:
          Predictions (batch, T, ...), NumPy.

        Raises:
          ValueError: if the actions have another shape or kind of dtype, or are no actions; if it has no world model.
        """
        if self.agent.on_policy:
            raise ValueError(f"this agent ({self.config.algorithm}) has no world model that could predict")
        batch, shape = memory.begun.shape[0], np.shape(actions)
        steps = shape[1] if len(shape) > 1 else 1
        wanted = (batch, max(1, steps), *self.action.env_shape)
        actions = np.asarray(_fitting("actions", actions, wanted, self.action.env_dtype))
        _refuse_no_choices(self.action, actions)
        key = None if seed is None else jax.random.key(seed)
        return jax.tree.map(np.asarray, self._predict(self.state, memory.latent, actions, key))

    def _arranged(self, obs: Any, batch: int) -> Any:
        """Return an observation as the agent takes it."""
        leaves = self.observation
        if len(leaves) == 1 and not leaves[0].path:
            leaf = leaves[0]
            return arrange(leaves, _fitting("obs", obs, (batch, *leaf.shape), leaf.dtype), 1)
        arrays = []
        for leaf in leaves:
            try:
                array = member(obs, leaf.path)
            except ValueError as error:
                raise ValueError(f"obs: {error}") from None
            array = _fitting(f"obs{shown(leaf.path)}", array, (batch, *leaf.shape), leaf.dtype)
            arrays.append(arrange((dataclasses.replace(leaf, path=()),), array, 1))
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    def __repr__(self) -> str:
        measured = "" if self.returns is None else f", return {self.returns['mean']:.3f}"
        return f"TrainedPolicy({self.env_id}, step {self.step:,}, {self.member}{measured})"

    # What is compiled -------------------------------------------------------------------------------------------------

    def _traced_start(self, state: AgentState, key: jax.Array, *, batch: int) -> Memory:
        self.trace_counts["start"] += 1
        spec = self.agent.spec
        nothing = jnp.zeros((batch, *spec.stored_shape), spec.stored_dtype)
        return Memory(self.agent.initial_latent(state, batch), nothing, jnp.zeros(batch, bool), key)

    def _traced_act(self, state: AgentState, memory: Memory, obs: jax.Array, is_first: jax.Array, *, greedy: bool):
        self.trace_counts["act"] += 1
        key, key_act = jax.random.split(memory.key)
        is_first = is_first | ~memory.begun
        action, latent = self.agent.act(state, memory.latent, obs, memory.prev_action, is_first, key_act, greedy=greedy)
        return self.agent.spec.to_env(action), Memory(latent, action, jnp.ones_like(memory.begun), key)

    def _traced_value(self, state: AgentState, latent: Latent) -> jax.Array:
        self.trace_counts["value"] += 1
        return probing.value(self.agent, state, latent)

    def _traced_predict(self, state: AgentState, latent: Latent, actions: jax.Array, key: jax.Array | None):
        self.trace_counts["predict"] += 1
        return probing.predict(self.agent, state, latent, actions, key)


def _refuse_no_choices(spec: ActionSpec, actions: np.ndarray) -> None:
    """Raise ValueError if actions are not in a space of choices."""
    if not spec.discrete:
        return
    least = np.zeros((), int) if spec.offset is None else spec.offset.reshape(spec.shape)
    above = least + (np.array(spec.nvec).reshape(spec.shape) if spec.nvec else spec.size)
    if np.any((actions < least) | (actions >= above)):
        raise ValueError(f"actions go from {actions.min()} to {actions.max()}; they should be below {above}")


def _fitting(name: str, given: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Return an array in the dtype wanted.

    Raises:
      ValueError: if its shape is another, or its dtype of another kind: int64 does for int32, no float for an image.
    """
    array = given if isinstance(given, jax.Array) else np.asarray(given)
    exact = dtype in ("bool", "uint8")
    fits = str(array.dtype) == dtype if exact else np.can_cast(array.dtype, dtype, "same_kind")
    if array.shape != shape or not fits:
        raise ValueError(f"{name} is {array.dtype} {array.shape}; it should be {dtype} {shape}")
    return array.astype(dtype)
