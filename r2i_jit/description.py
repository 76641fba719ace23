"""What an agent sees and does, as plain values: enough to build its networks where its environment is not at hand.

The one place that knows how a description is written as JSON, and how an `Agent` is made of one.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from envs.observation import Binary, Categorical, Continuous, Image, Leaf, Part, fit
from r2i_jit.actions import ActionSpec
from r2i_jit.algorithms import make_agent
from r2i_jit.config import Config


@dataclass(frozen=True)
class Description:
    """What an agent sees and does.

    Attributes:
      observation: the arrays of one observation, without a batch axis, as the environment gives them.
      action: the action space.
    """

    observation: tuple[Leaf, ...]
    action: ActionSpec

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that `from_json` reads."""
        leaves = [
            {
                "path": list(leaf.path),
                "shape": list(leaf.shape),
                "dtype": leaf.dtype,
                "parts": [_part(part) for part in leaf.parts],
            }
            for leaf in self.observation
        ]
        spec = self.action
        action: dict[str, Any] = {"kind": "discrete", "size": spec.size}
        if not spec.discrete:
            assert spec.low is not None and spec.high is not None, "a Box has bounds"
            # JSON knows no infinity: an entry without a bound has null.
            low, high = (
                [float(x) if np.isfinite(x) else None for x in bound.ravel()] for bound in (spec.low, spec.high)
            )
            action = {"kind": "box", "shape": list(spec.low.shape), "low": low, "high": high}
        elif spec.nvec:
            offset = None if spec.offset is None else [int(x) for x in spec.offset]
            action = {"kind": "choices", "nvec": list(spec.nvec), "joint": spec.joint, "offset": offset}
            action |= {"shape": list(spec.shape), "dtype": spec.dtype}
        return {"observation": leaves, "action": action}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Description":
        """Return what `to_json` was made of.

        Raises:
          ValueError: or KeyError, TypeError or AttributeError, if it is something else.
        """
        leaves = tuple(_leaf(leaf) for leaf in values["observation"])
        if not leaves or (len(leaves) > 1 and not all(leaf.path for leaf in leaves)):
            raise ValueError(f"{len(leaves)} arrays are no observation")
        return cls(leaves, _action(values["action"]))


def of_trainer(trainer: Any) -> Description:
    """Describe the environment that a `Trainer` has built."""
    agent = trainer.agent
    examples = jax.tree.leaves(agent.obs_example)  # in the dtypes that the environment really gives
    leaves = [
        dataclasses.replace(leaf, dtype=np.dtype(example.dtype).name)
        for leaf, example in zip(trainer.leaves, examples, strict=True)
    ]
    return Description(tuple(leaves), agent.spec)


def build_agent(config: Config, description: Description) -> Any:
    """Return the agent of a configuration, for an environment of this description."""
    leaves = description.observation
    # They stand for arrays.
    examples: Any = tuple(jax.ShapeDtypeStruct(leaf.arranged_shape, np.dtype(leaf.dtype)) for leaf in leaves)
    parts: Any = tuple(leaf.arranged_parts for leaf in leaves)
    one = len(leaves) == 1
    return make_agent(config, parts[0] if one else parts, description.action, examples[0] if one else examples)


def _leaf(values: Mapping[str, Any]) -> Leaf:
    path, dtype = tuple(values["path"]), np.dtype(values["dtype"])
    if not all(type(key) in (str, int) for key in path):
        raise ValueError(f"{path!r} is no path to an array")
    shape, parts = tuple(_count(side) for side in values["shape"]), tuple(_from_part(part) for part in values["parts"])
    if not fit(parts, shape, dtype):
        raise ValueError(f"an array of shape {shape} is not made of {parts}")
    return Leaf(path, shape, dtype.name, parts)


def _action(values: Mapping[str, Any]) -> ActionSpec:
    if values["kind"] == "discrete":
        return ActionSpec(_count(values["size"]), discrete=True)
    shape = tuple(_count(side) for side in values["shape"])
    if values["kind"] == "choices":
        nvec = tuple(_count(n) for n in values["nvec"])
        joint, offset = values["joint"], values["offset"]
        if type(joint) is not bool or np.prod(shape, dtype=int) != len(nvec):
            raise ValueError(f"actions of shape {shape} are not the choices {nvec}")
        least = None if offset is None else np.array([int(x) for x in offset]).reshape(len(nvec))
        size = int(np.prod(nvec)) if joint else sum(nvec)
        dtype = np.dtype(values["dtype"]).name
        return ActionSpec(size, True, nvec=nvec, joint=joint, offset=least, shape=shape, dtype=dtype)
    low, high = (
        np.array([end if x is None else float(x) for x in values[name]], np.float32).reshape(shape)
        for name, end in (("low", -np.inf), ("high", np.inf))
    )
    if values["kind"] != "box" or not (low <= high).all():
        raise ValueError("the action space is none")
    return ActionSpec(low.size, False, low, high)


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"kind": "image", "shape": list(part.shape), "channels_first": part.channels_first}
    if isinstance(part, Continuous | Binary):
        return {"kind": "continuous" if isinstance(part, Continuous) else "binary", "size": part.size}
    return {"kind": "categorical", "classes": part.classes, "count": part.count, "one_hot": part.one_hot}


def _from_part(values: Mapping[str, Any]) -> Part:
    kind = values["kind"]
    if kind == "image" and type(values["channels_first"]) is bool:
        return Image(tuple(_count(side) for side in values["shape"]), values["channels_first"])
    if kind in ("continuous", "binary"):
        return (Continuous if kind == "continuous" else Binary)(_count(values["size"]))
    if kind != "categorical" or type(values["one_hot"]) is not bool:
        raise ValueError(f"a part of an observation is {kind!r}")
    return Categorical(_count(values["classes"]), _count(values["count"]), values["one_hot"])


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no positive whole number")
    return value
