"""Environments that are JAX programs, behind one interface: gymnax 1.0's `Environment`.

    import envs

    env, params = envs.make("popgym/RepeatPreviousEasy")
    obs, state = env.reset(key, params)
    obs, state, reward, terminated, truncated, info = env.step(key, state, action, params)

Nothing here depends on the agent: any trainer that speaks gymnax can use these environments. Importing this package
imports neither JAX nor any environment; a suite is imported when one of its ids is asked for.
"""

from envs.registry import make, register, registered

__all__ = ["make", "register", "registered"]
