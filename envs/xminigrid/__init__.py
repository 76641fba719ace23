"""The environments of XLand-MiniGrid 0.9 (Nikulin et al. 2024, arXiv 2312.12044): `xminigrid/<its id>`.

They run in the package itself, which is an extra of this one: `envs.adapters.xminigrid`. The ids are written down here,
so that listing them imports nothing.
"""

from envs.extras import register_extra

EXTRA = "pip install 'r2i-jit[xminigrid]'"
# Rooms -> sides of the grid.
_XLAND = {
    "R1": (9, 11, 13, 15, 17),
    "R2": (9, 11, 13, 15, 17),
    "R4": (9, 11, 13, 15, 17),
    "R6": (13, 17, 19),
    "R9": (16, 19, 25),
}
_MINIGRID = (
    *(f"DoorKey-{side}x{side}" for side in (5, 6, 8, 16)),
    *(f"{name}-{side}x{side}" for name in ("Empty", "EmptyRandom") for side in (5, 6, 8, 16)),
    *(f"MemoryS{width}" for width in (8, 16, 32, 64, 128)),
    *("BlockedUnlockPickUp", "FourRooms", "LockedRoom", "Playground", "Unlock", "UnlockPickUp"),
)
# The package's own ids.
NAMES = (
    *(f"MiniGrid-{name}" for name in _MINIGRID),
    *(f"XLand-MiniGrid-{rooms}-{side}x{side}" for rooms, sides in _XLAND.items() for side in sides),
)
# What the numbers of an observation stand for.
TILES = (
    *("empty", "floor", "wall", "ball", "square", "pyramid", "goal", "key"),
    *("locked door", "closed door", "open door", "hexagon", "star"),
)
COLORS = ("none", "red", "green", "blue", "purple", "yellow", "grey", "black", "orange", "white", "brown", "pink")

register_extra("xminigrid", NAMES, target="envs.adapters.xminigrid:named", package="xminigrid", install=EXTRA)
