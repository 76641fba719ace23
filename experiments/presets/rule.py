"""The configuration of an environment that no suite knows: by rule from its spaces, its episode's length and the size.

It begins with what was measured on the suites: POPGym's settings for vectors, Memory Maze's where there are images.
What those have for one game alone is left out. docs/own.md says what the rule reached on games not used to make it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from gymnax.environments import spaces

from envs.episodes import longest_episode
from envs.observation import Continuous, Image, observation_leaves
from experiments.presets import images, vectors
from r2i_jit.config import Config

SUITE_STEPS = {"tiny": 200_000, "small": 2_000_000, "paper": 10_000_000}
# Steps of a training sequence at most. A whole episode, where it is not longer: then nothing is asked for that was not
# shown. Of longer ones an update sees a part, and memory is trained over that.
_LONGEST = {"tiny": 256, "small": 1024, "paper": 1024}
_LONGEST_OF_IMAGES = {"tiny": 64, "small": 256, "paper": 1024}

# Where there are numbers and no images. A velocity hardly changes and a clock says little: by its squared error neither
# is worth encoding, and below the free nats the prior is not trained, so that what is imagined is nothing that happens
# (docs/decisions/033).
_NUMBERS = ("model.number_loss=unexplained", "hypers.free_nats=0")
_TINY_NUMBERS = ("hypers.critic_lr=1e-3",)
_LATENTS_OF_A_NUMBER = 4  # of eight classes each: of one alone it cannot be told to more than an eighth


# When an episode ends is seldom certain to the step. If imagination ended only where that is likelier than not, what
# may end at any of the next steps would never end, and the critic would value falling as much as standing
# (docs/decisions/034).
_ENDS = ("behavior.continue_mode=mean",)


def configuration(env: str, environment: Any, params: Any, size: str, longest: int | None = None) -> Config:
    """Return the configuration of `environment` under the id `env` at a size.

    Args:
      env: an id.
      environment: what it stands for.
      params: its parameters.
      size: "tiny", "small" or "paper".
      longest: steps of a training sequence at most, where all suites' are not right.

    Raises:
      ValueError: if its observation space is not supported.
    """
    leaves = observation_leaves(environment, params)
    pictures = any(isinstance(leaf.parts[0], Image) for leaf in leaves)
    steps = longest_episode(environment, params)
    longest = longest or (_LONGEST_OF_IMAGES if pictures else _LONGEST)[size]
    length = longest if steps is None else min(steps + 1, longest)
    config = (_of_images if pictures else _of_vectors)(env, environment, params, size, length)
    if size == "paper":
        return config
    config = config.override(_ENDS)
    hypers = config.hypers.replace(discount=_discount(steps))
    actions = environment.action_space(params)
    if isinstance(actions, spaces.Box) and jnp.issubdtype(
        actions.dtype, jnp.floating
    ):  # its entropy is of another size, and falls with every number of the action
        hypers = hypers.replace(entropy_scale=min(hypers.entropy_scale, 3e-3))
    return dataclasses.replace(config, hypers=hypers)


def by_rule(size: str) -> Callable[[str, Any], Config]:
    """Return the rule at a size, as a suite's `PRESETS` have it: a function of an id and its environment."""

    def configured(env: str, environment: Any) -> Config:
        return configuration(env, environment, environment.default_params, size)

    return configured


def _discount(steps: int | None) -> float:
    """Return the discount whose horizon is the episode's length, between 20 and the paper's 333 steps."""
    return 1.0 - 1.0 / min(333, max(20, steps or 333))


def _of_vectors(env: str, environment: Any, params: Any, size: str, length: int) -> Config:
    if size == "paper":
        return vectors.paper(env)
    leaves = observation_leaves(environment, params)
    numbers = any(isinstance(part, Continuous) for leaf in leaves for part in leaf.parts)
    if size == "small":
        return vectors.small(env, length).override(_NUMBERS if numbers else ())
    config = vectors.tiny(env, length, vectors.latents(environment, params, of_a_number=_LATENTS_OF_A_NUMBER))
    config = dataclasses.replace(config, behavior=dataclasses.replace(config.behavior, horizon=12))
    return config.override((*_NUMBERS, *_TINY_NUMBERS) if numbers else ())


def _of_images(env: str, environment: Any, params: Any, size: str, length: int) -> Config:
    """Images as in the maze; what random play shows first is as much as two batches, not the maze's long strolls."""
    config = images.BY_SIZE[size](env)
    if size == "paper":
        return config
    replay = config.replay
    tokens = {"tiny": 256, "small": 8192}[size]
    batch = max(1, tokens // length)
    ratio = vectors.train_ratio(replay.train_ratio, batch * length, config.loop.num_envs)
    replay = dataclasses.replace(
        replay,
        sequence_length=length,
        batch_size=batch,
        train_ratio=ratio,
        prefill=max(2 * batch * length, 2 * length * config.loop.num_envs),
        prefill_repeat=0.0,
    )
    hypers = config.hypers.replace(reward_scale=1.0)
    model = dataclasses.replace(config.model, decoded_steps=min(config.model.decoded_steps, length // 4))
    loop = dataclasses.replace(config.loop, evaluation_greedy=True)
    return dataclasses.replace(config, model=model, replay=replay, hypers=hypers, loop=loop)
