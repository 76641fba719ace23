"""NoisyPositionOnlyPendulum: swing up a pendulum by inexact readings of its angle.

Ref: popgym/envs/noisy_position_only_pendulum.py (1.0.7).
"""

from envs.popgym.control import Noisy
from envs.popgym.position_only_pendulum import PositionOnlyPendulum


class NoisyPositionOnlyPendulum(Noisy, PositionOnlyPendulum):
    """PositionOnlyPendulum with Gaussian noise on both numbers at every observation.

    Quirk kept from the original: cosine and sine are disturbed one by one and then clipped to [-1, 1], so a reading
    need not lie on the unit circle.

    Observation: cosine and sine of the angle, disturbed, float32 (2,).
    """
