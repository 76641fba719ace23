"""What is said to be unread is in nothing that is compiled, and every other key is in something. 5 minutes, heavy.

A traced key (`hypers.*`) is read if it is left where dead code is eliminated from the chunk; a static one if another
value makes another program, which are compared as texts with their constants, or another number that the loop around
them is told. Evaluations are looked at as well. What only some spaces have a use for is looked for in those.
"""

import contextlib
import re
import typing
from collections.abc import Iterable, Iterator

import jax
import numpy as np
import pytest
from gymnax.environments import spaces
from jax.extend.core import Literal
from jax.interpreters.partial_eval import dce_jaxpr

from experiments.presets import preset
from r2i_jit import Trainer, relevance
from r2i_jit.config import MEMAX, Config, ConfigError, _keys, flatten
from tests.equivalence.test_spaces import BYTES, Static, box, registered
from tests.trees import equations, leaves

KEYS = _keys()
# Another value, where one next to the preset's makes no other program: the prefill is a batch at least.
VALUES = {"env": "popgym/RepeatFirstEasy", "replay.prefill": 50_000}
STUCK = {"model.dynamics_input"}  # has one value only that goes with model.block=bare
SMALL = [f"{layers}_layers=1" for layers in ("model.ssm", "model.head", "behavior.actor", "behavior.critic")]
STEPPED = ("model.posterior=recurrent", "model.block=bare", "behavior.policy_input=output")  # with the S3M
AGENTS = {
    **{name: (name, ()) for name in ("ppo-gru", "ppo-s5", "dreamerv3", "r2i")},
    "ppo, lru": ("ppo-s5", ("model.sequence=lru",)),
    "given latents": ("r2i", ("model.posterior=observation",)),
    "gru in blocks": ("r2i", ("model.sequence=gru",)),
    "stepped": ("r2i", STEPPED),
    "lru": ("r2i", ("model.sequence=lru",)),
    "attention": ("r2i", ("model.sequence=attention",)),
}
PRESETS = list(AGENTS)[:4]
ELSEWHERE = {
    "pictures, numbers": lambda: Static(spaces.Dict({"eye": BYTES((16, 16, 3)), "body": box((2,))}), box((2,))),
    "classes": lambda: Static(spaces.Discrete(4), box((2,))),
}


def configured(agent: str, where: str = "popgym") -> Config:
    name, assignments = AGENTS[agent]
    if any(word.removeprefix("model.sequence=") in MEMAX for word in assignments):
        pytest.importorskip("memax")
    found = preset("popgym", agent=name).override([*SMALL, *assignments])
    return found if where == "popgym" else found.override(["env=any/Static"])


def text(program: typing.Any) -> str:
    """Return a program as text, with what its constants are and without addresses."""

    def constants(program: typing.Any) -> Iterator[typing.Any]:
        yield from program.consts
        for equation in equations(program.jaxpr):
            yield from (value.val for value in equation.invars if isinstance(value, Literal))
            for inner in jax.tree.leaves(equation.params):
                yield from getattr(inner, "consts", ())

    numbers = [leaf.tobytes() for leaf in leaves(list(map(np.asarray, constants(program))))]
    return re.sub("0x[0-9a-f]+", "", str(program)) + str(hash(tuple(numbers)))


def looked_at(config: Config) -> Iterator[object]:
    """Yield all that a config makes of a run, the cheapest first."""
    trainer = Trainer(config)
    yield trainer.steps_per_chunk, trainer.updates_per_chunk, trainer.prefill_steps, trainer._options
    state = trainer.state_shapes(1)
    yield str(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state))
    seeds = state.seeds
    played, greedy = trainer._evaluation(None, None)[1].function, config.loop.evaluation_greedy
    yield greedy, text(jax.make_jaxpr(played)(seeds.agent, seeds.setting, seeds.key, np.bool_(greedy), np.int32(9)))
    yield text(jax.make_jaxpr(trainer._init)(seeds.key, seeds.hypers, seeds.setting))
    if trainer.prefill_steps:  # else it is a loop of no steps
        yield text(jax.make_jaxpr(trainer._prefill)(state))
    yield text(jax.make_jaxpr(trainer._train_chunk)(state))


def unused(config: Config) -> set[str]:
    """Return the traced keys that the chunk hands on and does nothing else with."""
    trainer = Trainer(config)
    state = trainer.state_shapes(1)
    names, results = (
        [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
        for tree in (state, jax.eval_shape(trainer._train_chunk, state))
    )
    program = jax.make_jaxpr(trainer._train_chunk)(state).jaxpr
    _, used = dce_jaxpr(program, [".hypers." not in name for name in results])
    found = {name for name, is_used in zip(names, used, strict=True) if not is_used}
    return {name.removeprefix(".seeds.") for name in found if name.startswith(".seeds.hypers.")}


def others(config: Config, key: str) -> list[Config]:
    """Return the config with other values of a key, those that go together with the rest of it."""
    value, found = flatten(config.to_dict())[key], []
    if key in VALUES:
        values = [VALUES[key]]
    elif typing.get_origin(KEYS[key].kind) is typing.Literal:
        values = [*typing.get_args(KEYS[key].kind)]
    elif isinstance(value, bool):
        values = [not value]
    else:
        values = [2 * value, value + 1, value // 2] if isinstance(value, int) else [2 * value, value / 2, value + 0.5]
    for other in values:
        with contextlib.suppress(ConfigError):
            found += [config.override([f"{key}={other}"])] if other != value else []
    return found


def changing(config: Config, keys: Iterable[str]) -> set[str]:
    """Return those of some keys of which another value makes another run."""
    before = list(looked_at(config))

    def makes_another(other: Config) -> bool:
        try:
            return any(one != two for one, two in zip(before, looked_at(other), strict=False))
        except ConfigError:  # it makes none here
            return False

    return {key for key in keys if any(map(makes_another, others(config, key)))}


def marked(agent: str, where: str) -> typing.Any:
    quick = (agent, where) == ("ppo-gru", "popgym")
    return pytest.param(agent, where, marks=() if quick else pytest.mark.heavy)


@pytest.mark.parametrize(
    ("agent", "where"),
    [marked(agent, "popgym") for agent in AGENTS] + [marked(agent, where) for agent in PRESETS for where in ELSEWHERE],
)
def test_what_is_unread_is_in_no_program(agent, where):
    with registered(ELSEWHERE.get(where)):
        config = changed = configured(agent, where)
        listed = relevance.unread(config)
        assert listed.keys() <= KEYS.keys() and all(why.isprintable() for why in listed.values())
        assert {key for key in listed if key.startswith("hypers.")} == unused(config)
        for key in listed:
            changed = [changed, *others(changed, key)][-1]
        before, after = flatten(config.to_dict()), flatten(changed.to_dict())
        assert {key for key in listed if before[key] == after[key]} <= STUCK
        assert list(looked_at(changed)) == list(looked_at(config))


@pytest.mark.parametrize(
    "agent",
    [pytest.param(agent, marks=pytest.mark.heavy if agent in PRESETS else pytest.mark.slow) for agent in AGENTS],
)
def test_every_other_key_is_in_one(agent):
    config = configured(agent)
    listed = relevance.unread(config)
    left = {key for key in KEYS if key not in listed and not key.startswith("hypers.")}
    left -= {key for key in STUCK if not others(config, key)} | changing(config, left)
    for where, factory in ELSEWHERE.items():
        with registered(factory), contextlib.suppress(ConfigError):  # pictures are no latent
            left -= changing(configured(agent, where), left)
    assert not left
