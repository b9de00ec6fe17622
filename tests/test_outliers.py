"""Single pixels that would rule a fit are named before it begins."""

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import FREE, NPIX, poisson, spots

import dluxshera as ds
from dluxshera.inference.outliers import outlying_pixels


@pytest.fixture(scope="module")
def parts():
    model = spots()
    return model, ds.ThetaSpace(model, FREE), poisson(model)


def _struck(observation, *pixels, mask=None):
    image = np.array(observation.image)
    for pixel in pixels:
        image[pixel] = 1e7
    return dataclasses.replace(observation, image=image, mask=observation.mask if mask is None else mask)


def test_a_struck_pixel_is_named_before_the_first_step(parts):
    model, space, observation = parts
    objective = ds.Objective(model, space, _struck(observation, (2, 9), (8, 1)))
    with pytest.warns(ds.BadPixelWarning, match="row 2 column 9, row 8 column 1: .* 100 %.*--bad-pixels"):
        ds.fit(objective, space.pack(model), ds.LevenbergMarquardt(max_steps=1))


def test_nothing_is_said_of_masked_pixels_and_of_starts_far_off(parts):
    model, space, observation = parts
    mask = np.array(observation.mask)
    mask[2, 9] = False
    masked = _struck(observation, (2, 9), mask=mask)
    far = spots(x=-2.0, separation=5.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for start, seen in ((model, masked), (far, observation)):
            objective = ds.Objective(model, space, seen)
            ds.fit(objective, space.pack(start), ds.LevenbergMarquardt(max_steps=1))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, NPIX - 1), st.integers(0, NPIX - 1), st.floats(1e3, 1e8))
def test_one_pixel_among_noise_is_found_wherever_it_is(seed, row, column, size):
    noise = np.random.default_rng(seed).normal(size=(NPIX, NPIX))
    assert outlying_pixels(noise) == []
    noise[row, column] = -size
    assert outlying_pixels(noise) == [(row, column)]


def test_what_neighbours_share_is_an_image():
    at = np.arange(15.0) - 7
    star = 1e4 * np.exp(-(at**2)[:, None] / 2 - at**2 / 2)
    assert outlying_pixels(star) == []
