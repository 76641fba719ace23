"""The world model trained alone, on replay of random play: what `recall` and `pictures` have in common."""

import jax
from jax import Array

from r2i_jit import Config, Trainer
from r2i_jit.agent import AgentState
from r2i_jit.model_loss import Batch


class Alone:
    """A world model, the replay it learns from, and as much random play that it never sees."""

    def __init__(self, config: Config, seed: int, every: int):
        """Play at random.

        Args:
          config: of a run; `replay.prefill` says how much is played.
          seed: of the play, the parameters and the batches.
          every: updates of one `train`.
        """
        self.trainer = Trainer(config)
        self.agent_state: AgentState = self.play(jax.random.key(seed))
        self._every, self._key, self._calls = every, jax.random.key(seed + 7), 0
        self._updates = jax.jit(self._make_updates, donate_argnums=0)

    def play(self, key: Array) -> AgentState:
        """Fill both replays with new random play; returns an untrained agent."""
        state = self.trainer.init(jax.random.split(key, 2))
        self.written = state.written
        first, second = (jax.tree.map(lambda x, i=i: x[i], state.seeds) for i in range(2))
        self.replay, self.fresh, self.hypers = first.replay, second.replay, first.hypers
        return first.agent

    def train(self) -> dict[str, Array]:
        """Make `every` updates; returns their metrics, the mean over the second half."""
        key = jax.random.fold_in(self._key, self._calls)
        self._calls += 1
        self.agent_state, metrics = self._updates(self.agent_state, self.replay, self.written, key)
        return metrics

    def sample(self, replay, key: Array) -> Batch:
        """Draw a batch as training does."""
        return self.trainer._sample(replay, self.written, key)

    def _make_updates(self, agent_state, replay, written, key):
        def update(agent_state, key):
            key_sample, key_update = jax.random.split(key)
            batch = self.trainer._sample(replay, written, key_sample)
            agent_state, _, metrics = self.trainer.agent._update_model(agent_state, batch, self.hypers, key_update)
            return agent_state._replace(updates=agent_state.updates + 1), metrics

        agent_state, metrics = jax.lax.scan(update, agent_state, jax.random.split(key, self._every))
        return agent_state, jax.tree.map(lambda x: x[-self._every // 2 :].mean(), metrics)
