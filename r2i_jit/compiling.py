"""With which compiler options programs are compiled."""

import functools

import jax

from r2i_jit.config import Config

# Whether XLA's fusion emitters can be turned off on CPU (docs/decisions/011). The option is known to exist up to JAX
# 0.10, and XLA refuses what it does not know.
EMITTERS_ARE_OPTIONAL = jax.__version_info__ < (0, 11)


def quick() -> dict[str, bool | int]:
    """Return compiler options, for `jax.jit`, that compile soon and do not optimise; none where there is no need.

    On CPU, for a program that runs for less time than it takes to optimise. The values are the same up to float
    reassociation.
    """
    if jax.default_backend() != "cpu":
        return {}
    emitters: dict[str, bool | int] = {"xla_cpu_use_fusion_emitters": False} if EMITTERS_ARE_OPTIONAL else {}
    return {"xla_backend_optimization_level": 0, **emitters}


# XLA:CPU hands some matrix products to a library of kernels, with what surrounds them; an empty list keeps them all.
_OWN_PRODUCTS: dict[str, bool | int | str] = {"xla_cpu_experimental_ynn_fusion_type": ""}
_MANY_IMAGINED = 2**20  # numbers in the latents of one imagined step, above which those kernels are the faster ones
_WIDE = 512


def loop(config: Config, images: bool) -> dict[str, bool | int | str]:
    """Return compiler options, for `jax.jit`, with which a training loop of this size runs fastest.

    See docs/decisions/016-small-products-on-cpu.md.

    Args:
      config: its batch, model and imagination sizes.
      images: whether observations are images.
    """
    model, starts = config.model, config.behavior.imagination_starts
    tokens = config.replay.batch_size * config.replay.sequence_length
    imagined = (starts or tokens) * model.stoch * model.classes
    small = not images and max(model.units, model.deter) < _WIDE and imagined < _MANY_IMAGINED
    return _OWN_PRODUCTS if small and jax.default_backend() == "cpu" and _is_known() else {}


@functools.cache
def _is_known() -> bool:
    """Return whether this XLA knows the option: it is an experimental one, and XLA refuses what it does not know."""
    try:
        jax.jit(lambda: 0, compiler_options=_OWN_PRODUCTS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
