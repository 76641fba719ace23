"""Names for environments: `make(id)` builds one, `register(id, factory)` adds one.

An id is `suite/Name`; or `package.module:Name`, which is imported when it is asked for and needs no registering. The
suites that come with the package are listed in `_SUITES` and imported on first use, so that importing `envs` costs
nothing and a suite whose optional dependency is missing does not stand in the way of the others.
"""

import contextlib
import difflib
import functools
import importlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envs import faults

if TYPE_CHECKING:
    from gymnax.environments.environment import Environment, EnvParams

Factory = Callable[[], Any]

# Suite -> the module that registers its environments when it is imported.
_SUITES = {
    "popgym": "envs.popgym",
    "memory_maze": "envs.memory_maze",
    "bsuite": "envs.bsuite",
    "xminigrid": "envs.xminigrid",
    "gymnax": "envs.gymnax_suite",
    "brax": "envs.brax",
    "dmc": "envs.dmc",
    "craftax": "envs.craftax",
    "atari": "envs.atari",
}


# What the loop asks of a gymnax 1.0 environment.
_NEEDED = ("reset_env", "step_env", "is_truncated", "observation_space", "action_space")
_OURS = ("envs", "experiments", "r2i_jit")
_DIGITS = 9  # of the number in an id at most: it is to fit into 32 bits


def _always() -> bool:
    return True


@dataclass(frozen=True)
class _Entry:
    factory: Factory
    reward_scale: float
    available: Callable[[], bool] = _always


_entries: dict[str, _Entry] = {}
_left_out: dict[str, str] = {}
_experiments: dict[str, "_Experiment"] = {}
_numbered: dict[str, Callable[[int], Factory]] = {}
_aliases: dict[str, str] = {}
_loaded: set[str] = set()


@dataclass(frozen=True)
class _Experiment:
    numbers: int  # of its settings
    one_program: bool


@dataclass(frozen=True)
class Lazy:
    """A factory that imports its class only when it is called.

    Attributes:
      target: `package.module:ClassName`.
      kwargs: what the class is constructed with.
    """

    target: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> "Environment":
        """Import the class and construct it."""
        module, name = self.target.split(":")
        return getattr(importlib.import_module(module), name)(**self.kwargs)


def register(
    env_id: str, factory: Factory, *, reward_scale: float = 1.0, available: Callable[[], bool] = _always
) -> None:
    """Make an environment available under `env_id`.

    Args:
      env_id: `suite/Name`; the suite may be a new one.
      factory: called by every `make(env_id)`. Returns a gymnax 1.0 `Environment`, or the pair of it and its `EnvParams`
        (as `gymnax.make` does) where the parameters should differ from `env.default_params`.
      reward_scale: number that brings a typical non-zero reward to about one in size; an agent may multiply rewards
        with it. It becomes `env.reward_scale`, unless the environment defines that itself.
      available: whether what the environment needs is there, such as a package or a file; asked each time. While it is
        not, `registered` leaves the id out, and `factory` should raise a ValueError that says what to do.

    A factory of the same name from the same module takes the place of the one before, with a warning: that is what
    running a notebook's cell again does.

    Raises:
      ValueError: if the id is not of the form `suite/Name`, or is taken by a factory from elsewhere.
    """
    suite, slash, name = env_id.partition("/")
    if not (suite and slash and name):
        raise ValueError(f"environment id {env_id!r} should be of the form suite/Name")
    _load(suite)
    new = _Entry(factory, float(reward_scale), available)
    old = _entries.get(env_id, new)
    if old != new:
        if _origin(old.factory) != _origin(factory):
            raise ValueError(f"environment id {env_id!r} is already registered with another factory; choose another id")
        warnings.warn(f"environment id {env_id!r} is registered anew; the factory before is replaced", stacklevel=2)
    _entries[env_id] = new


def leave_out(env_id: str, reason: str) -> None:
    """Let `make` say why there is no environment `env_id`, where a user may well look for it."""
    _left_out[env_id] = reason


def register_alias(alias: str, env_id: str) -> None:
    """Give a registered environment another id."""
    entry = _entries[env_id]
    register(alias, entry.factory, reward_scale=entry.reward_scale, available=entry.available)
    _aliases[alias] = env_id


def canonical(env_id: str) -> str:
    """Return the id of which this one is another name; itself, if it is none."""
    with contextlib.suppress(ModuleNotFoundError):
        _load(env_id.partition("/")[0])
    return _aliases.get(env_id, env_id)


def same(first: str, second: str) -> bool:
    """Return whether two environment arguments (`settings`) stand for the same, by whatever names."""
    if first == second:
        return True
    try:
        one, other = (list(map(canonical, settings(name))) for name in (first, second))
    except ValueError:
        return False
    return one == other


def register_experiment(name: str, numbers: int, *, one_program: bool) -> None:
    """Let `name` stand for environments that are registered as `name/0`, `name/1` and so on.

    Args:
      name: `suite/experiment`.
      numbers: how many there are.
      one_program: whether they differ in their parameters only: they can then be trained together (`settings`).
    """
    _experiments[name] = _Experiment(numbers, one_program)


def register_numbered(prefix: str, factory_of: Callable[[int], Factory]) -> None:
    """Let `make` accept any id of `prefix` and a whole number: settings beyond those that are listed.

    Args:
      prefix: such as `bsuite/memory_len_`.
      factory_of: the number -> a factory, as `register` takes it.
    """
    _numbered[prefix] = factory_of


def settings(env_id: str) -> tuple[str, ...]:
    """Return the ids that an environment argument stands for: more than one where they can be one compiled program.

    Args:
      env_id: an experiment such as `bsuite/memory_len`, which stands for all of its settings; some of them, as
        `bsuite/memory_len/0,4,22`; or anything that `make` takes, which stands for itself.

    Raises:
      ValueError: if the experiment has no such number, a number stands there twice, or its settings differ in more than
        their parameters.
    """
    if ":" in env_id:
        return (env_id,)
    with contextlib.suppress(ModuleNotFoundError):  # `make` says what is missing
        _load(env_id.partition("/")[0])
    experiment, _, listed = env_id.rpartition("/")
    if env_id in _experiments:
        experiment, chosen = env_id, list(range(_experiments[env_id].numbers))
    elif experiment in _experiments and re.fullmatch(r"\d+(,\d+)+", listed):
        chosen = [int(number) for number in listed.split(",")]
    else:
        return (env_id,)
    known = _experiments[experiment]
    if not known.one_program:
        raise ValueError(
            f"the settings of {experiment!r} are a program each, as they differ in more than numbers: give one, such "
            f"as {experiment}/{min(chosen)}"
        )
    if (highest := max(chosen)) >= known.numbers:
        raise ValueError(f"{env_id!r}: there is no {experiment}/{highest}; its numbers are 0 to {known.numbers - 1}")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{env_id!r} names a setting twice")
    return tuple(f"{experiment}/{number}" for number in chosen)


def together(env_ids: Sequence[str]) -> list[str]:
    """Return environment arguments (`settings`) that stand for these ids, as few as there can be; in their order."""
    found: dict[str, list[str]] = {}
    for env_id in env_ids:
        experiment, _, number = env_id.rpartition("/")
        known = _experiments.get(experiment)
        found.setdefault(experiment if known and known.one_program else env_id, []).append(number)
    names = []
    for name, numbers in found.items():
        whole = name in _experiments and len(numbers) == _experiments[name].numbers
        names.append(name if name not in _experiments or whole else f"{name}/{','.join(numbers)}")
    return names


def _origin(factory: Factory) -> tuple[str, str]:
    """Return where a factory was defined: module and name."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    if isinstance(factory, Lazy):
        module, _, name = factory.target.partition(":")
        return module, name
    named = factory if hasattr(factory, "__qualname__") else type(factory)
    return named.__module__, named.__qualname__


def make(env_id: str) -> tuple["Environment", "EnvParams"]:
    """Build the environment registered as `env_id`.

    Args:
      env_id: one of `registered()`; or `package.module:Name`, a class, a function or whatever `register` takes.

    Returns:
      The environment, which has a float `reward_scale`, and its parameters.

    Raises:
      ValueError: if there is no such id (the message names the nearest ones), its suite is not installed, or it cannot
        be imported.
    """
    if ":" in env_id:
        return _built(_Entry(imported(env_id), 1.0), env_id)
    try:
        _load(env_id.partition("/")[0])
    except ModuleNotFoundError as error:
        raise ValueError(f"environment {env_id!r} needs the package {error.name!r}, which is not installed") from error
    if env_id in _left_out:
        raise ValueError(f"environment {env_id!r} is left out: {_left_out[env_id]}")
    if env_id in _entries:
        return _built(_entries[env_id], env_id)
    prefix = env_id.rstrip("0123456789")
    if prefix in _numbered and prefix != env_id:
        if len(env_id) > len(prefix) + _DIGITS:
            raise ValueError(f"environment {env_id!r}: the number should be at most {10**_DIGITS - 1:,}")
        if env_id != f"{prefix}{int(env_id.removeprefix(prefix))}":
            raise ValueError(f"environment {env_id!r} should be {prefix}{int(env_id.removeprefix(prefix))}")
        try:
            return _built(_Entry(_numbered[prefix](int(env_id.removeprefix(prefix))), 1.0), env_id)
        except (ValueError, MemoryError) as error:
            raise ValueError(f"environment {env_id!r}: {error}") from None
    if len(several := settings(env_id)) > 1:
        raise ValueError(
            f"environment {env_id!r} stands for {len(several)} settings, which only training takes together: give one, "
            f"such as {several[0]}"
        )
    raise ValueError(_unknown(env_id))


def _built(entry: _Entry, env_id: str) -> tuple["Environment", "EnvParams"]:
    made = entry.factory()
    env, params = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    missing = [name for name in _NEEDED if not hasattr(env, name)]
    if missing:
        raise ValueError(
            f"environment {env_id!r} is no gymnax 1.0 environment: {type(env).__name__} has no {', '.join(missing)}; "
            "envs.adapters.classic adapts one whose step returns obs, state, reward, done, info"
        )
    if not hasattr(env, "reward_scale"):
        env.reward_scale = entry.reward_scale
    return env, env.default_params if params is None else params


def look_in(*folders: str) -> None:
    """Let modules be imported from these folders too; last, so that nothing in them shadows an installed package."""
    for folder in folders:
        if folder and folder not in sys.path:
            sys.path.append(folder)


def imported(target: str) -> Factory:
    """Return the factory that `package.module:Name` names: a class, a function, or an environment as it is.

    Raises:
      ValueError: if there is no such module or name, or the module cannot be imported, in one line.
    """
    module_name, _, name = target.partition(":")
    is_file = module_name.endswith(".py") or "/" in module_name
    if is_file or not all(re.fullmatch(r"\w+(\.\w+)*", dotted) for dotted in (module_name, name)):
        hint = " (a module's name, no file's)" if is_file else ""
        raise ValueError(f"environment {target!r} should be of the form package.module:Name{hint}")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ValueError(f"environment {target!r}{_not_imported(module_name, error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, [other for other in dir(found) if not other.startswith("_")], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"environment {target!r}: {module_name} has no {part!r}{hint}")
        found = getattr(found, part)
    if isinstance(found, tuple) or not callable(found):
        return lambda: found
    factory = found

    def build() -> Any:
        try:
            return factory()
        except Exception as error:
            raise ValueError(
                f"environment {target!r}: {name}() raised {faults.described(error)}; it should build an environment "
                "without arguments"
            ) from error

    return build


def _not_imported(module: str, error: BaseException) -> str:
    """Return why a module could not be imported: the end of a sentence that begins with the environment."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return f": importing {module} raised {faults.described(error)}"
    if not f"{module}.".startswith(f"{error.name}."):
        return f" needs the package {error.name!r}, which is not installed"
    ours = " in this project's package of that name" if module.split(".")[0] in _OURS else ""
    return f": there is no module {error.name!r}{ours}"


def registered(*, missing: bool = False) -> tuple[str, ...]:
    """Return every id that `make` accepts, sorted with numbers by value.

    Args:
      missing: list also those whose package or file is not there (`register`, `available`): made, they say what to do.
    """
    for suite in _SUITES:
        try:
            _load(suite)
        except ModuleNotFoundError:
            continue
    return tuple(sorted((name for name, entry in _entries.items() if missing or entry.available()), key=_natural))


def _load(suite: str) -> None:
    if suite in _SUITES and suite not in _loaded:
        _loaded.add(suite)  # Before the import: the suite's own calls of `register` come back here.
        try:
            importlib.import_module(_SUITES[suite])
        except BaseException:
            _loaded.discard(suite)
            raise


def _natural(env_id: str) -> list[tuple[bool, int, str]]:
    """Sort key under which 9x9 comes before 11x11."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", env_id)]


def _unknown(env_id: str) -> str:
    experiment, _, number = env_id.rpartition("/")
    if experiment in _experiments and number[:1].isdecimal():
        known_experiment = _experiments[experiment]
        several = f", and several of them are {experiment}/0,1" if known_experiment.one_program else ""
        return f"unknown environment {env_id!r}: its numbers are 0 to {known_experiment.numbers - 1}{several}"
    known = (*registered(missing=True), *_experiments)
    suite, _, name = env_id.lower().partition("/")
    of_suite = [known_id for known_id in known if known_id.startswith(f"{suite}/")]
    if of_suite:  # without the suite's name, which would make all of its ids alike
        tries: list[tuple[str, Sequence[str], bool]] = [(name, of_suite, True)]
    else:
        tries = [(env_id.lower(), known, False), (name.rpartition("/")[2] or suite, known, True)]
    for wanted, among, bare in tries:
        names = {known_id.lower().partition("/")[2] if bare else known_id.lower(): known_id for known_id in among}
        if near := difflib.get_close_matches(wanted, names, n=3):
            return f"unknown environment {env_id!r}; did you mean {', '.join(names[match] for match in near)}?"
    if of_suite:
        count = len(set(of_suite) - _experiments.keys())
        some = ", ".join(of_suite[:3])
        return f"unknown environment {env_id!r}; {suite} has {count}, such as {some} (envs.registered() lists them)"
    suites = sorted({known_id.partition("/")[0] for known_id in known})
    own = "" if "/" in env_id and not env_id.endswith(".py") else "; one of your own is named by package.module:Name"
    return f"unknown environment {env_id!r}; suites: {', '.join(suites)} (envs.registered() lists every id){own}"
