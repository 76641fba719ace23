"""PositionOnlyPendulum against the original."""

from tests.envs.families.control import pendulum_family

FAMILY = pendulum_family("PositionOnlyPendulum")
