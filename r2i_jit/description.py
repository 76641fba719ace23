"""What an agent sees and does, as plain values: enough to build its networks where its environment is not at hand.

The one place that knows how a description is written as JSON, and how an `Agent` is made of one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import envs
from envs.observation import Categorical, Continuous, Image, Part
from envs.spaces import MultiDiscrete
from r2i_jit.actions import ActionSpec
from r2i_jit.agent import Agent
from r2i_jit.config import Config


@dataclass(frozen=True)
class Observation:
    """One observation, without a batch axis.

    Attributes:
      shape: of the array.
      dtype: its name, such as "uint8".
      parts: what the array is made of.
    """

    shape: tuple[int, ...]
    dtype: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Action:
    """One action as the environment takes it, without a batch axis.

    Attributes:
      spec: what the agent takes the action space to be.
      sizes: of a MultiDiscrete space, the number of values of each entry: the agent numbers these vectors in C order.
    """

    spec: ActionSpec
    sizes: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one action."""
        if self.sizes is not None:
            return (len(self.sizes),)
        return () if self.spec.low is None else self.spec.low.shape

    @property
    def dtype(self) -> str:
        """Name of the dtype of an action."""
        return "int32" if self.spec.discrete else "float32"

    def unflatten(self, actions: np.ndarray) -> np.ndarray:
        """Return what `ActionSpec.to_env` gives (...) as the environment's own actions (..., *shape)."""
        if self.sizes is None:
            return actions
        return np.stack(np.unravel_index(actions, self.sizes), -1).astype(np.int32)

    def flatten(self, actions: np.ndarray) -> np.ndarray:
        """Return actions of the environment (..., *shape) as `ActionSpec.from_env` takes them.

        Raises:
          ValueError: if they are not in a discrete space.
        """
        if not self.spec.discrete:
            return actions
        limits = np.array(self.sizes or self.spec.size)
        if np.any((actions < 0) | (actions >= limits)):
            raise ValueError(f"actions go from {actions.min()} to {actions.max()}; they should be below {limits}")
        if self.sizes is None:
            return actions
        return np.ravel_multi_index(tuple(np.moveaxis(actions, -1, 0)), self.sizes).astype(np.int32)


@dataclass(frozen=True)
class Description:
    """What an agent sees and does."""

    observation: Observation
    action: Action

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that `from_json` reads."""
        seen, spec = self.observation, self.action.spec
        leaf = {"path": "", "shape": list(seen.shape), "dtype": seen.dtype, "parts": [_part(p) for p in seen.parts]}
        action: dict[str, Any] = {"kind": "discrete", "size": spec.size, "sizes": self.action.sizes}
        if not spec.discrete:
            assert spec.low is not None and spec.high is not None, "a Box has bounds"
            action = {"kind": "box", "low": spec.low.tolist(), "high": spec.high.tolist()}
        return {"observation": [leaf], "action": action}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Description":
        """Return what `to_json` was made of.

        Raises:
          ValueError: or KeyError, TypeError or AttributeError, if it is something else.
        """
        (leaf,), action = values["observation"], values["action"]
        shape, parts = tuple(map(_count, leaf["shape"])), tuple(_from_part(part) for part in leaf["parts"])
        whole = () if isinstance(parts[0], Categorical) and not parts[0].one_hot else (sum(p.size for p in parts),)
        if shape != (parts[0].shape if isinstance(parts[0], Image) else whole):
            raise ValueError(f"an observation of shape {shape} is not made of {parts}")
        observation = Observation(shape, np.dtype(leaf["dtype"]).name, parts)
        if action["kind"] == "discrete":
            sizes = None if action["sizes"] is None else tuple(map(_count, action["sizes"]))
            size = _count(action["size"])
            if sizes is not None and math.prod(sizes) != size:
                raise ValueError(f"{size} actions are not the vectors of {sizes}")
            return cls(observation, Action(ActionSpec(size, discrete=True), sizes))
        low, high = (np.array(action[name], np.float32) for name in ("low", "high"))
        if action["kind"] != "box" or low.shape != high.shape or not np.all(np.isfinite(high - low)):
            raise ValueError("the action space is neither discrete nor a bounded box")
        return cls(observation, Action(ActionSpec(low.size, False, low, high)))


def of_trainer(trainer: Any) -> Description:
    """Describe the environment that a `Trainer` has built."""
    agent = trainer.agent
    obs = Observation(tuple(agent.obs_example.shape), np.dtype(agent.obs_example.dtype).name, tuple(trainer.parts))
    env, params = envs.make(trainer.config.env)  # the trainer's may number its actions, or it may do so by itself
    space = env.action_space(params)
    sizes = space.nvec if isinstance(space, MultiDiscrete) else None
    return Description(obs, Action(agent.spec, sizes))


def build_agent(config: Config, description: Description) -> Agent:
    """Return the agent of a configuration, for an environment of this description."""
    seen = description.observation
    example: Any = jax.ShapeDtypeStruct(seen.shape, np.dtype(seen.dtype))  # stands for an array
    return Agent(config, seen.parts, description.action.spec, example)


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"kind": "image", "shape": list(part.shape)}
    if isinstance(part, Continuous):
        return {"kind": "continuous", "size": part.size}
    return {"kind": "categorical", "classes": part.classes, "count": part.count, "one_hot": part.one_hot}


def _from_part(values: Mapping[str, Any]) -> Part:
    kind = values["kind"]
    if kind == "image":
        height, width, channels = map(_count, values["shape"])
        return Image((height, width, channels))
    if kind == "continuous":
        return Continuous(_count(values["size"]))
    if kind != "categorical" or type(values["one_hot"]) is not bool:
        raise ValueError(f"a part of an observation is {kind!r}")
    return Categorical(_count(values["classes"]), _count(values["count"]), values["one_hot"])


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no positive whole number")
    return value
