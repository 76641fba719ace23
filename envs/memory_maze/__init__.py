"""Memory Maze (Pasukonis et al. 2022, arXiv 2210.13383) without MuJoCo: `memory_maze/<9x9|11x11|13x13|15x15>`.

With `-rays` after the size, what the agent sees is not a picture but what 32 rays meet, and how far away.

`layout` draws mazes, `motion` moves the agent, `render` draws what it sees, `task` asks and pays; `environment` puts
them together.
"""

from envs.registry import Lazy, register

for _size in (9, 11, 13, 15):
    register(f"memory_maze/{_size}x{_size}", Lazy(f"{__name__}.environment:MemoryMaze", {"size": _size}))
for _size in (9, 11, 13, 15):
    _rays = {"size": _size, "observation": "rays"}
    register(f"memory_maze/{_size}x{_size}-rays", Lazy(f"{__name__}.environment:MemoryMaze", _rays))
