"""A trainer's compiled programs: each once per number of seeds, spread over devices, several compiled at once."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from r2i_jit import spreading
from r2i_jit.compiling import Options


class Program(NamedTuple):
    """A function of arrays with a leading axis of seeds, and how it is compiled.

    Attributes:
      function: pure.
      given: how its arguments are spread over devices.
      returned: the same of its results.
      options: for the compiler.
      donated: positions of the arguments whose memory it may reuse.
    """

    function: Callable
    given: Any
    returned: Any
    options: Options
    donated: tuple[int, ...] = ()


class Programs:
    """Jitted and compiled programs by name and number of seeds."""

    def __init__(self, devices: Sequence[jax.Device], axis: str, each: int = 1) -> None:
        """Spread `axis` over `devices` in equal shares, each on `each` of them."""
        self._devices, self._axis, self._each = list(devices), axis, each
        self._jitted: dict[tuple[Any, int], Any] = {}
        self._compiled: dict[tuple[Any, int], Any] = {}

    def mesh(self, num_seeds: int) -> Mesh | None:
        """Return the devices that this many seeds are spread over, None for the one that JAX takes anyway."""
        return spreading.make_mesh(self._devices, num_seeds, self._axis, self._each)

    def devices_for(self, num_seeds: int) -> int:
        """Return on how many devices this many seeds are trained."""
        return len(spreading.fitting(self._devices, num_seeds, self._each))

    def jitted(self, name: Any, num_seeds: int, program: Program) -> Any:
        """Return a program jitted; with several devices each runs it on its share."""
        key = name, num_seeds
        if key not in self._jitted:
            function = spreading.spread(program.function, self.mesh(num_seeds), program.given, program.returned)
            self._jitted[key] = jax.jit(
                function, donate_argnums=program.donated, compiler_options=program.options or None
            )
        return self._jitted[key]

    def get(self, name: Any, num_seeds: int) -> Any:
        """Return a program that `compile` has compiled, or None."""
        return self._compiled.get((name, num_seeds))

    def compile(self, wanted: dict[Any, tuple[Program, tuple]], num_seeds: int) -> float:
        """Compile programs at the same time, those that are not compiled yet.

        Args:
          wanted: name -> (program, shapes of its arguments).
          num_seeds: how many.

        Returns:
          The seconds it took, 0 if there was nothing to do.
        """
        begin = time.perf_counter()
        missing = [name for name in wanted if (name, num_seeds) not in self._compiled]
        if not missing:
            return 0.0
        lowered = [self.jitted(name, num_seeds, wanted[name][0]).lower(*wanted[name][1]) for name in missing]
        with ThreadPoolExecutor(len(missing)) as pool:
            for name, compiled in zip(missing, pool.map(lambda program: program.compile(), lowered), strict=True):
                self._compiled[name, num_seeds] = compiled
        return time.perf_counter() - begin
