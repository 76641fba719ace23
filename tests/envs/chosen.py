"""Which environments stand for all of them where a test looks at each: bsuite has hundreds of settings of few games."""

import envs
from envs.bsuite import ALIASES


def distinct(each: int = 1) -> list[str]:
    """Return the registered ids; of an experiment of bsuite the first one only, or with `each` 2 the last one too."""
    numbers: dict[str, list[str]] = {}
    for env_id in envs.registered():
        if env_id.startswith("bsuite/"):
            numbers.setdefault(env_id.rpartition("/")[0], []).append(env_id)
    ends = {env_id for found in numbers.values() for env_id in (found[0], found[-1])[:each]}
    others = [env_id for env_id in envs.registered() if not env_id.startswith("bsuite/")]
    return others + sorted(ends - set(ALIASES))
