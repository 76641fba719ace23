"""Record rlax's terms of PPO's loss, for `tests/unit/test_ppo.py`: `python record_rlax.py`.

Needs rlax 0.1.9, and nothing of this project. Saved are random logits, actions, earlier logits, rewards, discounts and
values of a few sequences, rlax's generalised advantages of them, and the value and the gradients of each term.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import rlax

SEQUENCES, STEPS, ACTIONS = 3, 11, 4
TRACE, CLIP = 0.9, 0.2
OUT = pathlib.Path(__file__).with_name("rlax.json")


def main():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    logits, earlier = draw(SEQUENCES, STEPS, ACTIONS), draw(SEQUENCES, STEPS, ACTIONS)
    earlier = logits + 0.3 * earlier  # near enough for some of the ratios not to be cut
    action = rng.integers(0, ACTIONS, (SEQUENCES, STEPS))
    reward, value, now = draw(SEQUENCES, STEPS), draw(SEQUENCES, STEPS + 1), draw(SEQUENCES, STEPS)
    discount = np.where(rng.random((SEQUENCES, STEPS)) < 0.2, 0.0, 0.97).astype(np.float32)
    trace = lambda r, d, v: rlax.truncated_generalized_advantage_estimation(r, d, TRACE, v)
    advantage = jax.vmap(trace)(reward, discount, value)
    chosen = lambda logits: jnp.take_along_axis(jax.nn.log_softmax(logits), action[..., None], -1)[..., 0]
    scaled = (advantage - advantage.mean()) / advantage.std()
    flat = lambda x: jnp.reshape(x, (-1, *x.shape[2:]))

    def policy(logits):
        ratio = jnp.exp(chosen(logits) - chosen(earlier))
        return rlax.clipped_surrogate_pg_loss(flat(ratio), flat(scaled), CLIP)

    def entropy(logits):
        return rlax.entropy_loss(flat(logits), jnp.ones(SEQUENCES * STEPS))

    def critic(now):
        return jnp.mean(rlax.l2_loss(now, advantage + value[:, :-1]))

    terms = {"policy": (policy, logits), "entropy": (entropy, logits), "critic": (critic, now)}
    found = {"trace": TRACE, "clip": CLIP, "logits": logits, "earlier": earlier, "action": action, "reward": reward}
    found |= {"discount": discount, "value": value, "now": now, "advantage": advantage}
    for name, (term, at) in terms.items():
        found[name], found[f"{name}_gradient"] = jax.value_and_grad(term)(at)
    plain = lambda x: x if isinstance(x, float) else np.asarray(x).astype(float).round(8).tolist()
    lines = [f" {json.dumps(name)}: {json.dumps(plain(value))}" for name, value in found.items()]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
