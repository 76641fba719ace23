"""Record what dm_control's tasks do, for `tests/envs/test_dmc.py`: `python record_dm_control.py`.

Needs dm_control 1.0.50 with MuJoCo 3.17.0, and nothing of this project. Of each task that MuJoCo Playground has, too,
one episode is played, its first 100 steps, with actions that change smoothly. Saved are, before each step, coordinates,
the target's place where there is one, and what is observed; and each step's action and reward.
"""

import pathlib

import numpy as np
from dm_control import suite

TASKS = (
    *(
        "acrobot/swingup",
        "acrobot/swingup_sparse",
        "ball_in_cup/catch",
        "cartpole/balance",
        "cartpole/balance_sparse",
        "cartpole/swingup",
    ),
    *("cartpole/swingup_sparse", "cheetah/run", "finger/spin", "finger/turn_easy", "finger/turn_hard", "hopper/hop"),
    *("fish/swim", "humanoid/run", "humanoid/stand", "humanoid/walk", "point_mass/easy", "swimmer/swimmer6"),
    *("hopper/stand", "pendulum/swingup", "reacher/easy", "reacher/hard", "walker/run", "walker/stand", "walker/walk"),
)
STEPS = 100
OUT = pathlib.Path(__file__).with_name("dm_control.npz")


def target(physics, domain):
    """Return where the target is, in world coordinates, or nothing where it is not drawn anew in each episode."""
    if domain in ("reacher", "fish", "swimmer"):
        return physics.named.data.geom_xpos["target"].copy()
    if domain == "finger" and "target" in physics.named.data.site_xpos.axes.row.names:
        return physics.named.data.site_xpos["target"].copy()
    return np.zeros(0)


def main():
    saved = {}
    for number, task in enumerate(TASKS):
        domain, name = task.split("/")
        env = suite.load(domain, name, task_kwargs={"random": number})
        rng = np.random.default_rng(number)
        step, physics = env.reset(), env.physics
        rows, action = (
            {"qpos": [], "qvel": [], "obs": [], "action": [], "reward": []},
            np.zeros(env.action_spec().shape),
        )
        saved[f"{domain}_{name}/names"] = np.array(
            [f"{key}:{np.size(value)}" for key, value in step.observation.items()]
        )
        saved[f"{domain}_{name}/target"] = target(physics, domain).astype(np.float32)
        for index in range(STEPS + 1):
            rows["qpos"].append(physics.data.qpos.copy())
            rows["qvel"].append(physics.data.qvel.copy())
            rows["obs"].append(np.concatenate([np.ravel(value) for value in step.observation.values()]))
            if index < STEPS:
                action = np.clip(0.8 * action + 0.6 * rng.normal(size=action.shape), -1, 1)
                step = env.step(action)
                rows["action"].append(action)
                rows["reward"].append(step.reward)
        saved.update({f"{domain}_{name}/{key}": np.array(values, np.float32) for key, values in rows.items()})
    np.savez_compressed(OUT, **saved)


if __name__ == "__main__":
    main()
