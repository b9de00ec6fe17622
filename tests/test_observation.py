"""Observations: what the constructor masks and refuses; files come back as they were or are refused."""

import gzip
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dluxshera.instrument import Observation, SaturationWarning

SUFFIXES = (".fits", ".fit", ".fits.gz", ".npz")


def counts(npix=6):
    return np.arange(1.0, npix**2 + 1).reshape(npix, npix)


def write_fits(path, image=None, header=None, **extensions):
    """A file as a user's own software would write it; extensions are `(array, header)`."""
    hdus = [fits.PrimaryHDU(None if image is None else np.asarray(image))]
    hdus[0].header.update(header or {})
    for name, (array, cards) in extensions.items():
        hdus.append(fits.ImageHDU(np.asarray(array), name=name))
        hdus[-1].header.update(cards)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


# The constructor


def test_everything_is_a_typed_leaf_and_data_do_not_recompile():
    traces = []

    @eqx.filter_jit
    def total(observation):
        traces.append(1)
        return jnp.sum(observation.image * observation.mask) * observation.exposures

    for exposures, image in ((1, counts()), (36000, np.full((6, 6), 3))):
        observation = Observation(image=image, exposures=exposures)
        assert {leaf.dtype for leaf in jax.tree.leaves(observation)} == {jnp.dtype(float), jnp.dtype(bool)}
        assert not any(leaf.weak_type for leaf in jax.tree.leaves(observation))
        assert total(observation) == image.sum() * exposures
    assert len(traces) == 1


def test_pixels_that_are_not_finite_are_masked_and_hold_numbers():
    image, variance = counts(), counts()
    image[0, 0], image[0, 1], variance[1, 1] = np.nan, np.inf, np.nan
    given_mask = np.ones((6, 6), bool)
    given_mask[0, 0] = given_mask[5, 5] = False
    observation = Observation(image, variance, given_mask)
    expected = given_mask.copy()
    expected[0, 1] = expected[1, 1] = False
    np.testing.assert_array_equal(observation.mask, expected)
    assert observation.masked_count == 4
    assert np.isfinite(observation.image).all() and (np.asarray(observation.variance) > 0).all()


def test_a_given_mask_is_kept_and_the_default_uses_all():
    mask = counts() % 3 > 0
    np.testing.assert_array_equal(Observation(counts(), mask=mask).mask, mask)
    assert Observation(counts()).masked_count == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.ones((2, 3))}, "image: Expected a square"),
        ({"image": np.ones((3, 4, 4))}, "image: .*sum a stack"),
        ({"image": np.ones((0, 0))}, "image: Expected a square"),
        ({"image": np.full((4, 4), np.nan)}, "mask: Expected at least half"),
        ({"image": -np.ones((4, 4))}, "image: Expected counts"),
        ({"image": np.zeros((4, 4))}, "image: Expected counts"),
        ({"image": np.where(counts() > 17, -1.0, 100.0)}, "image: Expected counts"),
        ({"image": np.where(counts() > 35, -1e9, 100.0)}, "image: Expected counts"),
        ({"image": counts(), "variance": np.ones((3, 3))}, "variance: Expected the shape"),
        ({"image": counts(), "variance": -np.ones((6, 6))}, "variance: Expected none below zero"),
        ({"image": counts(), "variance": np.full((6, 6), np.nan)}, "mask: Expected at least half"),
        ({"image": counts(), "mask": np.ones((3, 3), bool)}, "mask: Expected the shape"),
        ({"image": counts(), "mask": counts() > 19}, "mask: Expected at least half"),
        ({"image": counts(), "exposures": 0}, "exposures: Expected a whole number"),
        ({"image": counts(), "exposures": 1.5}, "exposures: Expected a whole number"),
        ({"image": counts(), "exposures": [1, 2]}, "exposures: Expected one number"),
    ],
)
def test_what_cannot_be_an_observation_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Observation(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": "counts.fits"}, "image: Expected a real number"),
        ({"image": counts() * 1j}, "image: Expected real numbers"),
        ({"image": counts(), "variance": "none"}, "variance"),
        ({"image": counts(), "mask": np.ones((6, 6), int)}, "mask: Expected booleans"),
    ],
)
def test_what_is_not_numbers_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        Observation(**arguments)


def test_masked_pixels_do_not_make_an_image_implausible():
    image = counts()
    image[:2] = -1e6
    observation = Observation(image, mask=image > 0)
    assert observation.masked_count == 12
    with pytest.raises(ValueError, match="Expected counts"):
        Observation(image)


def test_traced_values_are_not_looked_at():
    build = jax.vmap(lambda image: Observation(image, variance=image))
    observations = build(jnp.stack([-jnp.asarray(counts()), jnp.asarray(counts()).at[0, 0].set(jnp.nan)]))
    assert observations.mask.shape == (2, 6, 6)
    assert observations.masked_count == 1

    def total(image):
        return jnp.sum(Observation(image).image)

    gradient = jax.jit(jax.grad(total))(jnp.asarray(counts()).at[0, 0].set(jnp.nan))
    np.testing.assert_array_equal(gradient, np.where(counts() == 1, 0, 1))
    with pytest.raises(ValueError, match="square"):
        jax.jit(total)(jnp.ones((2, 3)))


# Files of our own


@settings(max_examples=25, deadline=None)
@given(
    image=hnp.arrays(float, (4, 4), elements=st.floats(0, 1e12, allow_subnormal=False)),
    variance=st.none() | hnp.arrays(float, (4, 4), elements=st.floats(0, 1e12)),
    holes=st.sets(st.integers(0, 15), max_size=7),
    exposures=st.integers(1, 10**6),
    suffix=st.sampled_from(SUFFIXES),
)
def test_a_round_trip_is_exact(tmp_path_factory, image, variance, holes, exposures, suffix):
    mask = ~np.isin(np.arange(16), list(holes)).reshape(4, 4)
    image[mask] += 1.0
    observation = Observation(image, variance, mask, exposures)
    path = tmp_path_factory.mktemp("round") / f"image{suffix}"
    observation.write(path)
    assert_same(Observation.read(path), observation)
    assert os.listdir(path.parent) == [path.name]


def test_the_fits_header_says_what_it_is(tmp_path):
    Observation(counts(), counts(), exposures=20).write(tmp_path / "image.fits", saturation_e=7000)
    with fits.open(tmp_path / "image.fits", checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "VARIANCE", "MASK"]
        header = hdus[0].header
        assert (header["BUNIT"], header["NEXP"], header["SATURATE"]) == ("electron", 20, 7000)
        assert header.comments["SATURATE"].startswith("[electron]")
        assert all("CHECKSUM" in hdu.header and "DATASUM" in hdu.header for hdu in hdus)
        assert hdus["VARIANCE"].header["BUNIT"] == "electron2"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_damage_is_refused_or_harmless(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    observation = Observation(counts(), counts(), counts() % 5 > 0, exposures=3)
    observation.write(path)
    sound = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for position, bit in zip(generator.integers(len(sound), size=60), generator.integers(8, size=60), strict=True):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            assert_same(Observation.read(path), observation)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 5
    for length in np.linspace(0, len(sound) - 1, 25).astype(int):
        path.write_bytes(sound[:length])
        with pytest.raises(ValueError, match="Expected") as caught:
            Observation.read(path)
        assert str(path) in str(caught.value)


def test_a_bad_checksum_names_the_extension(tmp_path):
    path = tmp_path / "image.fits"
    Observation(counts(), counts()).write(path)
    data = bytearray(path.read_bytes())
    data[5760 + 2880 + 10] ^= 1  # data of VARIANCE
    path.write_bytes(data)
    with pytest.raises(ValueError, match="image.fits: .*VARIANCE"):
        Observation.read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_cannot_be_done_leaves_nothing(tmp_path, suffix, monkeypatch):
    observation, path = Observation(counts()), tmp_path / f"image{suffix}"
    with pytest.raises(ValueError, match="Expected an existing folder"):
        observation.write(tmp_path / "none" / path.name)
    observation.write(path)
    with pytest.raises(ValueError, match="overwrite=True"):
        observation.write(path, overwrite=False)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        Observation(counts() + 1).write(path)
    assert os.listdir(tmp_path) == [path.name] and path.read_bytes() == before


def test_a_name_must_say_its_format(tmp_path):
    for action in (Observation(counts()).write, Observation.read):
        with pytest.raises(ValueError, match=r"image.tiff: .*\.fits, \.fit, \.fits\.gz or \.npz"):
            action(tmp_path / "image.tiff")


# Files of others


def test_adu_and_rates_are_converted_by_header_or_option(tmp_path):
    path = tmp_path / "image.fits"
    for unit in ("adu", "ADU", "DN"):
        write_fits(path, counts(), {"BUNIT": unit, "GAIN": 2.5})
        np.testing.assert_allclose(Observation.read(path).image, 2.5 * counts())
    np.testing.assert_allclose(Observation.read(path, gain_e_per_adu=4).image, 4 * counts())

    write_fits(path, counts(), {"BUNIT": "electron/s", "EXPTIME": 0.05})
    np.testing.assert_allclose(Observation.read(path).image, 0.05 * counts())
    write_fits(path, counts(), {"BUNIT": "adu s-1", "GAIN": 2, "EXPTIME": 0.05, "NEXP": 20}, VARIANCE=(counts(), {}))
    observation = Observation.read(path)
    np.testing.assert_allclose(observation.image, 2 * counts())
    np.testing.assert_allclose(observation.variance, 4 * counts())
    assert observation.exposures == 20
    assert Observation.read(path, exposures=10, exposure_time_s=1).image[0, 0] == 20


def test_a_unit_option_stands_in_for_a_missing_one(tmp_path):
    path = write_fits(tmp_path / "image.fits", counts(), {"NEXP": 7})
    observation = Observation.read(path, unit="electron")
    np.testing.assert_array_equal(observation.image, counts())
    assert observation.exposures == 7


def test_integers_with_an_offset_and_other_extensions_are_read(tmp_path):
    path = tmp_path / "image.fits"
    image = (counts() + 40000).astype(np.uint16)
    mask = (counts() > 3).astype(np.uint8)
    write_fits(path, None, SCI=(image, {"BUNIT": "electron"}), MASK=(mask, {}))
    observation = Observation.read(path, extension="sci")
    np.testing.assert_array_equal(observation.image, image)
    np.testing.assert_array_equal(observation.mask, mask == 1)
    assert_same(Observation.read(path, extension=1), observation)


ELECTRON = {"BUNIT": "electron"}


@pytest.mark.parametrize(
    ("image", "header", "extensions", "options", "message"),
    [
        (counts(), {}, {}, {}, r"\[PRIMARY\]: .*BUNIT.*unit='electron'"),
        (counts(), {"BUNIT": "Jy"}, {}, {}, r"\[PRIMARY\]: .*'Jy'"),
        (counts(), {"BUNIT": "adu"}, {}, {}, "GAIN.*gain_e_per_adu="),
        (counts(), {"BUNIT": "adu", "GAIN": -1}, {}, {}, "positive number for GAIN"),
        (counts(), {"BUNIT": "adu", "GAIN": "high"}, {}, {}, "positive number for GAIN"),
        (counts(), {"BUNIT": "electron/s"}, {}, {}, "EXPTIME.*exposure_time_s="),
        (counts(), ELECTRON, {}, {"gain_e_per_adu": 2}, "Expected no gain"),
        (counts(), ELECTRON, {}, {"exposures": 0}, "NEXP"),
        (counts(), ELECTRON, {}, {"extension": "SCI"}, r"\[SCI\]: .*no such extension.*'PRIMARY'"),
        (counts(), ELECTRON, {}, {"extension": 3}, r"\[3\]: .*no such extension"),
        (None, {}, {"SCI": (counts(), ELECTRON)}, {}, r"\[PRIMARY\]: .*without an image.*'SCI'"),
        (np.ones((3, 4, 4)), ELECTRON, {}, {}, r"\[PRIMARY\]: image: .*sum a stack"),
        (np.ones((4, 5)), ELECTRON, {}, {}, r"\[PRIMARY\]: image: Expected a square"),
        (np.full((4, 4), np.nan), ELECTRON, {}, {}, r"\[PRIMARY\]: mask: Expected at least half"),
        (-counts(), ELECTRON, {}, {}, r"\[PRIMARY\]: image: Expected counts"),
        (counts(), ELECTRON, {"VARIANCE": (-counts(), {})}, {}, "variance: Expected none below zero"),
        (
            counts(),
            ELECTRON,
            {"VARIANCE": (counts(), {"BUNIT": "electron"})},
            {},
            "variance: Expected the square",
        ),
        (
            counts(),
            ELECTRON,
            {"VARIANCE": (counts(), {"BUNIT": "adu**2"})},
            {},
            "variance: Expected the square",
        ),
        (counts(), ELECTRON, {"MASK": (counts(), {})}, {}, r"\[MASK\]: Expected 1 where"),
        (counts(), ELECTRON, {"MASK": (np.zeros((6, 6)), {})}, {}, "mask: Expected at least half"),
        (counts(), ELECTRON, {"MASK": (np.ones((3, 3)), {})}, {}, "mask: Expected the shape"),
    ],
)
def test_what_a_fits_file_lacks_is_named(tmp_path, image, header, extensions, options, message):
    path = write_fits(tmp_path / "image.fits", image, header, **extensions)
    with pytest.raises(ValueError, match=message) as caught:
        Observation.read(path, **options)
    assert str(caught.value).startswith(str(path))


def test_a_variance_may_name_its_unit(tmp_path):
    for unit, squared in (("electron", "electron2"), ("electron", "electron**2"), ("adu/s", "(adu/s)^2")):
        header = {"BUNIT": unit, "GAIN": 1, "EXPTIME": 1}
        path = write_fits(tmp_path / "image.fits", counts(), header, VARIANCE=(counts(), {"BUNIT": squared}))
        np.testing.assert_array_equal(Observation.read(path).variance, counts())


def test_files_of_another_kind_are_named(tmp_path):
    table = tmp_path / "table.fits"
    column = fits.Column(name="x", format="D", array=np.arange(3.0))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column], name="CAT")]).writeto(table)
    with pytest.raises(ValueError, match="table.fits.*CAT.*without an image"):
        Observation.read(table, extension="CAT")
    for suffix in SUFFIXES:
        text, packed = tmp_path / f"text{suffix}", tmp_path / f"packed{suffix}"
        text.write_text("not an image\n" * 500)
        packed.write_bytes(gzip.compress(b"not an image" * 500))
        for path in (tmp_path / f"none{suffix}", tmp_path, text, packed):
            with pytest.raises(ValueError, match="Expected") as caught:
                Observation.read(path)
            assert str(path) in str(caught.value)


def test_npz_files_of_others(tmp_path):
    path = tmp_path / "image.npz"
    np.savez(path, image=counts().astype(np.int32), unit="adu", exposures=3, more="ignored")
    observation = Observation.read(path, gain_e_per_adu=2.0)
    np.testing.assert_array_equal(observation.image, 2 * counts())
    assert observation.exposures == 3
    for arrays, message in (
        ({"image": counts()}, "BUNIT.*unit="),
        ({"counts": counts(), "unit": "electron"}, "named image"),
        ({"image": np.array([None]), "unit": "electron"}, "Object arrays"),
        ({"image": counts() * 1j, "unit": "electron"}, "real numbers"),
        ({"image": counts(), "unit": "electron", "exposures": [1, 2]}, "Expected"),
        ({"image": counts(), "unit": "electron", "mask": np.ones((6, 6))}, "mask: Expected booleans"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=message) as caught:
            Observation.read(path)
        assert str(caught.value).startswith(str(path))
    with pytest.raises(ValueError, match="no extension"):
        Observation.read(path, extension=1)


# Saturation


def test_saturated_pixels_are_masked_with_their_number(tmp_path):
    path = tmp_path / "image.fits"
    write_fits(path, counts(), {"BUNIT": "electron", "NEXP": 2, "SATURATE": 17.0})
    with pytest.warns(SaturationWarning, match="image.fits.*: 3 pixels"):
        observation = Observation.read(path)
    np.testing.assert_array_equal(observation.mask, counts() < 34)
    with pytest.warns(SaturationWarning, match=": 1 pixels"):
        Observation.read(path, saturation_e=18)
    write_fits(path, counts(), {"BUNIT": "adu", "GAIN": 0.1, "NEXP": 3, "SATURATE": 12})
    with pytest.warns(SaturationWarning, match=": 1 pixels"):  # 36 adu, whatever the rounding
        Observation.read(path)
    with pytest.raises(ValueError, match="mask: Expected at least half"):
        Observation.read(path, saturation_e=0.1)
    with pytest.raises(ValueError, match="SATURATE"):
        Observation.read(path, saturation_e=-1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_that_are_masked_already_are_not_warned_of_again(tmp_path, suffix):
    observation = Observation(counts(), mask=counts() < 34)
    observation.write(tmp_path / f"image{suffix}", saturation_e=34)
    assert_same(Observation.read(tmp_path / f"image{suffix}"), observation)
