"""From a continuous diagonal system x' = lambda x + b u to x_t = lambda_bar x_{t-1} + b_bar u_t."""

import jax
import jax.numpy as jnp


def bilinear(eigenvalues: jax.Array, dt: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Discretise by the trapezoid rule.

    lambda_bar = (1 + dt/2 lambda) / (1 - dt/2 lambda), b_bar = dt / (1 - dt/2 lambda) * b.

    Args:
      eigenvalues: (P,) complex.
      dt: (P,) step, in the model's unit of time per environment step.

    Returns:
      (lambda_bar (P,), gain (P,)) with b_bar = gain * b.
    """
    as_complex = lambda x: x.astype(eigenvalues.dtype)
    inverse = 1.0 / (1.0 - as_complex(0.5 * dt) * eigenvalues)
    return inverse * (1.0 + as_complex(0.5 * dt) * eigenvalues), inverse * as_complex(dt)


def zero_order_hold(eigenvalues: jax.Array, dt: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Discretise with the input held constant over a step.

    lambda_bar = exp(lambda dt), b_bar = (lambda_bar - 1) / lambda * b.

    Args:
      eigenvalues: (P,) complex, none of them zero.
      dt: (P,) step.

    Returns:
      (lambda_bar (P,), gain (P,)) with b_bar = gain * b.
    """
    lambda_bar = jnp.exp(eigenvalues * dt.astype(eigenvalues.dtype))
    return lambda_bar, (lambda_bar - 1.0) / eigenvalues


METHODS = {"bilinear": bilinear, "zoh": zero_order_hold}
