"""The network itself: layers, sizes, heads, units that do nothing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal
from small_network import small_settings

from dluxshera.ptychography import ScanError
from dluxshera.ptychography import network as nn
from dluxshera.ptychography.network import health, layers
from dluxshera.ptychography.network.inputs import Conditioning


def test_a_convolution_is_that_of_scipy():
    generator = np.random.default_rng(0)
    image, weight = generator.normal(size=(1, 7, 6, 2)), generator.normal(size=(3, 3, 2, 3))
    found = layers.Convolution(jnp.asarray(weight), jnp.asarray([1.0, 2.0, 3.0]))(jnp.asarray(image))
    for o in range(3):
        wanted = sum(signal.correlate2d(image[0, :, :, i], weight[:, :, i, o], "same") for i in range(2)) + o + 1
        np.testing.assert_allclose(found[0, :, :, o], wanted, rtol=1e-10)


def test_pooling_and_doubling():
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(layers.pooled(image)[0, :, :, 0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(layers.pooled(layers.doubled(image)), image)
    np.testing.assert_array_equal(layers.cropped(image, 2)[0, :, :, 0], [[5, 6], [9, 10]])


@pytest.mark.parametrize(("how", "axes"), [("channel", (3,)), ("group", (1, 2, 3))])
def test_normalised_images_have_no_mean_and_unit_variance(how, axes):
    x = 3 + 5 * jax.random.normal(jax.random.key(0), (2, 4, 4, 7))  # of 7 channels there is one group
    found = layers.normalised(x, how)
    np.testing.assert_allclose(jnp.mean(found, axes), 0, atol=1e-5)
    np.testing.assert_allclose(jnp.std(found, axes), 1, atol=1e-3)
    np.testing.assert_array_equal(layers.normalised(x, "none"), x)


def convolutions(*pairs):
    return sum(9 * i * o + o for i, o in pairs)


def test_parameters_of_the_plain_network_are_counted():
    """Two convolutions a stage, 32, 64, 128 filters, and two decoders that end at half the window."""
    encoder = convolutions((4, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128))
    decoder = convolutions((128, 64), (64, 64), (64, 32), (32, 32), (32, 4))
    architecture = nn.Architecture(npix=64, gridsize=2, inputs="amplitude")
    network = eqx.filter_eval_shape(nn.PatchNetwork.drawn, architecture, 0)
    assert sum(leaf.size for leaf in jax.tree.leaves(network)) == encoder + 2 * decoder
    small = nn.PatchNetwork.drawn(small_settings().architecture, 0)
    assert small.parameters == sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(small, eqx.is_array)))
    wide = nn.Architecture(npix=128, gridsize=1, inputs="amplitude", width=2)
    assert wide.filters == (32, 64, 128, 256)


@pytest.mark.parametrize("inputs", ["amplitude", "field"])
@pytest.mark.parametrize(("npix", "gridsize", "support"), [(64, 1, None), (64, 2, 64), (128, 2, None), (16, 1, 12)])
def test_patches_have_the_size_of_the_support(inputs, npix, gridsize, support):
    architecture = nn.Architecture(npix=npix, gridsize=gridsize, support=support, inputs=inputs, width=0.125)
    network = eqx.filter_eval_shape(nn.PatchNetwork.drawn, architecture, 0)
    size = npix if inputs == "amplitude" else architecture.side
    x = jax.ShapeDtypeStruct((3, size, size, architecture.channels), jnp.float32)
    start = jax.ShapeDtypeStruct((3, gridsize**2, architecture.side, architecture.side), jnp.complex64)
    made = eqx.filter_eval_shape(lambda network, x, start: network(x, start), network, x, start)
    assert made.patches.shape == start.shape and made.patches.dtype == jnp.complex64
    assert {a.dtype for a in made.activations.values()} == {jnp.dtype("float32")}


def drawn(**options):
    architecture = small_settings(**options).architecture
    network = nn.PatchNetwork.drawn(architecture, 0)
    channels = architecture.channels
    model = nn.PhysicsNetwork(network, Conditioning(jnp.zeros(channels, "f4"), jnp.ones(channels, "f4")))
    size = architecture.npix if architecture.inputs == "amplitude" else architecture.side
    return model, jax.random.normal(jax.random.key(1), (5, size, size, channels), jnp.float32)


def test_amplitudes_have_no_ceiling_and_phases_all_of_a_turn():
    model, x = drawn(inputs="amplitude", gridsize=1)
    head = lambda m: m.network.amplitude.head.bias  # noqa: E731
    bright = eqx.tree_at(head, model, head(model) + 50)
    assert float(jnp.abs(bright(x).patches).min()) > 40
    heads = lambda m: m.network.phase.head.bias  # noqa: E731
    for sign in (-1, 1):
        phase = jnp.angle(eqx.tree_at(heads, model, heads(model) + 0.5 * sign)(x).patches)
        np.testing.assert_allclose(np.median(phase), sign * np.pi * np.tanh(0.5), atol=0.3)


def test_a_network_begins_close_to_its_estimate():
    model, x = drawn()
    x = x.at[..., :4].set(0.8).at[..., 4:8].set(0.2)
    silent = jax.tree.map(lambda a: 0 * a if eqx.is_array(a) else a, model.network)
    found = nn.PhysicsNetwork(silent, model.conditioning)(x).patches
    np.testing.assert_allclose(found, 0.8 + 0.2j, rtol=1e-5)


def test_without_a_phase_decoder_objects_are_real():
    model, x = drawn(with_phase=False)
    assert model.network.phase is None and not np.any(model(x).patches.imag)


def test_the_same_seed_draws_the_same_network():
    architecture = small_settings().architecture
    first, again, other = (nn.PatchNetwork.drawn(architecture, seed) for seed in (0, 0, 1))
    assert eqx.tree_equal(first, again) and not eqx.tree_equal(first, other)


def test_units_that_do_nothing_are_counted():
    model, x = drawn(inputs="amplitude", activation="relu")
    assert health.dead_fraction(model, x) < 0.3
    bias = lambda m: m.network.encoder[0].first.bias  # noqa: E731
    dead = eqx.tree_at(bias, model, bias(model) - 1e6)  # nothing passes the first layer: all behind it is constant
    shares = health.still_units(dead, x)
    assert float(shares["encoder.0.first"]) == 1.0
    half = eqx.tree_at(bias, model, bias(model).at[:4].add(-1e6))
    assert float(health.still_units(half, x)["encoder.0.first"]) == pytest.approx(
        float(health.still_units(model, x)["encoder.0.first"]) + 0.5, abs=0.26
    )


@pytest.mark.parametrize(
    "wrong",
    [{"npix": 60}, {"activation": "step"}, {"normalisation": "batch"}, {"inputs": "wavelets"}, {"support": 13},
     {"support": 128}, {"gridsize": 0}, {"width": 0.0}, {"sweeps": -1}],
    ids=str,
)  # fmt: skip
def test_architectures_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ScanError, match=f"Expected .*{next(iter(wrong))}"):
        nn.Architecture(**wrong)
