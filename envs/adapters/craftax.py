"""Environments of Craftax 1.6 behind gymnax 1.0's interface.

`envs.make("craftax/Classic-Symbolic")` makes one by its id. One with parameters of your own:

    from craftax.craftax_env import make_craftax_env_from_name
    from envs.adapters.craftax import Craftax
    from envs.registry import register

    env = make_craftax_env_from_name("Craftax-Classic-Symbolic-v1", auto_reset=False)
    register("mine/Night", lambda: Craftax(env, env.default_params.replace(day_length=100)))

Ref: craftax/{craftax_classic,craftax}/envs/*.py, renderer.py and game_logic.py (1.6.1).
"""

import dataclasses
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from gymnax.environments.environment import EnvParams

from envs.adapters.foreign import Foreign, promoting, silenced, strong
from envs.observation import Binary, Categorical, Continuous, Image, Part
from envs.spaces import nearest

with promoting(), silenced():
    from craftax.craftax_env import make_craftax_env_from_name

_ENDLESS = np.iinfo(np.int32).max
_HERE = " <>^v"  # the player, by its direction
# By name of a block; what has no letter here is shown as its first one.
_BLOCKS = {
    "INVALID": " ",
    "OUT_OF_BOUNDS": " ",
    "DARKNESS": " ",
    "GRASS": ".",
    "WATER": "~",
    "STONE": "#",
    "TREE": "T",
    "PATH": "_",
    "CRAFTING_TABLE": "t",
    "SAND": ":",
    "LAVA": "!",
    "PLANT": "p",
    "RIPE_PLANT": "P",
    "WALL": "%",
    "WALL_MOSS": "%",
    "SAPPHIRE": "b",
    "CHEST": "$",
    "FOUNTAIN": "o",
    "FIRE_GRASS": ",",
    "ICE_GRASS": ",",
    "GRAVEL": ":",
    "FIRE_TREE": "T",
    "ICE_SHRUB": "T",
    "ENCHANTMENT_TABLE_FIRE": "e",
    "ENCHANTMENT_TABLE_ICE": "e",
    "GRAVE": "+",
    "GRAVE2": "+",
    "GRAVE3": "+",
    "NECROMANCER": "N",
    "NECROMANCER_VULNERABLE": "N",
}
_ITEMS = " '><x"  # by item: none, a torch, a ladder down, up, and one that is blocked
# What moves, by the name of its field in the state: those of Classic, then those of the full game.
_MOVING = {
    "zombies": "Z",
    "cows": "C",
    "skeletons": "S",
    "arrows": "*",
    "passive_mobs": "C",
    "melee_mobs": "Z",
    "ranged_mobs": "S",
    "mob_projectiles": "*",
    "player_projectiles": "*",
}
_INTRINSICS = ("health", "food", "drink", "energy", "mana", "xp", "dexterity", "strength", "intelligence")


class Craftax(Foreign):
    """A world of blocks to gather from, to build with and to survive in; the player sees what is near.

    A step pays 1 for each of 22 achievements made for the first time in an episode, and 0.1 for each point of health
    that is gained (-0.1 where one is lost). The full game has 67, which pay 1, 3, 5 or 8.

    Observation: as numbers (Symbolic), the blocks and creatures around the player, what it carries and how it feels;
    as a picture of the same (Pixels), uint8 (height, width, 3).
    Action: see `action_names`; any other is taken as the nearest one.
    Ends: terminated by death (and, in the full game, by victory), truncated after `max_steps_in_episode`. A death with
    the last step is terminated only.

    `info` has, at an episode's end and 0 before, 100 for each achievement that was made, by its name.

    As text, a place is the letter of its block, then that of who stands there: ^ > v or < the player, Z zombie, C cow,
    S skeleton, * arrow. Blocks: . grass, ~ water, # stone, T tree, _ path, : sand, ! lava, c coal, i iron, d diamond,
    t table, f furnace, p plant, P ripe plant. In the full game Z and S are all that fight by hand and from afar, C what
    is eaten, * what flies; beside creatures there are ' torch, > and < ladders, x a ladder that is blocked; more blocks
    are % wall, , grass of fire and ice, s stalagmite, r ruby, b sapphire, $ chest, o fountain, e enchantment table,
    + grave, N necromancer.
    """

    # World generation costs as much as thirty steps: 64 worlds for one death would cost six times the game itself.
    reset_block = 4

    def __init__(self, env: Any, params: Any = None, name: str = ""):
        """Adapt an environment of the package.

        Args:
          env: one of its environments; its own `step`, which may begin the next episode, is not used.
          params: its parameters, which are constants of this one; by default its own.
          name: of this one; by default that of the class.
        """
        self.env, self.inner_params = env, env.default_params if params is None else params
        self._name, self._limit = name or type(env).__name__, int(self.inner_params.max_timesteps)
        self._classic = any(".craftax_classic." in kind.__module__ for kind in type(env).__mro__)
        with promoting(), silenced():
            self._words = importlib.import_module(f"craftax.craftax{'_classic' * self._classic}.constants")
            self._shape = tuple(env.observation_space(self.inner_params).shape)
        self.action_names = tuple(action.name.lower().replace("_", " ") for action in self._words.Action)

    @property
    def _draws(self) -> bool:
        return len(self._shape) == 3

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Pixels from 0 to 255, or numbers: up to 1 in Classic, without an upper bound in the full game."""
        if self._draws:
            return spaces.Box(0, 255, self._shape, jnp.uint8)
        return spaces.Box(0.0, 1.0 if self._classic else jnp.inf, self._shape, jnp.float32)

    def observation_parts(self, params: EnvParams) -> tuple[Part, ...]:
        """What the package's `render_craftax_symbolic` says, in its order; or one image.

        The full game shows nothing of a place in the dark: what would be one-hot groups may be all zeros there.
        """
        if self._draws:
            return (Image(self._shape),)
        height, width = self._words.OBS_DIM
        blocks, direction = len(self._words.BlockType), Categorical(4)
        if self._classic:
            # Of a place its block and four kinds of creatures. Things and tools carried, health, food, drink and
            # energy; daylight; whether it sleeps.
            place = Categorical(blocks), Binary(4)
            return (*place * (height * width), Continuous(12 + 4), direction, Continuous(1), Binary(1))
        # Of a place its block, its item, five classes of eight creatures each, and whether there is light.
        places = height * width * (blocks + len(self._words.ItemType) + 5 * 8 + 1)
        return (
            Binary(places),
            Continuous(13 + 2),  # things carried; by what sword and bow are enchanted
            Binary(1),  # whether there is a bow
            Continuous(6 + 9),  # potions; health, food, drink, energy, mana, experience and three attributes
            direction,
            Continuous(4 + 4 + 1),  # armour, by what it is enchanted, daylight
            Binary(2 + 2),  # whether it sleeps, rests, and has learned either spell
            Continuous(1),  # the floor
            Binary(2),  # whether it is cleared, and whether the necromancer can be hurt
        )

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, Any]:
        """Begin an episode in a new world; the state is the package's own, with its key as plain numbers."""
        with promoting():
            obs, state = self.env.reset_env(key, self._inner(params))
            state = jax.tree.map(strong, _keyless(state))
        return self._seen(obs), state

    def step_env(
        self, key: jax.Array, state: Any, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, Any, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step."""
        action = nearest(action, self.num_actions).astype(int)  # As wide as the package's own numbers are.
        with promoting():
            obs, after, reward, _, info = self.env.step_env(key, state, action, self._inner(params))
            after = jax.tree.map(strong, _keyless(after), state)
            info = {name: strong(value, jnp.float32) for name, value in info.items() if name != "discount"}
        terminated = self.is_terminated(after, params)
        return self._seen(obs), after, jnp.asarray(reward, jnp.float32), terminated, info

    def is_terminated(self, state: Any, params: EnvParams) -> jax.Array:
        """Return whether the player is dead or has won, bool ()."""
        with promoting():
            return jnp.asarray(self.env.is_terminal(state, self.inner_params.replace(max_timesteps=_ENDLESS)), bool)

    def is_truncated(self, state: Any, params: EnvParams) -> jax.Array:
        """Return whether time is up and the game is not over, bool ()."""
        return (state.timestep >= params.max_steps_in_episode) & ~self.is_terminated(state, params)

    def observe(self, key: jax.Array | None, state: Any, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Return the observation of a state, as `reset_env` and `step_env` do."""
        with promoting():
            return self._seen(self.env.get_obs(jax.tree.map(jnp.asarray, state)))

    def render(self, state: Any, params: EnvParams, hidden: bool = False) -> str:
        """Return the map around the player, what it carries and, on request, the rest of the map, as text. Host only.

        What has been achieved is in no observation, and comes on request, too.
        """
        level = f", floor {int(state.player_level)}" if hasattr(state, "player_level") else ""
        asleep = ", asleep" if bool(state.is_sleeping) else ""
        lines = [f"step {int(state.timestep)}{level}, daylight {float(state.light_level):.1f}{asleep}"]
        blocks, standing, lit = self._places(state)
        if not self._draws:
            lines += self._view(blocks, standing, lit, np.asarray(state.player_position))
        feels = ((name, getattr(state, f"player_{name}", None)) for name in _INTRINSICS)
        lines.append(", ".join(f"{name} {float(value):g}" for name, value in feels if value is not None))
        lines.append("carries " + (", ".join(_carried(state.inventory)) or "nothing"))
        if hidden:
            made = [kind.name.lower().replace("_", " ") for kind in self._words.Achievement if self._has(state, kind)]
            lines.append("achieved " + (", ".join(made) or "nothing"))
            shown = np.where(standing == " ", blocks, standing)
            lines += ["".join(row).rstrip() for row in shown]
        return "\n".join(lines)

    def _inner(self, params: EnvParams) -> Any:
        return self.inner_params.replace(max_timesteps=params.max_steps_in_episode)

    def _seen(self, obs: jax.Array) -> jax.Array:
        """Return an observation as its space says; the package divides pixels by 255."""
        if not self._draws:
            return obs.astype(jnp.float32)
        return jnp.clip(jnp.round(obs.astype(jnp.float32) * 255.0), 0.0, 255.0).astype(jnp.uint8)

    @staticmethod
    def _has(state: Any, kind: Any) -> bool:
        return bool(state.achievements[kind.value])

    def _places(self, state: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the letters of a floor's blocks, those of what stands on them, and where there is light."""
        letters = np.array([_BLOCKS.get(kind.name, kind.name[0].lower()) for kind in self._words.BlockType])
        floor = (lambda leaf: leaf) if self._classic else (lambda leaf: np.asarray(leaf)[int(state.player_level)])
        blocks = letters[floor(np.asarray(state.map))]
        standing = np.full(blocks.shape, " ") if self._classic else np.array(list(_ITEMS))[floor(state.item_map)]
        lit = np.ones(blocks.shape, bool) if self._classic else floor(state.light_map) > 0.05
        for field, letter in _MOVING.items():
            if hasattr(state, field):
                mobs = jax.tree.map(floor, getattr(state, field))
                for place, alive in zip(np.asarray(mobs.position), np.asarray(mobs.mask), strict=True):
                    if alive:
                        standing[tuple(place)] = letter
        standing[tuple(np.asarray(state.player_position))] = _HERE[int(state.player_direction)]
        return blocks, standing, lit

    def _view(self, blocks: np.ndarray, standing: np.ndarray, lit: np.ndarray, here: np.ndarray) -> list[str]:
        """Return the places that the player sees as lines of two characters a place."""
        height, width = self._words.OBS_DIM
        lines = []
        for y in range(here[0] - height // 2, here[0] + height // 2 + 1):
            row = ""
            for x in range(here[1] - width // 2, here[1] + width // 2 + 1):
                inside = 0 <= y < blocks.shape[0] and 0 <= x < blocks.shape[1]
                row += blocks[y, x] + standing[y, x] if inside and lit[y, x] else "  "
            lines.append(row.rstrip())
        return lines


def _carried(inventory: Any) -> list[str]:
    """Return what there is of an inventory; potions and armour have several kinds."""
    found = []
    for field in dataclasses.fields(inventory):
        value = np.asarray(getattr(inventory, field.name))
        if value.any():
            count = " ".join(str(number) for number in value.ravel())
            found.append(f"{field.name.replace('_', ' ')} {count}")
    return found


def _keyless(state: Any) -> Any:
    """Return a state of the package with its key as the numbers that it is made of: what draws takes these, too."""
    return state.replace(state_rng=jax.random.key_data(state.state_rng))


def named(name: str) -> Craftax:
    """Return an environment by its name here: `Classic-Symbolic`."""
    with promoting(), silenced():
        env = make_craftax_env_from_name(f"Craftax-{name}-v1", auto_reset=False)
    return Craftax(env, name=name)
