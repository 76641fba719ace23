"""The training loop as one compiled program per chunk.

`Trainer._train_chunk` reads as the algorithm, of one seed. Seeds are an axis: everything in `TrainState.seeds` has it
in front, and all work is a `vmap` over it, or on a processor a loop (`spreading.each`). What all seeds share (the step
counter, which places the replay's write position) is a scalar outside of it, so that no write becomes a scatter and no
schedule a select.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import envs.settings
from envs.observation import Leaf, observation_leaves
from envs.settings import Settings
from envs.tally import Tally
from envs.wrappers import arranged
from r2i_jit import compiling, replay, rollout, shares, spreading
from r2i_jit.actions import ActionSpec, action_spec
from r2i_jit.agent import AgentState
from r2i_jit.algorithms import make_agent
from r2i_jit.config import Config, ConfigError, Hypers
from r2i_jit.model_loss import Batch
from r2i_jit.observations import blamed, check_environment, images, latent_groups
from r2i_jit.programs import Program, Programs
from r2i_jit.replay import Transitions
from r2i_jit.rollout import Ended, EpisodeStats, Player
from r2i_jit.schedule import schedule


class SeedState(struct.PyTreeNode):
    """One seed's part of the training state."""

    agent: AgentState
    player: Player
    replay: Any  # Transitions, and () where what is played is learned from at once
    hypers: Hypers
    key: jax.Array
    diverged: jax.Array  # bool: what it learned was not finite, and it stays as it was before that
    setting: Any = ()  # parameters of its environment, where the seeds play several settings of one


class TrainState(struct.PyTreeNode):
    """The whole training state: restoring it resumes the run bit for bit."""

    seeds: SeedState  # leading axis: seed
    written: jax.Array  # int32, steps per environment collected so far; shared by all seeds
    env_steps: jax.Array  # int32, environment steps per seed


_SHORT_PREFILL = 10_000  # steps that play faster than the compiler optimises
# How the state is spread over devices: an agent is on all of its own, with a share of its environments on each.
_SEED, _ENVS, _TIME_ENVS = P("seed"), P("seed", shares.AXIS), P("seed", None, shares.AXIS)
_PLACES = TrainState(
    seeds=SeedState(
        agent=_SEED, player=_ENVS, replay=_TIME_ENVS, hypers=_SEED, key=_SEED, diverged=_SEED, setting=_SEED
    ),
    written=P(),
    env_steps=P(),
)


class Trainer:
    """Compiles and runs the loop for one configuration and any number of seeds."""

    def __init__(
        self,
        config: Config,
        *,
        devices: Sequence[jax.Device] | None = None,
        devices_per_seed: int = 1,
        quick_compile: bool = False,
        tallied: bool = False,
    ):
        """Build the environment and the agent.

        Args:
          config: the run's configuration. Its `env` may stand for several settings of one environment
            (`envs.registry.settings`): the seeds are then shared out to them in order, an equal number to each.
          devices: where the seeds are trained, an equal share on each: on as many of the devices as divide the number
            of seeds. By default all on the first device. See docs/decisions/012-seeds-over-devices.md.
          devices_per_seed: over how many of the devices each agent is spread, with its environments, its replay and its
            batches: it learns what it does on one. See docs/decisions/037-one-agent-over-several-devices.md.
          quick_compile: compile everything without optimising the generated code (CPU): for tests, whose programs run
            for milliseconds. The programs of `init` are compiled so in any case, as they run once, unless the prefill
            is long.
          tallied: tell of every episode that ends while it plays (`begin` and `train_chunk`).

        Raises:
          ConfigError: when the configuration cannot work; the message names the key and what would be right.
        """
        self.settings, self.env, self.leaves, obs, spec = _environment(config)
        self.env_params = self.settings.env_params
        self._tallied = tallied
        self._played = Tally(self.env) if tallied else self.env  # while it learns
        parts = tuple(leaf.arranged_parts for leaf in self.leaves)
        self.parts: Any = parts if len(parts) > 1 else parts[0]
        self.config = config
        plan = schedule(config)
        self.turn_steps, self.turn_updates, self.turns, self.prefill_turns, self.capacity = plan
        self.agent = make_agent(config, self.parts, spec, obs)
        if spec.discrete and not self.agent.on_policy and config.behavior.actor_gradient == "backprop":
            raise ConfigError("behavior.actor_gradient='backprop' needs continuous actions; give auto or reinforce")
        self.trace_counts = {"init": 0, "prefill": 0, "train_chunk": 0, "evaluate": 0}
        devices = devices or jax.devices()[:1]
        if not 1 <= devices_per_seed <= len(devices):
            raise ConfigError(f"devices_per_seed={devices_per_seed}: expected from 1 to {len(devices)} devices")
        shares.check(config, devices_per_seed)
        self.devices_per_seed = devices_per_seed
        self._programs = Programs(devices, "seed", devices_per_seed)
        # On a processor one seed fills a core; together they take longer, and their bits hang on how many there are.
        self._one_by_one = devices[0].platform == "cpu"
        self._quick = compiling.quick()
        latent = 0 if self.agent.on_policy else math.prod(latent_groups(config.model, self.parts))
        self._options = self._quick if quick_compile else compiling.loop(config, bool(images(self.parts)), latent)
        self._shapes: dict[int, TrainState] = {}

    # Public names ---------------------------------------------------------------------------------------------------

    @property
    def steps_per_chunk(self) -> int:
        """Environment steps per seed in a chunk."""
        return self.turns * self.turn_steps * self.config.loop.num_envs

    @property
    def updates_per_chunk(self) -> int:
        """Training updates per seed in a chunk."""
        return self.turns * self.turn_updates

    @property
    def prefill_steps(self) -> int:
        """Environment steps per seed played at random before the first update."""
        return self.prefill_turns * self.turn_steps * self.config.loop.num_envs

    @property
    def replay_bytes_per_step(self) -> int:
        """What one stored environment step takes."""
        if self.agent.on_policy:
            return 0
        return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(self._example()))

    def devices_for(self, num_seeds: int) -> int:
        """Return on how many devices this many seeds are trained."""
        return self._programs.devices_for(num_seeds)

    def compile(self, num_seeds: int, *, init: bool = False, evaluation: bool = False) -> float:
        """Compile the chunk for `num_seeds` seeds ahead of time.

        Args:
          num_seeds: how many.
          init: compile the programs of `init` as well, at the same time.
          evaluation: compile that of `evaluate` without further arguments, too.

        Returns:
          The seconds it took, 0 when done before.
        """
        state = self.state_shapes(num_seeds)
        wanted: dict[Any, tuple[Program, tuple]] = {"train_chunk": (self._chunk_program(), (state,))}
        if init:
            wanted["init"] = self._init_program(), (state.seeds.key, state.seeds.hypers, state.seeds.setting)
            wanted["prefill"] = self._prefill_program(), (state,)
        if evaluation:
            name, program = self._evaluation(None, None)
            manner = (jax.ShapeDtypeStruct((), dtype) for dtype in (jnp.bool_, jnp.int32))
            wanted[name] = program, (state.seeds.agent, state.seeds.setting, state.seeds.key, *manner)
        return self._programs.compile(wanted, num_seeds)

    def state_shapes(self, num_seeds: int) -> TrainState:
        """Return the shapes and dtypes of `init`'s result, and with several devices its shardings; computes nothing."""
        if num_seeds not in self._shapes:
            keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_seeds))
            hypers = jax.tree.map(lambda _: jax.ShapeDtypeStruct((num_seeds,), jnp.float32), self.config.hypers)
            count = self.trace_counts["init"]
            shapes = jax.eval_shape(self._init, keys, hypers, self._settings_of(num_seeds))
            self.trace_counts["init"] = count
            self._shapes[num_seeds] = spreading.place(shapes, self._programs.mesh(num_seeds), _PLACES)
        return self._shapes[num_seeds]

    def init(self, keys: jax.Array, hypers: Hypers | None = None) -> TrainState:
        """Initialise one agent per key and fill replay with random play; arguments and errors as of `begin`."""
        return self.begin(keys, hypers)[0]

    def begin(self, keys: jax.Array, hypers: Hypers | None = None) -> tuple[TrainState, Ended | tuple[()]]:
        """Initialise one agent per key and fill replay with random play.

        Args:
          keys: (seeds,) typed PRNG keys.
          hypers: values per seed, leaves (seeds,); by default the configuration's for every seed. Where there are
            several settings, `reward_scale` is that of the one with the longest episodes, and the others have theirs.

        Returns:
          (state, the episodes of the random play, leaves (seeds, steps, envs); () if not `tallied`).

        Raises:
          ConfigError: if the settings do not divide the seeds.
        """
        if hypers is None:
            hypers = self.config.hypers
        hypers = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x, jnp.float32), keys.shape), hypers)
        seeds = keys.shape[0]
        setting = self._settings_of(seeds)
        if self.settings.several:
            hypers = hypers.replace(reward_scale=hypers.reward_scale * self.settings.reward_factors(seeds))
        if (mesh := self._programs.mesh(seeds)) is not None:
            keys, hypers, setting = spreading.put((keys, hypers, setting), NamedSharding(mesh, _SEED))
        programs = self._programs
        init = programs.get("init", seeds) or programs.jitted("init", seeds, self._init_program())
        prefill = programs.get("prefill", seeds) or programs.jitted("prefill", seeds, self._prefill_program())
        return prefill(init(keys, hypers, setting))

    def train_chunk(self, state: TrainState) -> tuple[TrainState, dict[str, jax.Array]]:
        """Collect and learn for `updates_per_chunk` updates; `state` is donated.

        Returns:
          (state, metrics): each metric (seeds,), averaged over the chunk. `episode_return` and `episode_length` are
          means over the `episodes` that ended, 0 where none did. A seed whose learning is not finite is `diverged` from
          then on: its agent stays as it was before this chunk, its metrics mean nothing, and the other seeds go on.
          If `tallied`, there is `ended` beside them: `rollout.Ended` with leaves (seeds, steps, envs).
        """
        seeds = state.seeds.key.shape[0]
        if self._programs.get("train_chunk", seeds) is None:
            self.compile(seeds)
        state, metrics, ended = self._programs.get("train_chunk", seeds)(state)
        return state, {**metrics, "ended": ended} if self._tallied else metrics

    def evaluate(
        self,
        state: TrainState,
        key: jax.Array,
        episodes: int | None = None,
        greedy: bool | None = None,
        forget: int | None = None,
        max_steps: int | None = None,
        rows: Sequence[int] | None = None,
    ) -> dict[str, jax.Array]:
        """Play fresh episodes without learning.

        Args:
          state: parameters are read from it; it is not changed.
          key: typed PRNG key; seed i plays with fold_in(key, rows[i]).
          episodes: per seed; by default config.loop.evaluation_episodes.
          greedy: most likely actions instead of samples; by default config.loop.evaluation_greedy.
          forget: if given, the agent's memory is emptied every so many steps: how much of the return hangs on it?
          max_steps: an episode that has not ended after so many steps is cut there; by default
            config.loop.evaluation_steps, or more where the environment says that its episodes are longer.
          rows: one number for each seed, equal ones for equal keys; by default 0, 1, ...

        Returns:
          {"episode_return": (seeds, episodes), "episode_length": (seeds, episodes), "episode_cut": (seeds, episodes)},
          the last bool: whether the episode was cut.
        """
        seeds = state.seeds.key.shape[0]
        places = jnp.arange(seeds, dtype=jnp.int32) if rows is None else jnp.asarray(rows, jnp.int32)
        keys = jax.vmap(partial(jax.random.fold_in, key))(places)
        if (mesh := self._programs.mesh(seeds)) is not None:
            keys = spreading.put(keys, NamedSharding(mesh, _SEED))
        name, program = self._evaluation(episodes, max_steps)
        play = self._programs.get(name, seeds) or self._programs.jitted(name, seeds, program)
        greedily = jnp.bool_(self.config.loop.evaluation_greedy if greedy is None else greedy)
        every = jnp.int32(rollout.NEVER if forget is None else min(forget, rollout.NEVER))
        played = play(state.seeds.agent, state.seeds.setting, keys, greedily, every)
        if (wanted := name[1]) % self.devices_per_seed:  # each device has played as many
            played = tuple(leaf[:, :wanted] for leaf in played)
        return dict(zip(("episode_return", "episode_length", "episode_cut"), played, strict=True))

    def _evaluation(self, episodes: int | None, max_steps: int | None) -> tuple[Any, Program]:
        """Return name and program of an evaluation, greedy or not, forgetful or not; arguments as of `evaluate`."""
        loop = self.config.loop
        settings: dict[str, Any] = {
            "episodes": loop.evaluation_episodes if episodes is None else episodes,
            "max_steps": max(loop.evaluation_steps, self.settings.longest or 0) if max_steps is None else max_steps,
        }
        given = (*(_SEED,) * 3, P(), P())
        program = Program(partial(self._evaluate, **settings), given, _ENVS, self._options)
        return ("evaluate", *settings.values()), program

    # The algorithm --------------------------------------------------------------------------------------------------

    def _train_chunk(self, state: TrainState) -> tuple[TrainState, dict[str, jax.Array], Ended | tuple[()]]:
        self.trace_counts["train_chunk"] += 1

        def chunk(before: SeedState, written: jax.Array):
            def turn(carry, _):
                seed, written = carry
                begun = seed.player
                seed, block, stats, ended = self._collect(seed, random=False)
                seed, written = self._stored(seed, block, written), written + self.turn_steps
                if self.agent.on_policy:
                    seed, metrics = self._learn_at_once(seed, begun, block)
                else:
                    seed, metrics = self._learn(seed, written)
                return (seed, written), (metrics, stats, ended)

            (seed, _), (metrics, stats, ended) = jax.lax.scan(turn, (before, written), None, length=self.turns)
            metrics = shares.mean(jax.tree.map(lambda values: values.mean(0), metrics))
            seed = _keep_finite(before, seed, metrics)
            return seed, (metrics, jax.tree.map(lambda counts: counts.sum(0), stats), _in_order(ended))

        seeds, (metrics, stats, ended) = self._in_place(chunk)(state.seeds, state.written)
        state = self._advance_clock(state.replace(seeds=seeds), self.turns)
        return state, self._report(state, metrics, stats), ended

    def _collect(
        self, seed: SeedState, *, random: bool
    ) -> tuple[SeedState, Transitions, EpisodeStats, Ended | tuple[()]]:
        key, key_collect = jax.random.split(seed.key)
        player, block, stats, ended = rollout.collect(
            self.agent,
            self._played,
            self._params(seed.setting),
            seed.agent,
            seed.player,
            key_collect,
            self.turn_steps,
            random=random,
            repeat=self.config.replay.prefill_repeat,
            tallied=self._tallied,
        )
        return seed.replace(player=player, key=key), block, stats, ended

    def _learn(self, seed: SeedState, written: jax.Array) -> tuple[SeedState, dict[str, jax.Array]]:
        key, key_learn = jax.random.split(seed.key)

        def update(agent_state, key):
            key_sample, key_update = jax.random.split(key)
            batch = self._sample(seed.replay, written, key_sample)
            return self.agent.update(agent_state, batch, seed.hypers, key_update)

        agent_state, metrics = jax.lax.scan(update, seed.agent, jax.random.split(key_learn, self.turn_updates))
        return seed.replace(agent=agent_state, key=key), jax.tree.map(jnp.mean, metrics)

    def _learn_at_once(
        self, seed: SeedState, begun: Player, block: Transitions
    ) -> tuple[SeedState, dict[str, jax.Array]]:
        key, key_learn = jax.random.split(seed.key)
        before, after = (begun.latent, begun.prev_action), seed.player.stream.step
        agent_state, metrics = self.agent.learn(seed.agent, before, block, after, seed.hypers, key_learn)
        return seed.replace(agent=agent_state, key=key), metrics

    def _stored(self, seed: SeedState, block: Transitions, written: jax.Array) -> SeedState:
        return seed if self.agent.on_policy else seed.replace(replay=replay.add(seed.replay, block, written))

    def _sample(self, storage: Transitions, written: jax.Array, key: jax.Array) -> Batch:
        cfg = self.config.replay
        steps = replay.sample(storage, written, key, cfg.batch_size, cfg.sequence_length, cfg.start, cfg.rewarded)
        action = self.agent.spec.encode(steps.action)
        prev_action = jnp.concatenate([jnp.zeros_like(action[:, :1]), action[:, :-1]], 1)
        return Batch(steps.obs, prev_action, steps.reward, steps.is_first, steps.is_terminal)

    def _init(self, keys: jax.Array, hypers: Hypers, setting: Any) -> TrainState:
        self.trace_counts["init"] += 1
        num_envs = self.config.loop.num_envs // shares.count()

        def init_seed(key, hypers, setting):
            key, key_agent, key_player = jax.random.split(key, 3)
            agent_state = self.agent.init(key_agent, hypers)
            player = rollout.start(self.agent, self._played, self._params(setting), agent_state, key_player, num_envs)
            storage = () if self.agent.on_policy else replay.init(self._example(), self.capacity, num_envs)
            no = jnp.zeros((), bool)
            return SeedState(
                agent=agent_state, player=player, replay=storage, hypers=hypers, key=key, diverged=no, setting=setting
            )

        zero = jnp.zeros((), jnp.int32)
        return TrainState(seeds=self._each(init_seed)(keys, hypers, setting), written=zero, env_steps=zero)

    def _prefill(self, state: TrainState) -> tuple[TrainState, Ended | tuple[()]]:
        self.trace_counts["prefill"] += 1

        def play(seed: SeedState, written: jax.Array):
            def turn(carry, _):
                seed, written = carry
                seed, block, _, ended = self._collect(seed, random=True)
                return (self._stored(seed, block, written), written + self.turn_steps), ended

            (seed, _), ended = jax.lax.scan(turn, (seed, written), None, length=self.prefill_turns)
            # Fresh episodes: the agent did not follow the random ones.
            key, key_player = jax.random.split(seed.key)
            num_envs = self.config.loop.num_envs // shares.count()
            params = self._params(seed.setting)
            player = rollout.start(self.agent, self._played, params, seed.agent, key_player, num_envs)
            return seed.replace(player=player, key=key), _in_order(ended)

        seeds, ended = self._in_place(play)(state.seeds, state.written)
        return self._advance_clock(state.replace(seeds=seeds), self.prefill_turns), ended

    def _evaluate(
        self,
        agents: AgentState,
        setting: Any,
        keys: jax.Array,
        greedy: jax.Array,
        forget: jax.Array,
        *,
        episodes: int,
        max_steps: int,
    ):
        self.trace_counts["evaluate"] += 1
        rows = -(-episodes // shares.count())

        def play(agent_state, setting, key):
            place = self.env, self._params(setting)
            return rollout.evaluate(
                self.agent, *place, agent_state, key, rows, greedy=greedy, forget=forget, max_steps=max_steps
            )

        return self._each(play)(agents, setting, keys)

    def _each(self, function: Any) -> Any:
        """Return a function of several seeds from one of a seed."""
        return spreading.each(function, self._one_by_one)

    def _in_place(self, function: Any) -> Any:
        """Return the same of a function (seed, shared) -> (seed, results)."""
        return spreading.each_in_place(function, self._one_by_one)

    def _params(self, setting: Any) -> Any:
        """Return the parameters of one seed's environment."""
        return setting if self.settings.several else self.env_params

    def _settings_of(self, seeds: int) -> Any:
        """Return the parameters of every seed's environment, leaves (seeds, ...); () where all have the same."""
        try:
            return self.settings.stacked(seeds)
        except ValueError as error:
            raise ConfigError(f"env={self.config.env!r}: {error}") from None

    def _advance_clock(self, state: TrainState, turns: int) -> TrainState:
        steps = turns * self.turn_steps
        return state.replace(
            written=state.written + steps, env_steps=state.env_steps + steps * self.config.loop.num_envs
        )

    def _chunk_program(self) -> Program:
        return Program(self._train_chunk, (_PLACES,), (_PLACES, _SEED, _TIME_ENVS), self._options, donated=(0,))

    def _init_program(self) -> Program:
        return Program(self._init, (_SEED,) * 3, _PLACES, self._quick)

    def _prefill_program(self) -> Program:
        options = self._quick if self.prefill_steps <= _SHORT_PREFILL else self._options
        return Program(self._prefill, (_PLACES,), (_PLACES, _TIME_ENVS), options, donated=(0,))

    def _example(self) -> Transitions:
        def leaf(dtype: Any, *shape: int) -> Any:  # stands for an array
            return jax.ShapeDtypeStruct(shape, dtype)

        spec = self.agent.spec
        action = leaf(spec.stored_dtype, *spec.stored_shape)
        return Transitions(
            self.agent.obs_example, action, leaf(jnp.float32), leaf(jnp.bool_), leaf(jnp.bool_), leaf(jnp.int32)
        )

    def _report(self, state: TrainState, metrics, stats: EpisodeStats) -> dict[str, jax.Array]:
        seeds = state.seeds.key.shape[0]
        count, total_return, total_length, unsound = shares.total(stats)
        some = jnp.maximum(count, 1.0)
        report = dict(metrics)
        report["env_steps"] = jnp.broadcast_to(state.env_steps, (seeds,))
        report["updates"] = state.seeds.agent.updates
        report["episodes"] = count
        # 0 where no episode ended: a NaN would stop a healthy run under JAX_DEBUG_NANS.
        report["episode_return"] = total_return / some
        report["episode_length"] = total_length / some
        if unsound is not None:
            report["episodes_diverged"] = unsound
        report["diverged"] = state.seeds.diverged
        return report


def _environment(config: Config) -> tuple[Settings, Any, tuple[Leaf, ...], Any, ActionSpec]:
    """Return the settings, the environment with arranged observations, the arrays that it gives, one observation
    (shapes and dtypes) and its actions.

    Raises:
      ConfigError: if there is no such environment, or it is none that this agent can be trained on.
    """
    with blamed(config.env):
        settings = envs.settings.make(config.env)
        env, params = settings.env, settings.env_params
        leaves = observation_leaves(env, params)
        spec = action_spec(env, params)
    example = check_environment(env, params, leaves)
    return settings, arranged(env, params), leaves, example, spec


def _in_order(ended: Any) -> Any:
    """Return what was told turn by turn, leaves (turns, K, E), as one: (turns * K, E)."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[2]), ended)


def _keep_finite(before: SeedState, after: SeedState, metrics: dict[str, jax.Array]) -> SeedState:
    """Return a seed after a chunk; once it has diverged, with the agent of before, while its environments go on.

    Looked at are the metrics and the optimisers' averages, into which every gradient goes, packed into few arrays: to
    look at every parameter would take the compiler as long as a tenth of all else.
    """
    agent = after.agent
    numbers = [*metrics.values(), *jax.tree.leaves((agent.model_opt, agent.actor_opt, agent.critic_opt))]
    floats = [number for number in numbers if jnp.issubdtype(number.dtype, jnp.inexact)]
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(number)) for number in floats]))
    diverged = before.diverged | ~finite
    agent = jax.tree.map(lambda old, new: jnp.where(diverged, old, new), before.agent, agent)
    return after.replace(agent=agent, diverged=diverged)
