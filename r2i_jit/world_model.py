"""The world model: observe a sequence in parallel, take one step, imagine one step. Its losses are in `model_loss.py`.

Time alignment: at index t arrive together obs_t, reward_t, is_first_t, is_terminal_t; action_t is chosen after them.
The dynamics at t consume (z_{t-1}, action_{t-1}), both zeroed where is_first_t; the SSM state is replaced by the
initial one before step t where is_first_t. The posterior of z_t sees obs_t only (not h_t), which is what lets the whole
sequence be encoded at once. With config.posterior = "observation" there is nothing to encode: z_t is obs_t. With
"recurrent" it sees h_t as well, as DreamerV3's does, and a sequence is observed step by step.

Owned by tests/equivalence/test_world_model.py and test_recurrent_posterior.py.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.observation import Image
from r2i_jit.config import ModelConfig
from r2i_jit.nets import distributions as dist
from r2i_jit.nets.conv import ImageDecoder, ImageEncoder
from r2i_jit.nets.mlp import MLP, Dense, Linear, cast_kernels
from r2i_jit.observations import from_groups, images, latent_groups, numbers, pixels, to_groups, vector
from r2i_jit.sequence.stack import Stack

_KEEP = 4.0  # initial gain of the last latent in the prior's logits: what was is likely, and not certain
_IMPOSSIBLE = -30.0  # log-probability of a class that the observation rules out: finite, so that 0 times it is 0


class Latent(NamedTuple):
    """What the agent knows after a step: leading axes (B,) or (B, T)."""

    stoch: jax.Array  # (..., S * C), z: one-hot groups
    change: jax.Array | None  # (..., S * C), what z has that the step before had not; None where nothing reads it
    deter: jax.Array  # (..., deter), h: the SSM's read-out
    hidden: jax.Array  # (..., L, D), x: the sequence model's state; D = 2P in the S3M
    start: jax.Array  # (...,) float32, 1 on an episode's first step: goes into the dynamics with z


class Observed(NamedTuple):
    """Result of `WorldModel.observe`, all (B, T, ...)."""

    latent: Latent
    post: jax.Array  # (B, T, S, C) log-probabilities of z_t given obs_t
    prior: jax.Array  # (B, T, S, C) log-probabilities of z_t given h_t


class Encoders(nn.Module):
    """What reads observations: a network an image, and layers for all numbers together."""

    config: ModelConfig
    parts: Any  # of the observation; see `observations.py`
    dtype: jnp.dtype = jnp.float32

    def make_encoders(self) -> None:
        """Create them, in a module's `setup`."""
        cfg, dtype, size = self.config, self.dtype, sum(part.size for part in numbers(self.parts))
        eyes = [ImageEncoder(cfg.image_net, cfg.image_depth, dtype) for _ in images(self.parts)]
        self.is_image = len(eyes) == 1 and not size  # and nothing else: its networks have the plain names
        self.encoder: Any
        if self.is_image:
            self.encoder = eyes[0]
            return
        if size:
            self.encoder = [Linear(cfg.units, dtype) for _ in range(cfg.encoder_layers)]
        self.image_encoders = eyes

    def encoded(self, obs: Any) -> tuple[jax.Array, ...]:
        """Return what they make of observations, arrays (..., *shape): (..., D_i)."""
        eyes = [self.encoder] if self.is_image else self.image_encoders
        seen = [eye(image) for eye, image in zip(eyes, pixels(self.parts, obs), strict=True)]
        if numbers(self.parts):
            x = dist.symlog(vector(self.parts, obs))
            for layer in self.encoder:
                x = layer(x)
            seen.append(x)
        return tuple(seen)


class WorldModel(Encoders):
    """R2I's world model with an S3M core. Pure: every method goes through `apply(..., method=...)`."""

    def setup(self) -> None:
        """Create encoder, posterior, sequence model, prior and heads."""
        cfg, dtype = self.config, self.dtype
        self.groups = latent_groups(cfg, self.parts)
        self.is_given, self.is_recurrent = cfg.posterior == "observation", cfg.posterior == "recurrent"
        logits = self.groups[0] * self.groups[1]
        pictures, size = images(self.parts), sum(part.size for part in numbers(self.parts))
        painters = [ImageDecoder(cfg.image_net, cfg.image_depth, cfg.units, one.shape, dtype) for one in pictures]
        if self.is_given:
            self.is_image = False
        else:
            self.make_encoders()
            if self.is_image:
                self.decoder = painters[0]
            else:
                self.image_decoders = painters
                if size:
                    self.decoder = MLP(cfg.decoder_layers, cfg.units, size, dtype=dtype)
            self.post_net = MLP(1, cfg.units, logits, dtype=dtype)
        self.input_net = Linear(cfg.units, dtype)
        self.reads_change = cfg.dynamics_input == "change"
        if self.reads_change:
            self.change_net = Linear(cfg.units, dtype)
        if cfg.prior_skip:
            self.keep = self.param("keep", nn.initializers.constant(_KEEP), self.groups, jnp.float32)
            self.recall_net = Dense(logits, kernel_init=nn.initializers.zeros)
        self.stack = Stack(cfg, dtype)
        if cfg.block == "gated":
            self.deter_net = Dense(cfg.deter, dtype=dtype, use_bias=True)
        self.prior_net = MLP(1, cfg.units, logits, dtype=dtype)
        self.reward_head = MLP(cfg.head_layers, cfg.head_units, cfg.bins, cfg.reward_init, dtype)
        self.continue_head = MLP(cfg.head_layers, cfg.head_units, 1, dtype=dtype)

    def initial(self, batch: int) -> Latent:
        """Return the latent before an episode's first step; stoch and deter are zero (see docs/decisions/001)."""
        stoch = jnp.zeros((batch, self.groups[0] * self.groups[1]), jnp.float32)
        recalled = stoch.shape[-1] if self.config.prior_skip else 0
        deter = jnp.zeros((batch, self.config.deter_size + recalled), jnp.float32)
        change = stoch if self.reads_change else None
        return Latent(stoch, change, deter, self.stack.initial(batch), jnp.zeros(batch, jnp.float32))

    def encode(self, obs: Any) -> jax.Array:
        """Return the posterior log-probabilities (..., S, C) of observations, arrays (..., *shape).

        Not of a recurrent posterior, which depends on more than those.
        """
        if self.is_given:
            return _IMPOSSIBLE * (1.0 - to_groups(numbers(self.parts), vector(self.parts, obs)))
        return self._log_probs(self.post_net(*self.encoded(obs)))

    def prior(self, deter: jax.Array, prev_stoch: jax.Array) -> jax.Array:
        """Return the prior log-probabilities (..., S, C) of z given h and, with config.prior_skip, the z before it.

        The skip starts from what was and what the SSM's states recall, read linearly: the last S * C numbers of h.
        """
        return dist.unimix_log_probs(self._prior_logits(deter, prev_stoch), self.config.unimix)

    def observe(
        self, obs: Any, prev_action: jax.Array, is_first: jax.Array, carry: Latent, key: jax.Array | None
    ) -> Observed:
        """Encode a sequence: in parallel over time, unless the posterior is recurrent.

        Args:
          obs: arrays (B, T, *shape).
          prev_action: (B, T, A); prev_action[:, t] is action[:, t - 1], index 0 from before the sequence. Zeroed here
            where is_first.
          is_first: (B, T) bool.
          carry: latent before t = 0, ignored where is_first[:, 0].
          key: for the posterior samples; step t uses row t of one draw, so a piece of a sequence cannot reuse the key.
            None takes the most likely latents.

        Returns:
          Observed with leading axes (B, T).
        """
        if self.is_recurrent:
            return self._observe_by_step(obs, prev_action, is_first, carry, key)
        post = self.encode(obs)
        probs = jnp.exp(post)
        stoch = self._posterior_sample(key, probs)
        if not self.is_given:
            stoch = dist.straight_through(stoch, probs)
        return self.observe_latent(stoch, post, prev_action, is_first, carry)

    def observe_latent(
        self, stoch: jax.Array, post: jax.Array, prev_action: jax.Array, is_first: jax.Array, carry: Latent
    ) -> Observed:
        """Run the sequence model over given posterior samples (B, T, S, C); otherwise as `observe`."""
        stoch = stoch.reshape(*stoch.shape[:2], -1)
        start = is_first.astype(jnp.float32)
        prev_stoch = jnp.concatenate([carry.stoch[:, None], stoch[:, :-1]], 1)
        prev_start = jnp.concatenate([carry.start[:, None], start[:, :-1]], 1)
        ssm_first, input_first = self._reset_flags(is_first)
        prev_stoch = jnp.where(input_first[..., None], 0.0, prev_stoch)
        change = self._change(stoch, prev_stoch)
        prev_change = None
        if carry.change is not None and change is not None:
            prev_change = jnp.concatenate([carry.change[:, None], change[:, :-1]], 1)
        u, direct = self._input(prev_stoch, prev_change, prev_start, prev_action, input_first, is_first)
        y, hidden = self.stack.parallel(u, ssm_first, carry.hidden)
        deter = self._deter(y, direct, hidden)
        return Observed(Latent(stoch, change, deter, hidden, start), post, self.prior(deter, prev_stoch))

    def _observe_by_step(self, obs: Any, prev_action: Any, is_first: Any, carry: Latent, key: Any) -> Observed:
        """Observe with a posterior that reads h: what it read of the observations is all that is done at once."""
        seen, prepared = self.encoded(obs), self.stack.prepare()
        before = self.stack.initial(is_first.shape[0])
        ssm_first, input_first = self._reset_flags(is_first)
        keys = None if key is None else jax.random.split(key, is_first.shape[1])

        def advance(module, carry, seen, action, first, ssm_first, input_first, key):
            carry = carry._replace(hidden=jnp.where(ssm_first[:, None, None], before, carry.hidden))
            deter, hidden = module._advance(prepared, carry, action, first, input_first)
            post = module._log_probs(module.post_net(*seen, deter))
            probs = jnp.exp(post)
            stoch = dist.straight_through(_draw(key, probs), probs).reshape(first.shape[0], -1)
            change = module._change(stoch, jnp.where(input_first[:, None], 0.0, carry.stoch))
            latent = Latent(stoch, change, deter, hidden, first.astype(jnp.float32))
            return latent, (latent, post)

        in_time = nn.scan(
            advance, variable_broadcast="params", split_rngs={"params": False}, in_axes=(1, 1, 1, 1, 1, 0), out_axes=1
        )
        _, (latent, post) = in_time(self, carry, seen, prev_action, is_first, ssm_first, input_first, keys)
        prev_stoch = jnp.concatenate([carry.stoch[:, None], latent.stoch[:, :-1]], 1)
        prior = self.prior(latent.deter, jnp.where(input_first[..., None], 0.0, prev_stoch))
        return Observed(latent, post, prior)

    def observe_step(
        self, obs: Any, prev_action: jax.Array, is_first: jax.Array, carry: Latent, key: jax.Array | None
    ) -> Latent:
        """Take one step while acting.

        Args:
          obs: arrays (E, *shape).
          prev_action: (E, A), zeroed here where is_first.
          is_first: (E,) bool.
          carry: latent before the step, replaced where is_first.
          key: for the posterior sample; None takes the most likely latent.
        """
        carry = self.restarted(carry, is_first)
        deter, hidden = self._advance(self.stack.prepare(), carry, prev_action, is_first)
        post = self._log_probs(self.post_net(*self.encoded(obs), deter)) if self.is_recurrent else self.encode(obs)
        stoch = self._posterior_sample(key, jnp.exp(post)).reshape(is_first.shape[0], -1)
        return Latent(stoch, self._change(stoch, carry.stoch), deter, hidden, is_first.astype(jnp.float32))

    def restarted(self, latent: Latent, is_first: jax.Array) -> Latent:
        """Return latents (E, ...) with those before an episode's first step put in where is_first (E,)."""

        def put(new, old):
            return jnp.where(is_first.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        return jax.tree.map(put, self.initial(is_first.shape[0]), latent)

    def for_steps(self, params):
        """Return the parameters in the dtypes that they are used in, once, for many `imagine_step`s."""
        return cast_kernels(params, self.dtype, but=("recall_net",))

    def prepare(self) -> tuple[Any, ...]:
        """Compute once what the sequence model needs for many `imagine_step`s."""
        return self.stack.prepare()

    def imagine_step(
        self,
        prepared: tuple[Any, ...],
        latent: Latent,
        action: jax.Array,
        key: jax.Array | None,
        *,
        differentiable: bool = False,
    ) -> Latent:
        """Predict the latent after `action` (N, A): z is a sample of the prior or, without a key, its most likely.

        A sample lets no gradient through unless `differentiable`: with many latents its cost is that of a sample again.
        """
        never = jnp.zeros(action.shape[0], bool)
        deter, hidden = self._advance(prepared, latent, action, never)
        probs = dist.unimix_probs(self._prior_logits(deter, latent.stoch), self.config.unimix)
        stoch = _draw(key, probs)
        if differentiable:
            stoch = dist.straight_through(stoch, probs)
        stoch = stoch.reshape(stoch.shape[0], -1)
        return Latent(stoch, self._change(stoch, latent.stoch), deter, hidden, jnp.zeros_like(latent.start))

    def heads(self, latent: Latent) -> tuple[jax.Array, jax.Array]:
        """Return (reward logits (..., bins), continue logit (...)) of latents."""
        x = (latent.deter, latent.stoch, latent.change) if self.reads_change else (latent.deter, latent.stoch)
        return self.reward_head(*x), self.continue_head(*x)[..., 0]

    def reconstruct(self, latent: Latent) -> Any:
        """Return the decoders' raw output for each array: (..., D), or (..., height, width, channels) in [-0.5, 0.5].

        Where the latent is the observation, it is what the latent says, as logits.
        """
        given = (latent.deter, latent.stoch)
        if self.is_image:
            return self.decoder(*given)
        if self.is_given:
            flat = _IMPOSSIBLE * (1.0 - from_groups(numbers(self.parts), self._groups(latent.stoch)))
        elif numbers(self.parts):
            flat = self.decoder(*given)
        if not isinstance(self.parts[0], tuple):
            return flat
        painters, offset, made = iter(() if self.is_given else self.image_decoders), 0, []
        for array in self.parts:
            if isinstance(array[0], Image):
                made.append(next(painters)(*given))
            else:
                size = sum(part.size for part in array)
                made.append(flat[..., offset : offset + size])
                offset += size
        return tuple(made)

    def __call__(self, obs, prev_action, is_first, key):
        """Touch every parameter, for initialisation."""
        carry = self.initial(is_first.shape[0])
        observed = self.observe(obs, prev_action, is_first, carry, key)
        return self.heads(observed.latent), self.reconstruct(observed.latent)

    def _log_probs(self, logits: jax.Array) -> jax.Array:
        return dist.unimix_log_probs(self.config.latent_gain * self._groups(logits), self.config.unimix)

    def _groups(self, logits: jax.Array) -> jax.Array:
        return logits.reshape(*logits.shape[:-1], *self.groups)

    def _posterior_sample(self, key: jax.Array | None, probs: jax.Array) -> jax.Array:
        return _draw(None if self.is_given else key, probs)

    def _prior_logits(self, deter: jax.Array, prev_stoch: jax.Array) -> jax.Array:
        logits = self.config.latent_gain * self._groups(self.prior_net(deter))
        if not self.config.prior_skip:
            return logits
        kept = jax.lax.broadcast_to_rank(self.keep, logits.ndim) * self._groups(prev_stoch)
        return logits + kept + self._groups(deter[..., self.config.deter_size :])

    def _change(self, stoch: jax.Array, prev_stoch: jax.Array) -> jax.Array | None:
        return jnp.maximum(stoch - prev_stoch, 0.0) if self.reads_change else None

    def _input(
        self,
        stoch: jax.Array,
        change: jax.Array | None,
        start: jax.Array,
        action: jax.Array,
        stoch_first: jax.Array,
        action_first: jax.Array,
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Embed what the dynamics consume: the last latent, whether it began an episode, and the action after it.

        Returns:
          (what the SSM reads, what h reads beside the SSM's output): if the SSM reads the last latent's change, so that
          what stands still does not drown what happens, then h reads the latent itself.
        """
        stoch = jnp.where(stoch_first[..., None], 0.0, stoch)
        start = jnp.where(stoch_first, 0.0, start)[..., None]
        action = jnp.where(action_first[..., None], 0.0, action)
        others = self.config.action_scale * jnp.concatenate([action, start], -1)
        embedded = self.input_net(stoch, others)
        if change is None:
            return embedded, ()
        return self.change_net(jnp.where(stoch_first[..., None], 0.0, change), others), (embedded,)

    def _deter(self, y: jax.Array, direct: tuple[jax.Array, ...], hidden: jax.Array) -> jax.Array:
        deter = (nn.silu(self.deter_net(y, *direct)) if self.config.block == "gated" else y).astype(jnp.float32)
        if not self.config.prior_skip:
            return deter
        factor = jax.lax.broadcast_to_rank(self.stack.evening(), hidden.ndim)
        even = (hidden * factor).reshape(*hidden.shape[:-2], -1)
        return jnp.concatenate([deter, self.recall_net(even).astype(jnp.float32)], -1)

    def _advance(
        self,
        prepared: tuple[Any, ...],
        latent: Latent,
        action: jax.Array,
        is_first: jax.Array,
        stoch_first: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Return (h, SSM state) of the step after `latent` and `action`; `stoch_first` is `is_first` if not given."""
        stoch_first = is_first if stoch_first is None else stoch_first
        u, direct = self._input(latent.stoch, latent.change, latent.start, action, stoch_first, is_first)
        y, hidden = self.stack.step(prepared, u, latent.hidden)
        return self._deter(y, direct, hidden), hidden

    def _reset_flags(self, is_first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return (flags for the SSM state, flags for the previous latent) according to config.reset.

        "released" repeats what the published training code does at interior boundaries, for the ablation: the flag of
        t + 1 resets the state at t (only the last index is right), and the previous episode's last latent is not
        zeroed.
        """
        start = jnp.zeros_like(is_first).at[:, 0].set(is_first[:, 0])
        if self.config.reset == "exact":
            return is_first, is_first
        if self.config.reset == "none":
            return start, start
        early = jnp.concatenate([is_first[:, 1:-1], jnp.zeros_like(is_first[:, :1]), is_first[:, -1:]], 1)
        return early.at[:, 0].set(is_first[:, 0] | early[:, 0]), start


def _draw(key: jax.Array | None, probs: jax.Array) -> jax.Array:
    """Return a one-hot sample of each latent or, without a key, its most likely class."""
    return dist.mode_one_hot(probs) if key is None else dist.sample_one_hot(key, probs)
