"""The convolutions that are written as matrix products are those of the library, with gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2i_jit.compiling import quick
from r2i_jit.nets.conv import ImageDecoder, ImageEncoder, conv, conv_transpose, from_patches, to_patches

LAYOUT = ("NHWC", "HWIO", "NHWC")
QUICK = quick()  # each program runs once


def library_conv(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)


def library_conv_transpose(x, kernel):
    return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 10)])
@pytest.mark.parametrize(("ours", "library"), [(conv, library_conv), (conv_transpose, library_conv_transpose)])
def test_values_and_gradients_are_the_librarys(ours, library, height, width):
    key_x, key_kernel, key_out = jax.random.split(jax.random.key(0), 3)
    draw = partial(jax.random.normal, dtype=jnp.float32)
    x, kernel = draw(key_x, (3, height, width, 5)), draw(key_kernel, (4, 4, 5, 7))
    weight = draw(key_out, jax.eval_shape(library, x, kernel).shape)

    def results(function):
        out, pull_back = jax.vjp(function, x, kernel)
        return out, *pull_back(weight)

    compiled = jax.jit(results, static_argnums=0, compiler_options=QUICK)
    for mine, theirs in zip(compiled(ours), compiled(library), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-3)


@pytest.mark.parametrize("net", [pytest.param("convolutions", marks=pytest.mark.heavy), "patches"])
def test_every_pixel_reaches_the_code_and_every_feature_the_picture(net):
    image = jax.random.uniform(jax.random.key(0), (1, 32, 48, 3), jnp.float32) - 0.5
    feature = jax.random.normal(jax.random.key(1), (1, 9), jnp.float32)

    @partial(jax.jit, compiler_options=QUICK)
    def encode(image):
        encoder = ImageEncoder(net, 2)
        variables = encoder.init(jax.random.key(2), image)
        code, pull_back = jax.vjp(lambda x: encoder.apply(variables, x), image)
        return code, *pull_back(jax.random.normal(jax.random.key(3), code.shape, code.dtype))

    @partial(jax.jit, compiler_options=QUICK)
    def decode(feature):
        decoder = ImageDecoder(net, 2, 5, (32, 48, 3))
        variables = decoder.init(jax.random.key(3), feature)
        picture, pull_back = jax.vjp(lambda x: decoder.apply(variables, x), feature)
        return picture, *pull_back(jax.random.normal(jax.random.key(4), picture.shape, picture.dtype))

    code, slope = encode(image)
    assert code.shape == (1, {"convolutions": 2 * 3 * 16, "patches": 4 * 6 * 2}[net])
    assert np.all(np.any(slope != 0, -1))
    picture, slope = decode(feature)
    assert picture.shape == image.shape
    assert np.all(slope != 0)
    assert np.all(picture != decode(-feature)[0])


def test_kernels_of_many_seeds_are_applied_as_one_by_one():
    x = jax.random.normal(jax.random.key(0), (3, 2, 4, 4, 5), jnp.float32)
    kernel = jax.random.normal(jax.random.key(1), (3, 4, 4, 5, 7), jnp.float32)
    for ours in (conv, conv_transpose):
        together = jax.jit(jax.vmap(ours), compiler_options=QUICK)(x, kernel)
        for seed in range(3):
            np.testing.assert_allclose(together[seed], ours(x[seed], kernel[seed]), atol=1e-4)


def test_a_patch_is_a_square_of_pixels():
    image = jnp.zeros((1, 32, 32, 3), jnp.float32).at[0, 9, 17].set(1.0)  # in the patch (1, 2)
    patches = np.asarray(to_patches(image))
    np.testing.assert_array_equal(np.argwhere(patches.any(-1)), [[0, 1, 2]])
    noise = jax.random.normal(jax.random.key(0), (2, 16, 24, 3), jnp.float32)
    np.testing.assert_array_equal(from_patches(to_patches(noise)), noise)
    pixels = jax.random.bits(jax.random.key(1), (2, 16, 24, 3), jnp.uint8)
    np.testing.assert_array_equal(to_patches(pixels), to_patches(pixels.astype(jnp.float32)))


@pytest.mark.heavy
@pytest.mark.parametrize("net", ["convolutions", "patches"])
def test_bytes_are_encoded_as_the_numbers_they_stand_for(net):
    pixels = jax.random.bits(jax.random.key(0), (2, 3, 32, 32, 3), jnp.uint8)
    encoder = ImageEncoder(net, 2)
    variables = encoder.init(jax.random.key(1), pixels)
    np.testing.assert_array_equal(
        encoder.apply(variables, pixels), encoder.apply(variables, pixels.astype(jnp.float32) / 255.0 - 0.5)
    )
