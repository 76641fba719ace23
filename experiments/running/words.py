"""What the processes of one run say to each other, by the store of words that `jax.distributed` keeps for them."""

import functools
import json
from typing import Any

_LOOKS = 200  # milliseconds for which one word is waited for
_ORDERS, _DONE = "r2i/orders", "r2i/done"


class Words:
    """JSON values under names, each said once, and orders of the first process to the others.

    Attributes:
      again: what a command line needs to go on with as many processes.
    """

    def __init__(self) -> None:
        from jax._src import distributed  # no public name has the store

        self._client: Any = distributed.global_state.client
        self._orders = 0
        self.again = ""

    def say(self, name: str, value: Any) -> None:
        """Say a value; a name is used once."""
        self._client.key_value_set(name, json.dumps(value))

    def heard(self, name: str) -> Any:
        """Return what was said under a name, having waited for a moment; None if nothing was."""
        import jax

        try:
            return json.loads(self._client.blocking_key_value_get(name, _LOOKS))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" in str(error):
                return None
            raise

    def all(self, name: str) -> list[Any]:
        """Return what was said under all names below one."""
        return [json.loads(text) for _, text in self._client.key_value_dir_get(name)]

    def order(self, what: str, given: dict[str, Any]) -> None:
        """Tell the other processes what to do, once all have done what they were told before.

        So they do it at the same time: who exchanges something on processors waits half a minute for the others, and
        one may compile what another has in its cache.
        """
        import jax

        for other in range(1, jax.process_count()) if self._orders else ():
            while self.heard(f"{_DONE}/{self._orders - 1}/{other}") is None:
                pass
        self.say(f"{_ORDERS}/{self._orders}", [what, given])
        self._orders += 1

    def next_order(self) -> Any:
        """Return what to do next, [what, given], having waited for a moment; None if nothing is to be done yet."""
        return self.heard(f"{_ORDERS}/{self._orders}")

    def done(self) -> None:
        """Say that this process has done what it was told."""
        import jax

        self.say(f"{_DONE}/{self._orders}/{jax.process_index()}", True)
        self._orders += 1


@functools.cache
def ours() -> Words:
    """Return the words of the run that this process is of."""
    return Words()
