"""Compiler options depend on the size of a run and on what the compiler knows. About 5 seconds."""

import jax
import jax.numpy as jnp

from experiments.presets import preset
from r2i_jit import compiling


def on(monkeypatch, backend):
    """Stand in for a device that need not be here, whose compiler knows every option."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(compiling, "_is_known", lambda name, value: True)


def test_small_runs_without_images_have_an_option_that_large_ones_have_not(monkeypatch):
    on(monkeypatch, "cpu")
    small, large = preset("popgym", "tiny"), preset("popgym", "paper")
    assert compiling.loop(small, images=False, latent=64) == compiling._OWN_PRODUCTS
    assert compiling.loop(small, images=True, latent=64) == compiling.loop(large, images=False, latent=1024) == {}


def test_a_gpu_is_not_to_try_matrix_products_unless_the_user_says_so(monkeypatch):
    on(monkeypatch, "gpu")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    for options in (compiling.quick(), compiling.loop(preset("popgym", "paper"), images=False, latent=64)):
        assert options == compiling._NO_TRIALS
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=4")
    assert compiling.quick() == {}
    on(monkeypatch, "tpu")
    assert compiling.quick() == compiling.loop(preset("popgym", "tiny"), images=False, latent=64) == {}


def test_a_program_compiled_with_it_computes_the_same():
    options = compiling.loop(preset("popgym", "tiny"), images=False, latent=64)
    x = jnp.arange(12.0).reshape(3, 4)
    function = lambda x: jnp.tanh(x @ x.T + 1.0)
    assert jnp.allclose(jax.jit(function, compiler_options=options)(x), jax.jit(function)(x), rtol=1e-6)


def test_a_compiler_that_does_not_know_the_option_is_not_given_it(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(compiling, "_OWN_PRODUCTS", {"xla_cpu_no_such_option": ""})
    assert compiling.loop(preset("popgym", "tiny"), images=False, latent=64) == {}
