"""What `fit` remarks about an image, and how messages name its options."""

from types import SimpleNamespace

import numpy as np
import pytest

from dluxshera._cli_fit import _in_words_of_the_command_line, _warn_of_a_sum


@pytest.mark.parametrize("exposures, brightest, masked, told", [
    (1, 60_000.0, False, True), (1, 50_000.0, False, False), (2, 60_000.0, False, False), (1, 60_000.0, True, False),
])  # fmt: skip
def test_more_than_the_well_of_one_exposure_is_told(exposures, brightest, masked, told):
    said, image = [], np.full((2, 2), 10.0)
    image[0, 0] = brightest
    mask = np.array([[not masked, True], [True, True]])
    observed = SimpleNamespace(image=image, mask=mask, exposures=exposures)
    start = SimpleNamespace(detector=SimpleNamespace(full_well_e=55_000.0))
    _warn_of_a_sum(observed, start, SimpleNamespace(warn=said.append))
    assert bool(said) == told and all("--exposures" in text for text in said)


@pytest.mark.parametrize("message, words", [
    ("Pass a smaller crop= or another centre=.", "Pass a smaller --crop or another --centre."),
    ("Expected GAIN or gain_e_per_adu=, got neither. Pass gain_e_per_adu=NUMBER.",
     "Expected GAIN or --gain, got neither. Pass --gain NUMBER."),
    ("Pass unit='adu'.", "Pass --unit 'adu'."),
])  # fmt: skip
def test_messages_name_options_as_one_types_them(message, words):
    assert _in_words_of_the_command_line(message) == words
