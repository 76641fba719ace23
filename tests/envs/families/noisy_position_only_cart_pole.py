"""NoisyPositionOnlyCartPole against the original."""

from tests.envs.families.control import cart_pole_family, feed_noise, noise_draws

FAMILY = cart_pole_family("NoisyPositionOnlyCartPole", draws=noise_draws, feed=feed_noise)
