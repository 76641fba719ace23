"""NoisyPositionOnlyCartPole: balance a pole by inexact readings of where things are.

Ref: popgym/envs/noisy_position_only_cartpole.py (1.0.7).
"""

from envs.popgym.control import Noisy
from envs.popgym.position_only_cart_pole import PositionOnlyCartPole


class NoisyPositionOnlyCartPole(Noisy, PositionOnlyCartPole):
    """PositionOnlyCartPole with Gaussian noise on both numbers at every observation.

    Quirk kept from the original: the same noise is added to metres and to radians, and then clipped to the limits of
    the observation, so that at a size of 0.3 and under random play 19 % of the angles read are one of the two limits.
    Whether the pole has fallen does not depend on what is read.

    Observation: position of the cart in m and angle of the pole in radians, disturbed, float32 (2,).
    """
