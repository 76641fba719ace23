"""How programs that run once are compiled."""

import jax

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
