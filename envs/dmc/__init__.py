"""DeepMind's control suite by MuJoCo Playground 0.2 (arXiv 2502.08844): `dmc/<domain>_<task>`, as dm_control says.

They run in the package itself, which is an extra of this one: `envs.adapters.playground`. The names are written down
here, so that listing them imports nothing.
"""

from importlib.util import find_spec
from typing import Any

from envs.registry import Lazy, register, register_alias

EXTRA = "pip install 'r2i-jit[dmc]', or what docs/dmc.md says"
REPEAT = 2  # control steps with the same action: DreamerV3's and R2I's
LIMIT = 1_000 // REPEAT  # steps of an episode
# dm_control's domain and task -> Playground's name.
NAMES = {
    "acrobot_swingup": "AcrobotSwingup",
    "acrobot_swingup_sparse": "AcrobotSwingupSparse",
    "ball_in_cup_catch": "BallInCup",
    "cartpole_balance": "CartpoleBalance",
    "cartpole_balance_sparse": "CartpoleBalanceSparse",
    "cartpole_swingup": "CartpoleSwingup",
    "cartpole_swingup_sparse": "CartpoleSwingupSparse",
    "cheetah_run": "CheetahRun",
    "finger_spin": "FingerSpin",
    "finger_turn_easy": "FingerTurnEasy",
    "finger_turn_hard": "FingerTurnHard",
    "fish_swim": "FishSwim",
    "hopper_hop": "HopperHop",
    "hopper_stand": "HopperStand",
    "humanoid_run": "HumanoidRun",
    "humanoid_stand": "HumanoidStand",
    "humanoid_walk": "HumanoidWalk",
    "pendulum_swingup": "PendulumSwingup",
    "point_mass_easy": "PointMass",
    "reacher_easy": "ReacherEasy",
    "reacher_hard": "ReacherHard",
    "swimmer_swimmer6": "SwimmerSwimmer6",
    "walker_run": "WalkerRun",
    "walker_stand": "WalkerStand",
    "walker_walk": "WalkerWalk",
}


def installed() -> bool:
    """Return whether the package is."""
    return find_spec("mujoco_playground") is not None


def made(name: str) -> Any:
    """Return the environment of a domain and task.

    Raises:
      ValueError: if the package, or one that it needs, is not installed.
    """
    try:
        return Lazy("envs.adapters.playground:named", {"name": name})()
    except ModuleNotFoundError as error:
        raise ValueError(
            f"environment 'dmc/{name}' needs the package {error.name!r}, which is not installed: {EXTRA}"
        ) from error


for _name in NAMES:
    register(f"dmc/{_name}", Lazy(f"{__name__}:made", {"name": _name}), available=installed)
register_alias("dmc/cup_catch", "dmc/ball_in_cup_catch")  # as DreamerV3 and R2I call it
