"""The environments of brax 0.14 (Freeman et al. 2021, arXiv 2106.13281): `brax/<its name>`.

They run in the package itself, which is an extra of this one: `envs.adapters.brax`. The names are written down here, so
that listing them imports nothing.
"""

from envs.extras import register_extra
from envs.registry import leave_out

EXTRA = "pip install 'r2i-jit[brax]'"
LIMIT = 1_000  # steps of an episode: that of brax's own training (training/agents/*/train.py, episode_length)
NAMES = (
    *("ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "inverted_double_pendulum", "inverted_pendulum"),
    *("pusher", "reacher", "swimmer", "walker2d"),
)
# On brax's backend of springs, faster to compile and to run than `generalized`, on which the others are.
SPRING = ("ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "walker2d")

register_extra("brax", NAMES, target="envs.adapters.brax:named", package="brax", install=EXTRA)
leave_out("brax/fast", "it has no physics: it is brax's stand-in for its own tests")
