"""Compiler options depend on the size of a run and on what the compiler knows. About 5 seconds."""

import jax
import jax.numpy as jnp
import pytest

from experiments.presets import preset
from r2i_jit import compiling


@pytest.fixture(autouse=True)
def forget():
    yield
    compiling._is_known.cache_clear()


def test_small_runs_without_images_have_an_option_that_large_ones_have_not():
    small, large = preset("popgym", "tiny"), preset("popgym", "paper")
    assert compiling.loop(large, images=False) == {}
    assert compiling.loop(small, images=True) == {}
    if compiling._is_known():
        assert compiling.loop(small, images=False) == compiling._OWN_PRODUCTS


def test_a_program_compiled_with_it_computes_the_same():
    options = compiling.loop(preset("popgym", "tiny"), images=False)
    x = jnp.arange(12.0).reshape(3, 4)
    function = lambda x: jnp.tanh(x @ x.T + 1.0)
    assert jnp.allclose(jax.jit(function, compiler_options=options)(x), jax.jit(function)(x), rtol=1e-6)


def test_a_compiler_that_does_not_know_the_option_is_not_given_it(monkeypatch):
    monkeypatch.setattr(compiling, "_OWN_PRODUCTS", {"xla_cpu_no_such_option": ""})
    assert compiling.loop(preset("popgym", "tiny"), images=False) == {}
