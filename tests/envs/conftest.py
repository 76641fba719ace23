"""Keeps the tests of one environment in one worker: each worker compiles an environment's rollout once."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests by their `env_id`, for `pytest -n`."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        if parameters is not None and "env_id" in parameters.params:
            item.add_marker(pytest.mark.xdist_group(str(parameters.params["env_id"])))
