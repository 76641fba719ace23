"""DeepMind's control suite by MuJoCo Playground 0.2 (arXiv 2502.08844): `dmc/<domain>_<task>`, as dm_control says.

They run in the package itself, which is an extra of this one: `envs.adapters.playground`. The names are written down
here, so that listing them imports nothing.
"""

from envs.extras import register_extra
from envs.registry import register_alias

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

register_extra("dmc", NAMES, target="envs.adapters.playground:named", package="mujoco_playground", install=EXTRA)
register_alias("dmc/cup_catch", "dmc/ball_in_cup_catch")  # as DreamerV3 and R2I call it
