"""What a run is: frozen dataclasses of static sizes, and `Hypers`, the floats that a sweep vmaps over.

A static field shapes the compiled program, so changing one recompiles. A `Hypers` field is a traced value: one program
serves a whole sweep. Defaults are the R2I paper's (arXiv 2403.04253) as its released code sets them, except where the
comment says otherwise; presets for a suite and a size live in `experiments/presets.py`.
"""

import dataclasses
import difflib
import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

import jax

LARGEST = 2**31 - 1  # of a whole number: sizes and step counters are int32 in the compiled program
# Where 0 has a meaning of its own.
ZERO_ALLOWED = ("behavior.actor_gates", "behavior.imagination_starts", "model.decoded_steps", "replay.prefill")


class ConfigError(ValueError):
    """A configuration that cannot be built; its message is one line for the user."""


class _Static:
    """A group of static fields, whose numbers are checked however it is built."""

    group: ClassVar[str]

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            key, value = f"{self.group}.{name}", getattr(self, name)
            if kind is int:
                least = 0 if key in ZERO_ALLOWED else 1
                if not least <= value <= LARGEST:
                    raise ConfigError(f"{key}={value}: expected a whole number from {least} to {LARGEST}")
            elif kind is float and not math.isfinite(value):
                raise ConfigError(f"{key}={value}: expected a finite number")


ImageNet = Literal["convolutions", "patches"]


@dataclass(frozen=True)
class ModelConfig(_Static):
    """World model sizes and forms (static)."""

    group = "model"

    ssm_layers: int = 3
    ssm_state: int = 128  # P, complex numbers per layer
    ssm_blocks: int = 8  # HiPPO-LegS is block-diagonal: this many blocks of P / ssm_blocks
    units: int = 512  # H, width of the residual stream and of every linear layer around the SSM
    deter: int = 1024  # width of h, the SSM's read-out
    discretization: Literal["bilinear", "zoh"] = "bilinear"
    dt_min: float = 0.001
    dt_max: float = 0.1
    clip_eigenvalues: bool = False  # keep Re(lambda) <= -1e-4
    initial_state: Literal["learned", "zeros"] = "learned"
    scan: Literal["auto", "sequential", "associative", "chunked", "fused"] = "auto"  # sequential on CPU, else fused
    reset: Literal["exact", "released", "none"] = "exact"  # "released" repeats the published code's defects, for study
    posterior: Literal["learned", "observation"] = "learned"  # "observation": z is the (discrete) observation itself
    stoch: int = 32  # S, categorical latents, and
    classes: int = 32  # C, classes of each, of a learned posterior
    unimix: float = 0.01
    latent_gain: float = 1.0  # factor on the latents' logits, posterior and prior; the paper: 1; see docs/decisions/021
    dynamics_input: Literal["latent", "change"] = "latent"  # the paper: latent; see docs/decisions/018
    prior_skip: bool = False  # the prior starts from the last latent and a linear reading of the SSM's states
    action_scale: float = 1.0  # factor of the action's one-hot in the dynamics' input, beside S ones of the latent
    encoder_layers: int = 1
    decoder_layers: int = 1
    head_layers: int = 2  # reward and continue
    reward_init: float = 0.0  # scale of the reward head's first output weights; the paper: 0; see docs/decisions/013
    head_units: int = 512
    image_net: ImageNet = "convolutions"  # the paper: convolutions; see docs/decisions/009
    image_depth: int = 32  # channels of the largest convolution, or numbers per patch
    decoded_steps: int = 0  # steps of a sequence, drawn anew each time, whose observation is decoded; 0 = all
    observation_loss: Literal["categorical", "symlog_mse"] = "categorical"  # the paper: symlog_mse; see docs/decisions
    bins: int = 255  # two-hot bins of reward and critic, in [-20, 20] in symlog space


@dataclass(frozen=True)
class BehaviorConfig(_Static):
    """Actor, critic and imagination (static)."""

    group = "behavior"

    policy_input: Literal["hidden", "output", "full"] = "hidden"  # (z, x), (z, h) or (z, h, x)
    horizon: int = 15
    imagination_starts: int = 0  # start states per update, drawn from the batch; 0 = every posterior state
    actor_layers: int = 2
    actor_units: int = 512
    actor_gates: int = 0  # gated linear ways past the actor's layers, for many actions; see docs/decisions/019
    critic_layers: int = 2
    critic_units: int = 512
    actor_unimix: float = 0.01
    actor_gradient: Literal["auto", "reinforce", "backprop"] = "auto"  # auto: backprop for continuous actions
    continue_mode: Literal["mode", "mean"] = "mode"  # what imagination multiplies with: R2I takes the 0/1 mode
    unroll: int = 1  # imagined steps unrolled in the compiled loop


@dataclass(frozen=True)
class ReplayConfig(_Static):
    """On-device sequence replay (static)."""

    group = "replay"

    capacity: int = 1_000_000  # environment steps kept, over all environments of a seed
    batch_size: int = 4  # B
    sequence_length: int = 1024  # T
    start: Literal["episode", "paper"] = "episode"  # where sampled windows begin; see docs/decisions
    rewarded: float = 0.0  # share of the windows that are drawn around a reward, for tasks where these are rare
    train_ratio: float = 64.0  # replayed steps per environment step
    prefill: int = 0  # random-policy steps before the first update; 0 = one batch (B * T)
    prefill_repeat: float = 0.0  # chance that a random action is the last one again: strolls in place of jitter


@dataclass(frozen=True)
class LoopConfig(_Static):
    """How collection and training take turns (static)."""

    group = "loop"

    num_envs: int = 8
    chunk_updates: int = 64  # updates per compiled chunk, rounded up to whole collect/train turns
    precision: Literal["float32", "bfloat16"] = "float32"  # compute dtype; parameters and the scan stay float32
    evaluation_episodes: int = 32
    evaluation_steps: int = 10_000  # of an episode in an evaluation, or what the environment says, if that is more
    evaluation_greedy: bool = True  # most likely action; False samples, as R2I does


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Hypers:
    """Floats that people sweep: traced, one value per seed. A pytree, so its leaves may be arrays too."""

    model_lr: float = 1e-4
    ssm_lr: float = 1e-4  # lambda, b, c, d, log_dt
    actor_lr: float = 3e-5
    critic_lr: float = 3e-5
    model_eps: float = 1e-8
    actor_eps: float = 1e-5
    critic_eps: float = 1e-5
    model_clip: float = 1000.0  # global norm; the SSM group is clipped by its own norm
    actor_clip: float = 100.0
    critic_clip: float = 100.0
    model_weight_decay: float = 0.0  # kernels only, never the SSM group
    warmup_updates: float = 0.0  # linear learning-rate warm-up of all groups
    head_start: float = 0.0  # updates of the world model alone, before actor and critic begin to learn
    decay_updates: float = 0.0  # after so many, learning rates and entropy scale are half, after three times, a quarter
    observation_scale: float = 1.0
    reward_loss_scale: float = 1.0
    continue_scale: float = 1.0
    dyn_scale: float = 0.5
    rep_scale: float = 0.1
    free_nats: float = 1.0
    reward_scale: float = 1.0  # what the agent learns from is reward * reward_scale; reports are the game's own
    discount: float = 1.0 - 1.0 / 333.0
    return_lambda: float = 0.95
    entropy_scale: float = 3e-4
    return_decay: float = 0.99  # EMA of the return percentiles
    slow_critic_rate: float = 0.02
    slow_critic_scale: float = 1.0

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Config:
    """Everything that defines a run except its seeds and its length."""

    env: str = "popgym/RepeatPreviousEasy"
    model: ModelConfig = field(default_factory=ModelConfig)
    behavior: BehaviorConfig = field(default_factory=BehaviorConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    hypers: Hypers = field(default_factory=Hypers)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Return the indented JSON text of `config.json`."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Build a Config from `to_dict()`'s output.

        Raises:
          ConfigError: on an unknown key or a value of the wrong kind, naming both.
        """
        config = cls()
        for key, value in flatten(values).items():
            config = _set(config, key, value)
        return config

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Build a Config from `to_json()`'s output."""
        return cls.from_dict(json.loads(text))

    def override(self, assignments: list[str] | tuple[str, ...]) -> "Config":
        """Apply command-line assignments such as `model.units=128` or `hypers.model_lr=3e-4`.

        Raises:
          ConfigError: on a malformed assignment, an unknown key (near matches are named) or a bad value.
        """
        config = self
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals:
                raise ConfigError(f"--set {assignment!r}: expected key=value, such as model.units=128")
            config = _set(config, key.strip(), text.strip())
        return config


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


def _set(config: Config, key: str, value: Any) -> Config:
    known = list(flatten(config.to_dict()))
    if key not in known:
        leaf = key.rsplit(".", 1)[-1]
        near = [name for name in known if name.rsplit(".", 1)[-1] == leaf]
        near += [name for name in difflib.get_close_matches(key, known, n=3, cutoff=0.5) if name not in near]
        hint = f"; did you mean {', '.join(near[:3])}?" if near else f"; keys start with {', '.join(_groups())}"
        raise ConfigError(f"unknown config key {key!r}{hint}")
    if "." not in key:
        return dataclasses.replace(config, **{key: _parse(key, str, value)})
    group_name, leaf = key.split(".", 1)
    group = getattr(config, group_name)
    kind = get_type_hints(type(group))[leaf]
    group = dataclasses.replace(group, **{leaf: _parse(key, kind, value)})
    return dataclasses.replace(config, **{group_name: group})


def _groups() -> list[str]:
    return [f.name + ("." if f.name != "env" else "") for f in dataclasses.fields(Config)]


def _parse(key: str, kind: Any, value: Any) -> Any:
    """Return `value` (a JSON value or a command-line text) as `kind`."""
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise ConfigError(f"{key}={value!r}: expected one of {', '.join(map(str, get_args(kind)))}")
    if kind is bool:
        if value in (True, False):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise ConfigError(f"{key}={value!r}: expected true or false")
    try:
        if kind is str:
            return str(value)
        number = float(value)
        if not math.isfinite(number) or kind is int and number != int(number):
            raise ValueError
        return kind(number)
    except (TypeError, ValueError, OverflowError):
        noun = {int: "a whole number", float: "a finite number"}[kind]
        raise ConfigError(f"{key}={value!r}: expected {noun}") from None
