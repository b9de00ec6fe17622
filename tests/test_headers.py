"""Files as observatories write them: units, extensions, bad pixels, cuts and orientation."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import dluxshera as ds
from dluxshera.instrument.crop import brightest_place, cut
from dluxshera.instrument.raw_image import RawImage, parse_unit

NPIX = 24


def star(x, y, shape=(40, 50), width=1.6, peak=1000.0):
    rows, columns = np.indices(shape)
    return peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2)) + 1.0


def write(path, image, cards=None, primary=None, **extensions):
    """An image in an extension SCI beside others, as pipelines write it; or in PRIMARY where that is `primary`."""
    hdus = [fits.PrimaryHDU(primary)]
    hdus += [] if image is None else [fits.ImageHDU(np.asarray(image), name="SCI")]
    hdus[-1].header.update(cards or {})
    hdus += [fits.ImageHDU(np.asarray(array), name=name) for name, array in extensions.items()]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def square(npix=NPIX):
    return np.arange(1.0, npix**2 + 1).reshape(npix, npix)


# Units


@pytest.mark.parametrize(
    ("unit", "digital", "rate"),
    [
        ("DN", True, False),
        ("DN/s", True, True),
        ("dn / s", True, True),
        ("counts", True, False),
        ("COUNTS/S", True, True),
        ("count s-1", True, True),
        ("ct", True, False),
        ("ADU", True, False),
        ("adu s**-1", True, True),
        ("electron", False, False),
        ("electrons/s", False, True),
        ("e-/sec", False, True),
    ],
)
def test_units_as_headers_spell_them(unit, digital, rate):
    assert parse_unit(unit, "here") == (digital, rate)


@pytest.mark.parametrize("unit", ["Jy", "DN/pixel", "MJy/sr", "electron/hour", ""])
def test_other_units_are_refused(unit):
    with pytest.raises(ValueError, match="here: Expected .*unit"):
        parse_unit(unit, "here")


@pytest.mark.parametrize(
    ("cards", "factor"),
    [
        ({"BUNIT": "DN", "GAIN": 2.5, "NEXP": 4}, 2.5),
        ({"BUNIT": "DN/s", "GAIN": 2.5, "EXPTIME": 0.5, "NEXP": 4}, 2.5 * 0.5 * 4),
        ({"BUNIT": "counts/s", "GAIN": 2, "EXPTIME": 3}, 6.0),
        ({"BUNIT": "electron", "GAIN": 9.0}, 1.0),
    ],
)
def test_keywords_make_electrons(tmp_path, cards, factor):
    path = write(tmp_path / "image.fits", square(), cards)
    observed = ds.Observation.read(path, extension="SCI")
    np.testing.assert_allclose(observed.image, factor * square(), rtol=1e-12)
    assert observed.exposures == cards.get("NEXP", 1)


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({}, r"image.fits\[SCI\]: Expected a unit \(BUNIT\)"),
        ({"BUNIT": "DN"}, r"image.fits\[SCI\]: Expected GAIN"),
        ({"BUNIT": "DN/s", "GAIN": 1.0}, r"image.fits\[SCI\]: Expected EXPTIME"),
        ({"BUNIT": "DN", "GAIN": -1.0}, r"image.fits\[SCI\]: Expected a positive number for GAIN"),
        ({"BUNIT": "DN", "GAIN": 1.0, "NEXP": "four"}, r"image.fits\[SCI\]: Expected a positive number for NEXP"),
        ({"BUNIT": "Jy"}, r"image.fits\[SCI\]: Expected the unit"),
        ({"BUNIT": "electron", "ROLL": "up"}, r"image.fits\[SCI\]: Expected degrees for ROLL"),
        ({"BUNIT": "electron", "PARITY": 0}, r"image.fits\[SCI\]: Expected 1 or -1 for PARITY"),
        ({"BUNIT": "electron", "XCORNER": "a", "YCORNER": 1}, r"image.fits\[SCI\]: Expected numbers for XCORNER"),
    ],
)
def test_a_header_that_does_not_say_enough_is_refused(tmp_path, cards, message):
    path = write(tmp_path / "image.fits", square(), cards)
    with pytest.raises(ValueError, match=message):
        ds.Observation.read(path, extension="SCI")


# Extensions


@pytest.mark.parametrize("extension", ["SCI", "sci", 1])
def test_an_extension_by_name_or_number(tmp_path, extension):
    path = write(tmp_path / "image.fits", square(), {"BUNIT": "electron"}, primary=-np.ones((3, 3)))
    np.testing.assert_array_equal(ds.Observation.read(path, extension=extension).image, square())


@pytest.mark.parametrize(("extension", "got"), [(None, "one without an image"), ("SCY", "no such"), (7, "no such")])
def test_an_extension_that_is_not_there_is_refused_with_those_that_are(tmp_path, extension, got):
    path = write(tmp_path / "image.fits", square(), {"BUNIT": "electron"})
    with pytest.raises(
        ValueError, match=rf"image.fits\[.*\]: Expected an image, got {got}.*extension= one of \['SCI'\]"
    ):
        ds.Observation.read(path, extension=extension)


# Bad pixels


def bad_map():
    bad = np.zeros((NPIX, NPIX), np.int32)
    bad[2, 3], bad[5, 5], bad[7, 0] = 1, 4096, -2
    return bad


@pytest.mark.parametrize("name", ["DQ", "BPM", "BADPIX"])
def test_bad_pixels_of_the_file_are_masked_by_themselves(tmp_path, name):
    path = write(tmp_path / "image.fits", square(), {"BUNIT": "electron"}, **{name: bad_map()})
    np.testing.assert_array_equal(ds.Observation.read(path, extension="SCI").mask, bad_map() == 0)


@pytest.mark.parametrize("kind", ["flags", "number", "file", "file extension", "npy", "bool npy"])
def test_bad_pixels_from_where_the_user_says(tmp_path, kind):
    path = write(tmp_path / "image.fits", square(), {"BUNIT": "electron"}, FLAGS=bad_map())
    single = write(tmp_path / "bad.fits", None, primary=bad_map())
    several = write(tmp_path / "many.fits", np.zeros((9, 9)), FLAGS=bad_map())
    np.save(tmp_path / "bad.npy", bad_map())
    np.save(tmp_path / "true.npy", bad_map() != 0)
    source = {
        "flags": "FLAGS",
        "number": 2,
        "file": single,
        "file extension": f"{several}[FLAGS]",
        "npy": str(tmp_path / "bad.npy"),
        "bool npy": tmp_path / "true.npy",
    }[kind]
    observed = ds.Observation.read(path, extension="SCI", bad_pixels=source)
    np.testing.assert_array_equal(observed.mask, bad_map() == 0)


def test_bad_pixels_and_a_mask_are_both_left_out(tmp_path):
    good = np.ones((NPIX, NPIX), np.uint8)
    good[0, 0] = 0
    path = write(tmp_path / "image.fits", square(), {"BUNIT": "electron"}, MASK=good, DQ=bad_map())
    expected = (good == 1) & (bad_map() == 0)
    np.testing.assert_array_equal(ds.Observation.read(path, extension="SCI").mask, expected)
    np.savez(tmp_path / "image.npz", image=square(), mask=good == 1, unit="electron")
    np.save(tmp_path / "bad.npy", bad_map())
    found = ds.Observation.read(tmp_path / "image.npz", bad_pixels=tmp_path / "bad.npy")
    np.testing.assert_array_equal(found.mask, expected)


def test_a_map_that_does_not_serve_is_refused(tmp_path):
    path = write(tmp_path / "image.fits", square(), {"BUNIT": "electron"})
    small = write(tmp_path / "small.fits", None, primary=np.zeros((3, 3)))
    two = write(tmp_path / "two.fits", np.zeros((3, 3)), A=np.zeros((3, 3)))
    np.savez(tmp_path / "image.npz", image=square(), unit="electron")
    (tmp_path / "words.npy").write_text("words")

    def read(source, image=path, extension="SCI"):
        return ds.Observation.read(image, extension=extension, bad_pixels=source)

    for source, message in {
        small: r"small.fits\[PRIMARY\]: Expected a bad-pixel map of the shape \(24, 24\)",
        two: r"two.fits: Expected one image, got 2: \['SCI', 'A'\]. Name the extension, as in two.fits\[1\]",
        tmp_path / "none.fits": "none.fits: Expected a bad-pixel map, got no file",
        tmp_path / "words.npy": "words.npy: Expected an .npy file with a bad-pixel map",
        "FLAGS": r"image.fits\[FLAGS\]: Expected an image, got no such extension",
        9: r"image.fits\[9\]: Expected an image, got no such extension",
    }.items():
        with pytest.raises(ValueError, match=message):
            read(source)
    with pytest.raises(ValueError, match="image.npz: Expected the file of a bad-pixel map, got 'DQ'"):
        read("DQ", tmp_path / "image.npz", None)
    other = write(tmp_path / "other.fits", square(), {"BUNIT": "electron"}, DQ=np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"other.fits\[DQ\]: Expected the shape \(24, 24\)"):
        ds.Observation.read(other, extension="SCI")


# Cuts


@settings(max_examples=20, deadline=None)
@given(x=st.floats(14, 34), y=st.floats(14, 24), npix=st.integers(15, 24))
def test_a_cut_lies_about_the_light(x, y, npix):
    """The middle of the cut is the whole-pixel place nearest to the star, and is told."""
    raw = cut(RawImage("here", star(x, y)), npix)
    middle = raw.corner + (npix - 1) / 2
    assert np.abs(middle - [x, y]).max() <= 0.55
    left, low = raw.corner.astype(int)
    np.testing.assert_array_equal(raw.image, star(x, y)[low : low + npix, left : left + npix])


def test_a_hot_pixel_and_a_masked_one_attract_nothing():
    image = star(20.0, 18.0)
    image[3, 3], image[30, 40] = 1e6, 1e7
    mask = np.ones(image.shape, bool)
    mask[30, 40] = False
    x, y = brightest_place(image, mask, 16)
    assert (x, y) == pytest.approx((20.0, 18.0), abs=0.1)
    image[5:9, 5:9] = np.nan
    assert brightest_place(image, None, 16) == pytest.approx((20.0, 18.0), abs=0.1)


def test_both_stars_of_a_binary_are_about_the_middle():
    image = star(20.0, 18.0, width=1.0) + star(27.0, 21.0, width=1.0, peak=300.0)
    x, y = brightest_place(image, None, 24)
    assert 20.5 < x < 24 and 18.2 < y < 20


def test_reading_a_cut_cuts_everything_and_says_where(tmp_path):
    image, bad = star(30.0, 12.0), np.zeros((40, 50), np.int16)
    bad[12, 34] = 1
    cards = {"BUNIT": "DN", "GAIN": 2.0}
    path = write(tmp_path / "frame.fits", image, cards, VARIANCE=image, DQ=bad)
    observed = ds.Observation.read(path, extension="SCI", crop=17)
    np.testing.assert_array_equal(observed.corner, [22.0, 4.0])
    assert observed.centre == (30.0, 12.0)
    np.testing.assert_allclose(observed.image, 2 * image[4:21, 22:39], rtol=1e-12)
    np.testing.assert_allclose(observed.variance, 4 * image[4:21, 22:39], rtol=1e-12)
    assert observed.masked_count == 1 and not observed.mask[8, 12]
    given_centre = ds.Observation.read(path, extension="SCI", crop=8, centre=(29.5, 11.5))
    np.testing.assert_array_equal(given_centre.corner, [26.0, 8.0])
    assert given_centre.centre == (29.5, 11.5) and ds.Observation(square()).centre is None


@pytest.mark.parametrize("suffix", [".fits", ".npz"])
def test_where_it_was_cut_and_how_it_lies_survive_a_file(tmp_path, suffix):
    frame = write(tmp_path / "frame.fits", star(30.0, 12.0), {"BUNIT": "electron", "ROLL": 33.25, "PARITY": -1})
    observed = ds.Observation.read(frame, extension="SCI", crop=17)
    observed.write(tmp_path / f"cut{suffix}")
    again = ds.Observation.read(tmp_path / f"cut{suffix}")
    assert (again.sky_roll_deg, again.parity) == (33.25, -1)
    np.testing.assert_array_equal(again.corner, observed.corner)
    smaller = ds.Observation.read(tmp_path / f"cut{suffix}", crop=9)
    assert smaller.centre == observed.centre
    np.testing.assert_array_equal(smaller.image, observed.image[4:13, 4:13])
    same = ds.Observation(**observed.arrays())
    assert (
        same.overrides
        == observed.overrides
        == {
            "optics.psf_npix": 17,
            "detector.sky_roll_deg": 33.25,
            "detector.parity": -1,
        }
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 60}, r"frame.fits\[SCI\]: Expected a crop of 1 to 40 pixels, got 60. .*50 columns and 40 rows"),
        ({"crop": 0}, "Expected a crop of 1 to 40 pixels"),
        ({"crop": 20, "centre": (5, 12)}, r"frame.fits\[SCI\]: Expected a crop inside .*Pass a smaller crop="),
        ({"crop": 39}, "Expected a crop inside"),
        ({"crop": 20, "centre": (5,)}, r"Expected centre=\(column, row\)"),
        ({"centre": (5, 5)}, "Expected crop= with centre="),
        ({}, "image: Expected a square.*as with crop="),
    ],
)
def test_a_cut_that_cannot_be_is_refused(tmp_path, options, message):
    path = write(tmp_path / "frame.fits", star(30.0, 12.0), {"BUNIT": "electron"})
    with pytest.raises(ValueError, match=message):
        ds.Observation.read(path, extension="SCI", **options)


def test_a_cube_is_refused_before_it_is_cut(tmp_path):
    path = write(tmp_path / "cube.fits", np.ones((3, 20, 20)), {"BUNIT": "electron"})
    with pytest.raises(ValueError, match=r"cube.fits\[SCI\]: Expected a two-dimensional image to crop, got shape \(3,"):
        ds.Observation.read(path, extension="SCI", crop=10)


def test_the_model_finds_the_star_where_the_centre_says(tmp_path):
    """A star at a sub-pixel place of a larger frame: centre plus the fitted offset is that place."""
    x, y = 30.3, 14.8
    path = write(tmp_path / "frame.fits", star(x, y), {"BUNIT": "electron"})
    observed = ds.Observation.read(path, extension="SCI", crop=16)
    light = np.asarray(observed.image) - 1.0
    rows, columns = np.indices(light.shape) - (16 - 1) / 2
    found = [float((light * axis).sum() / light.sum()) for axis in (columns, rows)]
    assert np.add(observed.centre, found) == pytest.approx([x, y], abs=2e-3)


# What is passed on


def test_a_simulated_image_knows_the_orientation_of_its_detector(tmp_path):
    from small_instrument import small_instrument

    model = ds.set_values(small_instrument(), {"detector.sky_roll_deg": 21.0})
    observed = ds.simulate(model, 0)
    observed.write(tmp_path / "image.fits")
    known = ds.Observation.read(tmp_path / "image.fits").overrides
    assert known == {"optics.psf_npix": 16, "detector.sky_roll_deg": 21.0, "detector.parity": 1}
    assert ds.simulate(small_instrument(), 0).overrides == {"optics.psf_npix": 16}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"corner": [1.0]}, "corner: Expected two"),
        ({"parity": 0}, "parity: Expected 1 or -1"),
        ({"sky_roll_deg": [1.0, 2.0]}, "sky_roll_deg: Expected one angle"),
        ({"sky_roll_deg": np.inf}, "sky_roll_deg: Expected one angle"),
    ],
)
def test_an_observation_that_lies_nowhere_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ds.Observation(square(), **arguments)
