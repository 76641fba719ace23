"""What a run is: frozen dataclasses of static sizes, and `Hypers`, the floats that a sweep vmaps over.

A static field shapes the compiled program, so changing one recompiles. A `Hypers` field is a traced value: one program
serves a whole sweep. Defaults are the R2I paper's (arXiv 2403.04253) as its released code sets them, except where the
comment says otherwise; presets for a suite and a size live in `experiments/presets`.
"""

import dataclasses
import difflib
import functools
import importlib.util
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import jax
import numpy as np

from r2i_jit.ranges import (
    ConfigError,
    Key,
    check,
    count,
    keys_of,
    not_negative,
    positive,
    read_json,
    read_text,
    share,
    shown,
    within,
)

# Ends of ranges that keep a program from being traced for minutes, or its numbers from leaving int32. What would only
# take too much memory is refused where the device is known.
_LAYERS = 32  # of a plain stack, each of which is traced
_SSM_LAYERS = 64
_WIDTH = 2**16  # of a layer
_BLOCK = 512  # states of a HiPPO block: it is diagonalised in cubic time
_EIGENVECTORS = 2**25  # numbers in those of all layers, L * P * P: constants of the program that initialises
_ENVS = 2**16
_LENGTH = 10**6  # of a sequence
_BATCH_STEPS = 2**24  # B * T: a place in a batch is drawn as a float32
_STORED = 10**9  # steps in replay: with the rounding to whole turns still an int32
_CHUNK_STEPS = 10**8  # environment steps in a chunk: the step counter is an int32
_STEP_UPDATES = 1000  # after one step of all environments


class _Static:
    """A group of static fields, each checked however it is built."""

    group: ClassVar[str]

    def __post_init__(self) -> None:
        group: type = type(self)
        for name, key in keys_of(group).items():
            check(f"{self.group}.{name}", key, getattr(self, name))


# What is trained: the world model's agent, R2I's and DreamerV3's, or recurrent PPO.
Algorithm = Literal["world_model", "ppo"]
ImageNet = Literal["convolutions", "patches"]
# What carries memory from step to step: ours, and those of the package memax (an extra).
Sequence = Literal["s3m", "gru", "lru", "s6", "ffm", "gdn", "attention"]
MEMAX = ("lru", "s6", "ffm", "gdn", "attention")


@dataclass(frozen=True)
class ModelConfig(_Static):
    """World model sizes and forms (static)."""

    group = "model"

    sequence: Sequence = "s3m"  # the recurrence of each layer
    # Around a recurrence are gate, residual sum, norm and a read-out to h. "bare": nothing, h is what it puts out.
    block: Literal["gated", "bare"] = "gated"
    ssm_layers: int = count(3, _SSM_LAYERS)  # L, of any recurrence
    ssm_state: int = count(128, 4096)  # P, complex numbers per layer
    ssm_blocks: int = count(8, 4096)  # HiPPO-LegS is block-diagonal: this many blocks of P / ssm_blocks
    units: int = count(512, _WIDTH)  # H, width of the residual stream and of every linear layer around the SSM
    deter: int = count(1024, _WIDTH)  # width of h, the SSM's read-out
    discretization: Literal["bilinear", "zoh"] = "bilinear"
    dt_min: float = within(0.001, 1e-6, 100)
    dt_max: float = within(0.1, 1e-6, 100)
    clip_eigenvalues: bool = False  # keep Re(lambda) <= -1e-4
    initial_state: Literal["learned", "zeros"] = "learned"
    scan: Literal["auto", "sequential", "associative", "chunked", "fused"] = "auto"  # sequential on CPU, else fused
    reset: Literal["exact", "released", "none"] = "exact"  # "released" repeats the published code's defects, for study
    # "observation": z is the (discrete) observation itself. "recurrent": it depends on h as well, as DreamerV3's does,
    # and sequences are observed step by step.
    posterior: Literal["learned", "observation", "recurrent"] = "learned"
    stoch: int = count(32, 4096)  # S, categorical latents, and
    classes: int = count(32, 4096, 2)  # C, classes of each, of a learned posterior
    unimix: float = within(0.01, 0, 1)
    # Factor on the latents' logits, posterior and prior; the paper: 1; see docs/decisions/021.
    latent_gain: float = positive(1.0, 1000)
    dynamics_input: Literal["latent", "change"] = "latent"  # the paper: latent; see docs/decisions/018
    prior_skip: bool = False  # the prior starts from the last latent and a linear reading of the SSM's states
    # Factor of the action's one-hot in the dynamics' input, beside S ones of the latent.
    action_scale: float = not_negative(1.0, 1e6)
    encoder_layers: int = count(1, _LAYERS)
    decoder_layers: int = count(1, _LAYERS)
    head_layers: int = count(2, _LAYERS)  # reward and continue
    # Scale of the reward head's first output weights; the paper: 0; see docs/decisions/013.
    reward_init: float = not_negative(0.0, 1e6)
    head_units: int = count(512, _WIDTH)
    image_net: ImageNet = "convolutions"  # the paper: convolutions; see docs/decisions/009
    image_depth: int = count(32, 4096)  # channels of the largest convolution, or numbers per patch
    # Steps of a sequence, drawn anew each time, whose observation is decoded; 0 = all.
    decoded_steps: int = count(0, _LENGTH, 0)
    observation_loss: Literal["categorical", "symlog_mse"] = "categorical"  # the paper: symlog_mse; see docs/decisions
    # Of an observation's numbers: squared error in symlog space, or that as a share of each number's variance in the
    # batch, so that one that seldom or hardly changes counts as much as any other. The paper: squared; decision 033.
    number_loss: Literal["squared", "unexplained"] = "squared"
    bins: int = count(255, 10_000, 2)  # two-hot bins of reward and critic, in [-20, 20] in symlog space

    @property
    def deter_size(self) -> int:
        """Numbers in h."""
        return self.deter if self.block == "gated" else self.units


@dataclass(frozen=True)
class BehaviorConfig(_Static):
    """Actor, critic and imagination (static)."""

    group = "behavior"

    policy_input: Literal["hidden", "output", "full"] = "hidden"  # (z, x), (z, h) or (z, h, x)
    horizon: int = count(15, 10_000)
    # Start states per update, drawn from the batch; 0 = every posterior state.
    imagination_starts: int = count(0, _BATCH_STEPS, 0)
    # Share of these that are first steps of the batch's sequences, where episodes begin if replay.start is episode; it
    # says nothing where every state is a start.
    first_starts: float = share(0.0)
    actor_layers: int = count(2, _LAYERS)
    actor_units: int = count(512, _WIDTH)
    # Scale of the actor's first output weights; the paper: 1. With 0 the first actions are all as likely.
    actor_init: float = not_negative(1.0, 1e6)
    # Gated linear ways past the actor's layers, for many actions; see docs/decisions/019.
    actor_gates: int = count(0, 1024, 0)
    critic_layers: int = count(2, _LAYERS)
    critic_units: int = count(512, _WIDTH)
    actor_unimix: float = within(0.01, 0, 1)
    actor_gradient: Literal["auto", "reinforce", "backprop"] = "auto"  # auto: backprop for continuous actions
    continue_mode: Literal["mode", "mean"] = "mode"  # what imagination multiplies with: R2I takes the 0/1 mode
    unroll: int = count(1, 64)  # imagined steps unrolled in the compiled loop


@dataclass(frozen=True)
class ReplayConfig(_Static):
    """On-device sequence replay (static)."""

    group = "replay"

    capacity: int = count(1_000_000, _STORED)  # environment steps kept, over all environments of a seed
    batch_size: int = count(4, _ENVS)  # B
    sequence_length: int = count(1024, _LENGTH)  # T
    start: Literal["episode", "paper"] = "episode"  # where sampled windows begin; see docs/decisions
    rewarded: float = share(0.0)  # share of the windows that are drawn around a reward, for tasks where these are rare
    train_ratio: float = positive(64.0, 1e6)  # replayed steps per environment step
    prefill: int = count(0, _STORED, 0)  # random-policy steps before the first update; 0 = one batch (B * T)
    prefill_repeat: float = share(0.0)  # chance that a random action is the last one again: strolls in place of jitter


@dataclass(frozen=True)
class PPOConfig(_Static):
    """Recurrent PPO (static); of use where `algorithm` is ppo, which has no replay and no imagination."""

    group = "ppo"

    steps: int = count(128, 10**5)  # of each environment, between two trainings
    epochs: int = count(4, 1000)
    minibatches: int = count(4, _ENVS)  # in an epoch, of whole streams: divides loop.num_envs


@dataclass(frozen=True)
class LoopConfig(_Static):
    """How collection and training take turns (static)."""

    group = "loop"

    num_envs: int = count(8, _ENVS)
    chunk_updates: int = count(64, 10**6)  # updates per compiled chunk, rounded up to whole collect/train turns
    precision: Literal["float32", "bfloat16"] = "float32"  # compute dtype; parameters and the scan stay float32
    evaluation_episodes: int = count(32, _ENVS)
    # Steps after which an episode in an evaluation is cut, or what the environment says, if that is more.
    evaluation_steps: int = count(10_000, 10**9)
    evaluation_greedy: bool = True  # most likely action; False samples, as R2I does


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Hypers:
    """Floats that people sweep: traced, one value per seed. A pytree, so its leaves may be arrays too."""

    model_lr: float = not_negative(1e-4)
    ssm_lr: float = not_negative(1e-4)  # lambda, b, c, d, log_dt
    actor_lr: float = not_negative(3e-5)
    critic_lr: float = not_negative(3e-5)
    model_eps: float = positive(1e-8)
    actor_eps: float = positive(1e-5)
    critic_eps: float = positive(1e-5)
    model_clip: float = positive(1000.0)  # global norm; the SSM group is clipped by its own norm
    actor_clip: float = positive(100.0)
    critic_clip: float = positive(100.0)
    model_weight_decay: float = not_negative(0.0)  # kernels only, never the SSM group
    warmup_updates: float = not_negative(0.0)  # linear learning-rate warm-up of all groups
    head_start: float = not_negative(0.0)  # updates of the world model alone, before actor and critic begin to learn
    # Then so many of world model and critic, before the actor does: without a baseline, what it happens to do first is
    # what it goes on to do.
    critic_head_start: float = not_negative(0.0)
    # After so many, learning rates and entropy scale are half, after three times, a quarter.
    decay_updates: float = not_negative(0.0)
    observation_scale: float = not_negative(1.0)
    reward_loss_scale: float = not_negative(1.0)
    # If it is more than that: this over the share of the batch's steps that are paid, as a mean over time would make
    # little of one reward an episode. At most this times the sequence's length; 0 is the paper's.
    sparse_reward_scale: float = not_negative(0.0)
    continue_scale: float = not_negative(1.0)
    dyn_scale: float = not_negative(0.5)
    rep_scale: float = not_negative(0.1)
    free_nats: float = not_negative(1.0)
    # What the agent learns from is reward * reward_scale; reports are the game's own.
    reward_scale: float = positive(1.0)
    discount: float = positive(1.0 - 1.0 / 333.0, 1)
    return_lambda: float = within(0.95, 0, 1)
    entropy_scale: float = not_negative(3e-4)
    return_decay: float = within(0.99, 0, 1)  # EMA of the return percentiles
    slow_critic_rate: float = within(0.02, 0, 1)
    slow_critic_scale: float = not_negative(1.0)
    clip_range: float = positive(0.2)  # of PPO's ratio of probabilities
    value_scale: float = not_negative(0.5)  # of PPO's value loss

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Config:
    """Everything that defines a run except its seeds and its length."""

    env: str = "popgym/RepeatPreviousEasy"
    algorithm: Algorithm = "world_model"
    model: ModelConfig = field(default_factory=ModelConfig)
    behavior: BehaviorConfig = field(default_factory=BehaviorConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    hypers: Hypers = field(default_factory=Hypers)

    def __post_init__(self) -> None:
        for name, key in keys_of(Config).items():
            value = getattr(self, name)
            if name not in _GROUPS:
                check(name, key, value)
            elif not isinstance(value, _GROUPS[name]):
                raise ConfigError(f"{name}={shown(value)}: expected a {_GROUPS[name].__name__}")
        for name, key in keys_of(Hypers).items():
            if not _is_traced(value := getattr(self.hypers, name)):
                check(f"hypers.{name}", key, value)
        for conflict in _conflicts(self):
            raise ConfigError(conflict)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Return the indented JSON text of `config.json`."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Build a Config from `to_dict()`'s output; keys that it lacks have their defaults.

        Raises:
          ConfigError: on an unknown key or a value of the wrong kind, naming both.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"config {shown(values)}: expected an object whose keys start with {_starts()}")
        found: dict[str, Any] = {}
        for name, value in _leaves(values):
            key = _key(name)
            if key.kind is int and isinstance(value, float) and value.is_integer():
                value = int(value)
            check(name, key, value)
            if name in found:
                raise ConfigError(f"config key {name!r} is given twice")
            found[name] = float(value) if key.kind is float else value
        return _changed(cls(), found)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Build a Config from `to_json()`'s output.

        Raises:
          ConfigError: as `from_dict`, and for a text that is no JSON, saying where.
        """
        return cls.from_dict(read_json(text))

    def override(self, assignments: list[str] | tuple[str, ...]) -> "Config":
        """Apply command-line assignments such as `model.units=128` or `hypers.model_lr=3e-4`, all at once.

        Raises:
          ConfigError: on a malformed assignment, an unknown key (near matches are named) or a bad value.
        """
        found: dict[str, Any] = {}
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            if not equals:
                raise ConfigError(f"--set {shown(assignment)}: expected key=value, such as model.units=128")
            name = name.strip()
            key = _key(name)
            found[name] = read_text(name, key, text.strip())
            check(name, key, found[name])
        return _changed(self, found)


_GROUPS = {
    "model": ModelConfig,
    "behavior": BehaviorConfig,
    "replay": ReplayConfig,
    "ppo": PPOConfig,
    "loop": LoopConfig,
    "hypers": Hypers,
}


def _conflicts(config: Config) -> Iterator[str]:
    """Say which values do not go together; texts name every key that has a part in it."""
    model, replay, loop = config.model, config.replay, config.loop

    def beside(*names: str) -> str:
        flat = {name: getattr(getattr(config, name.split(".")[0]), name.split(".")[1]) for name in names}
        return ", ".join(f"{name}={value}" for name, value in flat.items())

    if model.sequence in MEMAX and importlib.util.find_spec("memax") is None:
        yield f"model.sequence={model.sequence}: is a recurrence of memax: pip install 'r2i-jit[memax]'"
    if model.block == "bare" and model.dynamics_input == "change":
        yield "model.dynamics_input=change: has no way to h past a recurrence that is bare; expected model.block=gated"
    if model.dt_min > model.dt_max:
        yield f"model.dt_min={model.dt_min}: expected at most model.dt_max={model.dt_max}"
    if model.ssm_state % model.ssm_blocks:
        yield f"model.ssm_blocks={model.ssm_blocks} must divide model.ssm_state={model.ssm_state}"
    if model.ssm_state > _BLOCK * model.ssm_blocks:
        least = -(-model.ssm_state // _BLOCK)
        yield f"model.ssm_blocks={model.ssm_blocks}: expected at least {least} with {beside('model.ssm_state')}"
    if model.ssm_layers * model.ssm_state**2 > _EIGENVECTORS:
        most = math.isqrt(_EIGENVECTORS // model.ssm_layers)
        yield f"model.ssm_state={model.ssm_state}: expected at most {most} with {beside('model.ssm_layers')}"

    if config.algorithm == "ppo":
        if loop.num_envs % config.ppo.minibatches:
            yield f"ppo.minibatches={config.ppo.minibatches} must divide {beside('loop.num_envs')}"
        turns = math.ceil(loop.chunk_updates / (config.ppo.epochs * config.ppo.minibatches))
        if turns * config.ppo.steps * loop.num_envs > _CHUNK_STEPS:
            most = max(1, _CHUNK_STEPS // (turns * loop.num_envs))
            others = f"{beside('loop.num_envs', 'loop.chunk_updates')}: a chunk has at most {_CHUNK_STEPS} steps"
            yield f"ppo.steps={config.ppo.steps}: expected at most {most} with {others}"
        return
    steps = replay.batch_size * replay.sequence_length
    if steps > _BATCH_STEPS:
        most = _BATCH_STEPS // replay.sequence_length
        yield f"replay.batch_size={replay.batch_size}: expected at most {most} with {beside('replay.sequence_length')}"
    batch = beside("replay.batch_size", "replay.sequence_length")
    low, high = loop.chunk_updates * steps / _CHUNK_STEPS, _STEP_UPDATES * steps / loop.num_envs
    if replay.train_ratio < low:
        others = f"{beside('loop.chunk_updates')}, {batch}: a chunk has at most {_CHUNK_STEPS} steps"
        yield f"replay.train_ratio={replay.train_ratio}: expected at least {low:.9g} with {others}"
    if replay.train_ratio > high:
        others = f"{beside('loop.num_envs')}, {batch}: a step has at most {_STEP_UPDATES} updates"
        yield f"replay.train_ratio={replay.train_ratio}: expected at most {high:.9g} with {others}"


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def differences(saved: Config, asked: Config) -> list[str]:
    """Return one `key: saved -> asked` line per field in which two configs differ."""
    old, new = flatten(saved.to_dict()), flatten(asked.to_dict())
    return [f"{key}: {old[key]!r} -> {new[key]!r}" for key in new if old[key] != new[key]]


@functools.cache
def _keys() -> dict[str, Key]:
    """Return every key by its full name."""
    grouped = {f"{name}.{leaf}": key for name, group in _GROUPS.items() for leaf, key in keys_of(group).items()}
    return {"env": keys_of(Config)["env"], "algorithm": keys_of(Config)["algorithm"], **grouped}


def _key(name: str) -> Key:
    known = _keys()
    if name in known:
        return known[name]
    leaf = name.rsplit(".", 1)[-1]
    near = [full for full in known if full.rsplit(".", 1)[-1] == leaf]
    near += [full for full in difflib.get_close_matches(name[:100], known, n=3, cutoff=0.5) if full not in near]
    hint = f"did you mean {', '.join(near[:3])}?" if near else f"keys start with {_starts()}"
    raise ConfigError(f"unknown config key {shown(name)}; {hint}")


def _starts() -> str:
    return ", ".join(["env", "algorithm", *(f"{name}." for name in _GROUPS)])


def _changed(config: Config, values: dict[str, Any]) -> Config:
    """Return the config with values by their full names, checked when all of them are in place."""
    changes: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        group, _, leaf = name.rpartition(".")
        changes.setdefault(group, {})[leaf] = value
    plain = changes.pop("", {})
    groups = {name: dataclasses.replace(getattr(config, name), **found) for name, found in changes.items()}
    return dataclasses.replace(config, **plain, **groups)


def _leaves(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield full names and values of a nested dictionary."""
    for name, value in values.items():
        if name in _GROUPS and not isinstance(value, dict):
            raise ConfigError(f"{name}={shown(value)}: expected an object of {name}.* keys")
        if name in _GROUPS:
            yield from ((f"{name}.{leaf}", inner) for leaf, inner in value.items())
        else:
            yield str(name), value


def _is_traced(value: Any) -> bool:
    """Return whether a leaf of Hypers is an array, a tracer or a shape, and no plain number."""
    return hasattr(value, "shape") and not isinstance(value, np.generic)
