"""The environments of gymnax 1.0.1 (Lange 2022) that run without a download: `gymnax/<gymnax's own id>`.

Each is gymnax's own, step for step, with what is wrong or loose in it mended: `envs.gymnax_suite.game` says what is
mended in all of them, the docstring of a game what is mended in it. `...-Masked` are games whose velocities are not
shown, so that where it was has to be remembered. The ports of bsuite are kept as gymnax plays them; the faithful
ones are `bsuite/*`.
"""

from envs.registry import Lazy, leave_out, register

# Module -> class -> gymnax's id.
_GAMES = {
    "classic_control": {
        "CartPole": "CartPole-v1",
        "Pendulum": "Pendulum-v1",
        "Acrobot": "Acrobot-v1",
        "MountainCar": "MountainCar-v0",
        "MountainCarContinuous": "MountainCarContinuous-v0",
    },
    "minatar": {
        "Asterix": "Asterix-MinAtar",
        "Breakout": "Breakout-MinAtar",
        "Freeway": "Freeway-MinAtar",
        "Seaquest": "Seaquest-MinAtar",
        "SpaceInvaders": "SpaceInvaders-MinAtar",
    },
    "bsuite": {
        "Catch": "Catch-bsuite",
        "DeepSea": "DeepSea-bsuite",
        "MemoryChain": "MemoryChain-bsuite",
        "UmbrellaChain": "UmbrellaChain-bsuite",
        "DiscountingChain": "DiscountingChain-bsuite",
        "SimpleBandit": "SimpleBandit-bsuite",
    },
    "misc": {
        "FourRooms": "FourRooms-misc",
        "MetaMaze": "MetaMaze-misc",
        "BernoulliBandit": "BernoulliBandit-misc",
        "GaussianBandit": "GaussianBandit-misc",
        "PointRobot": "PointRobot-misc",
        "Reacher": "Reacher-misc",
        "Swimmer": "Swimmer-misc",
        "Pong": "Pong-misc",
        "FrozenLake": "FrozenLake-misc",
    },
}

IDS = tuple(env_id for games in _GAMES.values() for env_id in games.values())
MASKED = tuple(f"{env_id}-Masked" for env_id in _GAMES["classic_control"].values())

for _module, _games in _GAMES.items():
    for _name, _env_id in _games.items():
        register(f"gymnax/{_env_id}", Lazy(f"{__name__}.{_module}:{_name}"))
for _name, _env_id in _GAMES["classic_control"].items():
    register(f"gymnax/{_env_id}-Masked", Lazy(f"{__name__}.classic_control:{_name}", {"masked": True}))
leave_out("gymnax/MNISTBandit-bsuite", "it downloads its images when it is made")
