"""Filming a run's agent while it trains: one episode as an animated GIF, beside what the world model makes of it.

Nothing here imports JAX before a run needs it.
"""

import math
from pathlib import Path
from typing import Any

CONTEXT = 50  # steps that a world model sees before it predicts, unless told otherwise
MOST_STEPS = 500  # of a filmed episode, which is cut there
_MOST_FRAMES = 250


class Filmer:
    """Draws episodes of the members of one run. Its programs are compiled once."""

    def __init__(self, trainer: Any, seed: int) -> None:
        """Prepare to film.

        Args:
          trainer: the run's Trainer.
          seed: the run's root seed.
        """
        import jax

        from envs.episodes import longest_episode
        from experiments.drawing import film, scene

        self._trainer, self._seed = trainer, seed
        env, params = trainer.env, trainer.env_params
        self._images = scene.is_image(env, params)
        self._steps = min(longest_episode(env, params) or MOST_STEPS, MOST_STEPS)
        self._context = max(1, min(CONTEXT, self._steps // 2))
        self._fps = film.frames_per_second(env, params)
        self._member = jax.jit(lambda agents, index: jax.tree.map(lambda leaf: leaf[index], agents))
        self._plays: dict[int, Any] = {}  # by the number of the setting that is played

    def __call__(self, state: Any, member: int, row: dict[str, Any], path: Path) -> None:
        """Film one member.

        Args:
          state: of all members; it is not changed.
          member: which of them.
          row: its metrics, with its environment step.
          path: the GIF file.
        """
        import jax
        import numpy as np

        from experiments.drawing import film, pictures, scene
        from experiments.running import distributed
        from experiments.running.evaluation import FILMED, evaluation_key
        from r2i_jit import recording
        from r2i_jit.metrics import STEP, identity

        trainer, env = self._trainer, self._trainer.env
        number = trainer.settings.number(row.get("env"))
        params = trainer.settings.params[number]
        # By way of the host, so that the programs are for one device wherever the members are.
        agents = distributed.fetched(trainer, state, "seeds.agent")
        agent_state = jax.tree.map(np.asarray, self._member(agents, np.int32(member)))
        key = jax.random.fold_in(evaluation_key(self._seed, FILMED, row[STEP]), member)
        if number not in self._plays:
            greedy = trainer.config.loop.evaluation_greedy
            policy = recording.agent_policy(trainer.agent, env, params, agent_state, greedy=greedy)
            self._plays[number] = recording.program(env, params, policy, 1, self._steps)
        played = scene.on_host(self._plays[number](agent_state, key))
        (episode,) = recording.separate(played)
        length = len(episode.action)
        style = film.Style(every=max(1, math.ceil(length / _MOST_FRAMES)), context=self._context)
        title = f"{row.get('env', trainer.config.env)} | {identity(row)} at step {row[STEP]:,}"
        frames = film.episode_frames(title, env, params, episode, style)
        if self._images:
            # Of all steps, those after the episode included: episodes of any length are one program.
            whole = jax.tree.map(lambda leaf: leaf[:, 0], played)
            images = film.account(trainer.agent, agent_state, whole, self._context, None)
            accounts = film.account_frames(title, env, params, episode, images[:length], style)
            frames = film.beside(frames, accounts)
        pictures.save_gif(list(frames), path, self._fps)


def filmer(trainer: Any, info: Any) -> Filmer:
    """Return what films a run, given its Trainer and RunInfo."""
    return Filmer(trainer, info.seed)
