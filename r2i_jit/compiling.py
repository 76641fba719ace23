"""With which compiler options programs are compiled."""

import functools
import os

import jax

from r2i_jit.config import Config

Options = dict[str, bool | int | str]

# Whether XLA's fusion emitters can be turned off on CPU (docs/decisions/011). The option is known to exist up to JAX
# 0.10, and XLA refuses what it does not know.
EMITTERS_ARE_OPTIONAL = jax.__version_info__ < (0, 11)

# XLA:CPU hands some matrix products to a library of kernels, with what surrounds them; an empty list keeps them all.
_OWN_PRODUCTS: Options = {"xla_cpu_experimental_ynn_fusion_type": ""}
_MANY_IMAGINED = 2**20  # numbers in the latents of one imagined step, above which those kernels are the faster ones
_WIDE = 512

# XLA:GPU tries many ways to compute each of some hundred matrix products: minutes, where all else is compiled in one.
_NO_TRIALS: Options = {"xla_gpu_enable_triton_gemm": False, "xla_gpu_autotune_level": 0}


def quick() -> Options:
    """Return compiler options, for `jax.jit`, that compile soon and do not optimise.

    On CPU, for a program that runs for less time than it takes to optimise; on a GPU what `loop` has. The values are
    the same up to float reassociation.
    """
    if jax.default_backend() != "cpu":
        return _on_gpu()
    emitters: Options = {"xla_cpu_use_fusion_emitters": False} if EMITTERS_ARE_OPTIONAL else {}
    return {"xla_backend_optimization_level": 0, **emitters}


def loop(config: Config, images: bool, latent: int) -> Options:
    """Return compiler options, for `jax.jit`, with which a training loop of this size runs fastest.

    On a GPU, those without which it is compiled for minutes. See docs/decisions/016-compiler-options.md.

    Args:
      config: its batch, model and imagination sizes.
      images: whether observations are images.
      latent: numbers in a latent z; 0 without a world model.
    """
    if jax.default_backend() != "cpu":
        return _on_gpu()
    model, starts = config.model, config.behavior.imagination_starts
    tokens = config.replay.batch_size * config.replay.sequence_length
    imagined = (starts or tokens) * latent
    width = max(model.units, model.deter_size) if latent else model.units
    small = not images and width < _WIDE and imagined < _MANY_IMAGINED
    return _known(_OWN_PRODUCTS) if small else {}


def _on_gpu() -> Options:
    """Return the options for a GPU, none if the user has chosen a level of trials in XLA_FLAGS."""
    chosen = "xla_gpu_autotune_level" in os.environ.get("XLA_FLAGS", "")
    return {} if chosen or jax.default_backend() != "gpu" else _known(_NO_TRIALS)


def _known(options: Options) -> Options:
    """Return those of the options that this XLA knows: it refuses others, and these come and go with its versions."""
    return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name: str, value: bool | int | str) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
