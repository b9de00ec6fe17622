"""The figure of modes says what the arrays say."""

import numpy as np
import pytest

from dluxshera.plotting import plot_modes
from dluxshera.plotting.labels import group_indices, short_labels

LABELS = ["binary.x", "binary.separation_as", "optics.m1.zernike_coeffs_nm[Z4]", "optics.m2.zernike_coeffs_nm[Z4]"]


@pytest.fixture(scope="module")
def vectors():
    return np.linalg.qr(np.random.default_rng(2).normal(size=(4, 3)))[0]


def test_colours_are_sizes_of_components_at_length_one(vectors):
    ax = plot_modes(5 * vectors, LABELS).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), np.abs(vectors))
    assert ax.images[0].get_clim() == (0, 1)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["x", "separation_as", "m1 Z4", "m2 Z4"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3"]
    assert len(ax.lines) == 2  # between the binary, m1 and m2


def test_eigenvalues_stand_above_their_modes(vectors):
    figure = plot_modes(vectors, LABELS, np.array([1e6, 3.0, 0.0]))
    above, below = figure.axes[:2]
    np.testing.assert_array_equal(above.lines[0].get_xydata(), [[1, 1e6], [2, 3.0]])
    assert above.get_yscale() == "log" and above.get_xlim() == below.get_xlim() == (0.5, 3.5)


def test_many_modes_have_fewer_numbers():
    figure = plot_modes(np.eye(60), [f"a[{i}]" for i in range(60)])
    assert 3 < len(figure.axes[0].get_xticks()) < 20


def test_bad_shapes_are_refused(vectors):
    with pytest.raises(ValueError, match=r"shape \(3, k\)"):
        plot_modes(vectors, LABELS[:3])
    with pytest.raises(ValueError, match="3 eigenvalues"):
        plot_modes(vectors, LABELS, np.ones(4))


def test_modes_share_an_axis_and_keep_their_names():
    labels = ["mode 1", "mode 2", "binary.x"]
    assert group_indices(labels) == {"mode": [0, 1], "binary": [2]}
    assert short_labels(labels) == ["mode 1", "mode 2", "x"]
