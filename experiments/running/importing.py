"""A user's own modules: found from where the person stands, and again from where a run was started."""

import importlib
import os
from collections.abc import Sequence

from envs import faults, registry
from experiments.running import cli


def prepare(imports: Sequence[str], folder: str = "") -> None:
    """Import modules, such as those that register environments; exit 2 with one line if one cannot be.

    Args:
      imports: their names.
      folder: a folder in which modules are looked for, after the current one. Both come last, so that nothing in them
        shadows an installed package.
    """
    for ours in ("envs", "r2i_jit"):  # Now: a folder of that name would be found before an editable install.
        importlib.import_module(ours)
    registry.look_in(os.getcwd(), folder)
    for name in imports:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            if isinstance(error, ModuleNotFoundError) and error.name is not None:
                missing = f"there is no module {error.name!r}; it is looked for in {os.getcwd()}"
                cli.fail(f"--import {name}: {missing}{f' and {folder}' if folder and folder != os.getcwd() else ''}")
            cli.fail(f"--import {name} raised {faults.described(error)}")
