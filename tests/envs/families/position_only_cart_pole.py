"""PositionOnlyCartPole against the original."""

from tests.envs.families.control import cart_pole_family

FAMILY = cart_pole_family("PositionOnlyCartPole")
