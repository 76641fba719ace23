"""The commands, and what they are made of."""

import importlib
import sys

try:
    importlib.import_module("r2i_jit")  # refuses an `envs` of somebody else's, before anything needs ours
except ImportError as error:
    if sys.argv[0] != "-m":  # which it is while Python looks for the command of `python -m`
        raise
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2) from None
