"""NoisyPositionOnlyPendulum against the original."""

from tests.envs.families.control import feed_noise, noise_draws, pendulum_family

FAMILY = pendulum_family("NoisyPositionOnlyPendulum", draws=noise_draws, feed=feed_noise)
