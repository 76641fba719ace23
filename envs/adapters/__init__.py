"""Other people's environments behind gymnax 1.0's interface, one file each."""

from envs.adapters.classic import Classic, classic

__all__ = ["Classic", "classic"]
