"""Atari games of JAXtari 0.2 behind gymnax 1.0's interface.

`envs.make("atari/pong")` makes one by its id. Another, such as one with sticky actions:

    from envs.adapters.jaxtari import named
    from envs.registry import register

    register("mine/pong", lambda: named("pong", sticky=0.25))

The package's raw game is used, and none of its wrappers: they begin the next episode inside their `step`, at the cost
of a reset at each, and lose the last picture.

Ref: jaxtari/environment.py, jaxtari/wrappers.py, jaxtari/games/*.py (0.2.0).
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams, EnvState

from envs.adapters.foreign import Foreign, promoting, silenced, strong
from envs.spaces import nearest

with promoting(), silenced():  # Some of its constants are computed when it is imported.
    import jaxtari
    from jaxtari.environment import ObjectObservation
    from jaxtari.modification import apply_native_downscaling
    from jaxtari.wrappers import JaxtariWrapper

# What the numbers of an ACTION_SET stand for.
ACTIONS = (
    *("noop", "fire", "up", "right", "left", "down", "up right", "up left", "down right", "down left"),
    *("up fire", "right fire", "left fire", "down fire"),
    *("up right fire", "up left fire", "down right fire", "down left fire"),
)
FRAMES = 108_000  # of an episode: half an hour at 60 a second
_LIVES = ("lives", "player_lives", "lives_remaining", "remaining_lives")
_LIVES_LOST = "lives_lost"
# Games that read something else than their ACTION_SET.
_OWN_ACTIONS = ("asterix", "basicmath", "upndown", "videochess")


@struct.dataclass
class AtariState(EnvState):
    """One episode in progress.

    Attributes:
      time: steps taken, int32 ().
      inner: the package's own state; what is random in a game comes from a key in it.
      seen: what an observation needs beside it. Pictures: the package's state one frame before; objects: the numbers,
        float32 (n,).
      action: that of the last frame, which a sticky one repeats, int32 ().
      terminated: whether the last step ended the episode for good, bool ().
    """

    time: jax.Array
    inner: Any
    seen: Any
    action: jax.Array
    terminated: jax.Array


class Atari(Foreign):
    """A game of JAXtari.

    One step is `frame_skip` frames with the same action; their rewards are summed. Once the game is over within a step,
    no more frames are played.

    Observation, of pictures: the brighter of the last two frames, each channel of each pixel, uint8 (size, size, 3). A
    frame is drawn in this size from sprites made smaller once, which is much faster than drawing 210 x 160
    pixels and making those smaller. Of objects: the package's own numbers of the last frame, float32 (n,), in its
    order, which `number_names` tells: x and width as a share of the screen's width, y and height of its height, all
    others as they are.
    Action: one of the package's for this game; any other is taken as the nearest one.
    Ends: terminated where the game is over, truncated after `frames`.
    """

    def __init__(
        self,
        env: Any,
        name: str = "",
        *,
        observation: Literal["pictures", "objects"] = "pictures",
        size: int = 64,
        frame_skip: int = 4,
        noops: int = 30,
        sticky: float = 0.0,
        life_loss: bool = False,
        clip_rewards: bool = False,
        frames: int = FRAMES,
    ):
        """Adapt a game of the package.

        Args:
          env: without wrappers, and not drawn before: for pictures it is made to draw them in `size` from now on.
          name: of this one; by default that of the class.
          observation: what is seen.
          size: of a picture's sides.
          frame_skip: frames of one step.
          noops: frames at most, uniformly drawn, for which nothing is done before an episode begins.
          sticky: chance of each frame that the action of the frame before is taken again.
          life_loss: whether an episode ends, terminated, when a life is lost. The next one is a new game.
          clip_rewards: whether a step pays only the sign of its reward; `info["score"]` is then the reward itself.
          frames: of an episode; those before it do not count.

        Raises:
          ValueError: if it is wrapped or was drawn before, a number is out of range, or there are no lives to lose.
        """
        self._name = name or type(env).__name__
        if isinstance(env, JaxtariWrapper):
            raise ValueError(f"{self._name}: {type(env).__name__} is a wrapper: give the game inside")
        if observation not in ("pictures", "objects"):
            raise ValueError(f"{self._name}: observation={observation!r} should be 'pictures' or 'objects'")
        if min(size, frame_skip) < 1 or frames < frame_skip or noops < 0 or not 0 <= sticky <= 1:
            raise ValueError(
                f"{self._name}: size={size}, frame_skip={frame_skip}, noops={noops}, sticky={sticky}, frames={frames}: "
                "sizes and skips should be 1 or more, no-ops 0 or more, sticky from 0 to 1, frames at least those of "
                "one step"
            )
        self.env, self.pictures, self.frame_skip = env, observation == "pictures", frame_skip
        self.sticky, self.life_loss, self.clip_rewards = float(sticky), life_loss, clip_rewards
        self._limit = -(-frames // frame_skip)
        with promoting(), silenced():
            self._screen = tuple(int(side) for side in env.image_space().shape[:2])
            actions = env.ACTION_SET if hasattr(env, "ACTION_SET") else range(env.action_space().n)
            self._set = tuple(np.asarray(actions).tolist())
            self.noops = noops if 0 in self._set else 0  # In one game something is always done.
            self._example = jax.eval_shape(env.reset, jax.random.key_data(jax.random.key(0)))
            if self.pictures:
                apply_native_downscaling(env, (size, size), False)
        self._counter = self._lives_counter() if life_loss else ""
        self._shape = (size, size, 3) if self.pictures else (len(self.number_names),)
        drawn = jax.eval_shape(self._drawn, self._example[1]) if self.pictures else None
        if drawn is not None and drawn.shape != self._shape:
            raise ValueError(
                f"{self._name}: it draws {drawn.shape}, not {self._shape}: give a game that was not drawn before, as "
                "the program that draws it is kept"
            )

    @property
    def action_names(self) -> tuple[str, ...]:
        """What the joystick does."""
        return tuple(ACTIONS[action] for action in self._set)

    @property
    def number_names(self) -> tuple[str, ...]:
        """The numbers of the package's observation, in its order; of several objects all x, then all y and so on."""
        names = []
        for path, leaf in jax.tree_util.tree_leaves_with_path(self._example[0]):
            name = jax.tree_util.keystr(path).lstrip(".")
            names += [f"{name}{list(place)}" if place else name for place in np.ndindex(leaf.shape)]
        return tuple(names)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """A picture, or numbers without bounds."""
        if self.pictures:
            return spaces.Box(0, 255, self._shape, jnp.uint8)
        return spaces.Box(-jnp.inf, jnp.inf, self._shape, jnp.float32)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, AtariState]:
        """Begin an episode, after some frames in which nothing is done; where these end the game, it is begun anew."""
        key_game, key_wait = jax.random.split(key)
        with promoting():
            obs, inner = self.env.reset(jax.random.key_data(key_game))  # The games keep keys as plain numbers.
            first = jax.tree.map(strong, inner), self._numbers(obs)
        noop = jnp.full((), self._set.index(0) if self.noops else 0, jnp.int32)

        def wait(_, now):
            inner, numbers, _, over = self._frame(now[0], noop)
            return _where(over, first, (inner, numbers))

        now = first
        if self.noops:
            count = jax.random.randint(key_wait, (), 0, self.noops + 1)
            now = jax.lax.fori_loop(jnp.zeros((), count.dtype), count, wait, first)
        inner, numbers = now
        seen = inner if self.pictures else numbers
        state = AtariState(jnp.zeros((), jnp.int32), inner, seen, noop, jnp.zeros((), bool))
        return self._drawn(inner) if self.pictures else numbers, state

    def step_env(
        self, key: jax.Array, state: AtariState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, AtariState, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step."""
        action = nearest(action, self.num_actions)

        def frame(carry, key):
            inner, seen, last, total, over = carry
            taken = action
            if self.sticky:
                taken = jnp.where(jax.random.uniform(key) < jnp.float32(self.sticky), last, action)
            after, numbers, reward, ended = self._frame(inner, taken)
            if self.life_loss:
                ended |= self._lives(after) < self._lives(inner)
            new = after, inner if self.pictures else numbers, taken, total + reward
            return (*_where(over, (inner, seen, last, total), new), over | ended), None

        carry = state.inner, state.seen, state.action, jnp.zeros((), jnp.float32), jnp.zeros((), bool)
        keys = jax.random.split(key, self.frame_skip) if self.sticky else None
        (inner, seen, last, total, over), _ = jax.lax.scan(frame, carry, keys, length=self.frame_skip)
        state = AtariState(state.time + 1, inner, seen, last, over)
        reward, info = (jnp.sign(total), {"score": total}) if self.clip_rewards else (total, {})
        return self.observe(None, state, None, params), state, reward, over, info

    def observe(
        self, key: jax.Array | None, state: AtariState, action: jax.Array | None, params: EnvParams
    ) -> jax.Array:
        """Return the observation of a state, as `reset_env` and `step_env` do."""
        if not self.pictures:
            return state.seen
        both = jax.tree.map(lambda *frames: jnp.stack(frames), state.seen, state.inner)
        return jnp.max(jax.vmap(self._drawn)(both), 0)  # One program draws both, which halves what is compiled.

    def _frame(self, inner: Any, action: jax.Array) -> tuple[Any, Any, jax.Array, jax.Array]:
        """Play one frame.

        Returns:
          (the package's state, its numbers or None, reward float32 (), whether the game is over bool ()).
        """
        with promoting():
            obs, after, reward, done, _ = self.env.step(inner, action)
            after = jax.tree.map(strong, after, inner)
            numbers = self._numbers(obs)
            reward, done = jnp.asarray(reward), jnp.asarray(done)
            if jnp.issubdtype(reward.dtype, jnp.unsignedinteger):  # A difference of scores: below 0 it is a huge one.
                reward = reward.astype(jnp.int32)
        return after, numbers, reward.astype(jnp.float32), done.astype(bool)

    def _drawn(self, inner: Any) -> jax.Array:
        """Return the package's picture of a frame, uint8 (height, width, 3)."""
        with promoting():
            return self.env.render(inner).astype(jnp.uint8)  # It is of wider integers where there are many colours.

    def _numbers(self, obs: Any) -> Any:
        """Return the package's observation as float32 (n,); None where pictures are seen."""
        if self.pictures:
            return None
        height, width = self._screen
        share = {"x": width, "width": width, "y": height, "height": height}
        found = []
        for node in jax.tree.leaves(obs, is_leaf=lambda node: isinstance(node, ObjectObservation)):
            for path, leaf in jax.tree_util.tree_leaves_with_path(node):
                field = path[0].name if isinstance(node, ObjectObservation) else ""
                found.append(jnp.ravel(jnp.asarray(leaf)).astype(jnp.float32) / share.get(field, 1))
        return jnp.concatenate(found)

    def _lives_counter(self) -> str:
        """Return the field of the package's state that says how many lives are left, or lost."""
        for name in (*_LIVES, _LIVES_LOST):
            if getattr(getattr(self._example[1], name, None), "shape", None) == ():
                return name
        raise ValueError(f"{self._name}: life_loss=True: its state has no number of lives to lose")

    def _lives(self, inner: Any) -> jax.Array:
        """Return how many lives are left, or minus how many are lost, int32 ()."""
        number = getattr(inner, self._counter).astype(jnp.int32)
        return -number if self._counter == _LIVES_LOST else number


def _where(condition: jax.Array, yes: Any, no: Any) -> Any:
    """Return one of two trees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


@contextlib.contextmanager
def _no_offers() -> Iterator[None]:
    """Keep the package from asking, at the terminal, whether to download newer sprites when a game is made."""
    name = "JAXTARI_SKIP_SPRITE_UPDATE"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def named(
    name: str, observation: Literal["pictures", "objects"] = "pictures", *, full_actions: bool = False, **options: Any
) -> Atari:
    """Return a game by the package's name.

    Args:
      name: of the game.
      observation: what is seen.
      full_actions: whether all 18 actions are there, not only those that do something.
      options: of `Atari`.

    Raises:
      FileNotFoundError: if the package's sprites are not installed.
      ModuleNotFoundError: if the game needs another package.
      ValueError: if it has actions of its own that are not the joystick's 18, or an option is wrong.
    """
    try:
        with promoting(), silenced(), _no_offers():
            env = jaxtari.make(name)
    except RuntimeError as error:
        if "SPRITES NOT INSTALLED" in str(error):
            raise FileNotFoundError("sprites are not installed") from error
        raise
    except ImportError as error:  # The package hides which one was not found.
        raise (error.__cause__ if isinstance(error.__cause__, ModuleNotFoundError) else error) from None
    if full_actions and name in _OWN_ACTIONS:
        raise ValueError(f"{name}: full_actions=True: it takes its own actions only")
    if full_actions and hasattr(env, "ACTION_SET"):
        env.ACTION_SET = jnp.arange(len(ACTIONS), dtype=jnp.int32)  # As the package's AtariWrapper does.
    return Atari(env, name + ("_objects" if observation == "objects" else ""), observation=observation, **options)
