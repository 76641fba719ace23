"""Which environments stand for all of them where a test looks at each: bsuite has hundreds of settings of few games.

Of xminigrid's, which are the package's own, there are three: one of each size of what is seen. Those that need an extra
which tests do without are looked at in files of their own (`just test-extras`).
"""

import envs
from envs.bsuite import ALIASES

_EXTRAS = ("brax/", "dmc/", "atari/", "craftax/")
_XMINIGRID = tuple(f"xminigrid/{name}" for name in ("MiniGrid-MemoryS8", "MiniGrid-Unlock", "XLand-MiniGrid-R1-9x9"))


def distinct(each: int = 1) -> list[str]:
    """Return the registered ids; of an experiment of bsuite the first one only, or with `each` 2 the last one too."""
    listed = [
        env_id
        for env_id in envs.registered()
        if not env_id.startswith(("xminigrid/", *_EXTRAS)) or env_id in _XMINIGRID
    ]
    numbers: dict[str, list[str]] = {}
    for env_id in listed:
        if env_id.startswith("bsuite/"):
            numbers.setdefault(env_id.rpartition("/")[0], []).append(env_id)
    ends = {env_id for found in numbers.values() for env_id in (found[0], found[-1])[:each]}
    others = [env_id for env_id in listed if not env_id.startswith("bsuite/")]
    return others + sorted(ends - set(ALIASES))
