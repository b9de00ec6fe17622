"""Figures say what the arrays say: axes, units, measured numbers, masked pixels; no global state."""

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from dluxshera.plotting import (
    Panel,
    correlation_matrix,
    plot_comparison,
    plot_correlation,
    plot_image,
    plot_panels,
    plot_residual_histogram,
    plot_shera_page,
    plot_signal,
    plot_spectrum,
    style,
)
from dluxshera.plotting.labels import group_indices, short_labels
from dluxshera.plotting.matrices import format_correlation, strongest_correlation
from dluxshera.plotting.recipes import loss_figure, parameter_figure
from dluxshera.plotting.run_difference import plot_run_difference
from dluxshera.plotting.style import MASKED

LABELS = [
    "binary.separation_as",
    "binary.contrast",
    "optics.m1.zernike_coeffs_nm[Z4]",
    "optics.m2.zernike_coeffs_nm[Z4]",
]


@pytest.fixture
def scene():
    """Data, model, whitened residual and mask of a small image with three masked pixels."""
    random = np.random.default_rng(3)
    y, x = np.indices((24, 24)) - 11.5
    model = 4000 * np.exp(-(x**2 + y**2) / 20) + 2
    data = random.poisson(model).astype(float)
    mask = np.ones((24, 24), bool)
    mask[3, 4:7] = False
    return data, model, (data - model) / np.sqrt(model), mask


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def color_bars(figure: Figure) -> list[str]:
    return [ax.get_xlabel() or ax.get_ylabel() for ax in figure.axes if ax.get_label() == "<colorbar>"]


def test_an_image_has_arcsec_axes_that_follow_the_plate_scale(scene):
    ax = plot_image(scene[0], 0.355, title="star").axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == ("x (arcsec)", "y (arcsec)", "star")
    np.testing.assert_allclose(ax.images[0].get_extent(), np.array([-1, 1, -1, 1]) * 12 * 0.355)
    assert plot_image(scene[0]).axes[0].get_xlabel() == "x (pixel)"


def test_an_image_names_its_unit_and_its_total(scene):
    figure = plot_image(scene[0], unit="photons")
    assert color_bars(figure) == ["photons"]
    assert f"{scene[0].sum():.4g} photons" in figure.axes[0].get_title(loc="left")
    assert "photons" in plot_image(2 * scene[0], unit="photons").axes[0].get_title(loc="left")
    brighter = plot_image(2 * scene[0], unit="photons").axes[0].get_title(loc="left")
    assert brighter != figure.axes[0].get_title(loc="left")


def test_rows_go_up():
    image = np.zeros((4, 4))
    image[3, 0] = 1.0
    ax = plot_image(image, stretch="linear").axes[0]
    assert ax.images[0].origin == "lower"
    assert not ax.yaxis_inverted()


@pytest.mark.parametrize("stretch", ["log", "linear"])
def test_masked_pixels_are_grey_and_counts_of_zero_are_not(stretch):
    image, mask = np.full((4, 4), 100.0), np.ones((4, 4), bool)
    image[0, 0], mask[3, 3] = 0.0, False
    drawn = plot_image(image, mask=mask, stretch=stretch).axes[0].images[0]
    colors = drawn.to_rgba(drawn.get_array())
    np.testing.assert_allclose(colors[3, 3], to_rgba(MASKED))
    assert not np.allclose(colors[0, 0], to_rgba(MASKED))


def test_the_logarithmic_stretch_shows_faint_structure(scene):
    middle = [plot_image(scene[1], stretch=s).axes[0].images[0].norm(40.0) for s in ("log", "linear")]
    assert middle[0] > 0.3 > 0.05 > middle[1]


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.full((4, 4), -1.0)])
def test_an_image_with_nothing_to_stretch_is_still_drawn(image):
    assert pixels(plot_image(image)).size
    assert pixels(plot_image(image, stretch="linear")).size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.zeros(4)}, "shape"),
        ({"image": np.ones((4, 4)), "stretch": "sqrt"}, "sqrt"),
        ({"image": np.ones((4, 4)), "mask": np.ones((3, 4), bool)}, "mask"),
    ],
)
def test_an_image_that_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_image(**arguments)


def test_a_comparison_has_three_images_and_two_color_bars(scene):
    figure = plot_comparison(*scene, 0.355)
    images = [ax for ax in figure.axes if ax.images and ax.get_label() != "<colorbar>"]
    assert len(images) == 3
    assert color_bars(figure) == ["electrons", "residual (σ), 3 masked in grey"]
    assert images[0].images[0].norm is images[1].images[0].norm


def test_the_residual_scale_is_symmetric_and_its_title_measured(scene):
    data, model, residual, mask = scene
    ax = plot_comparison(data, model, residual, mask, 0.355).axes[2]
    norm = ax.images[0].norm
    assert norm.vmin == -norm.vmax <= -3
    assert f"rms {np.sqrt(np.mean(residual[mask] ** 2)):.3f} σ" in ax.get_title(loc="left")
    louder = plot_comparison(data, model, 3 * residual, mask, 0.355).axes[2]
    assert louder.get_title(loc="left") != ax.get_title(loc="left")
    assert louder.images[0].norm.vmax > norm.vmax


def test_a_comparison_shows_masked_pixels_in_all_three(scene):
    for ax in plot_comparison(*scene).axes[:3]:
        assert np.ma.getmaskarray(ax.images[0].get_array())[3, 4:7].all()


def test_the_histogram_counts_used_pixels_and_states_chi_square(scene):
    residual, mask = scene[2], scene[3]
    ax = plot_residual_histogram(residual, mask, 500).axes[0]
    chi_square = np.sum(residual[mask] ** 2)
    assert ax.get_title(loc="left") == f"χ² = {chi_square:.0f} / 500 = {chi_square / 500:.3f}"
    assert sum(patch.get_height() for patch in ax.patches) == mask.sum()
    assert ax.get_xlabel() == "residual (σ)"


def test_the_gaussian_on_the_histogram_has_the_area_of_the_bars(scene):
    ax = plot_residual_histogram(scene[2]).axes[0]
    x, y = ax.lines[0].get_data()
    width = ax.patches[0].get_width()
    assert np.trapezoid(y, x) / width == pytest.approx(scene[2].size, rel=1e-4)


def test_residuals_off_the_histogram_are_counted():
    ax = plot_residual_histogram(np.array([0.0, 1.0, 40.0, -50.0])).axes[0]
    assert [text.get_text() for text in ax.texts] == ["2 beyond ±10 σ"]
    assert sum(patch.get_height() for patch in ax.patches) == 4


def test_a_histogram_of_no_pixels_is_drawn():
    assert "nan" in plot_residual_histogram(np.ones((2, 2)), np.zeros((2, 2), bool)).axes[0].get_title(loc="left")


def test_a_signal_has_its_unit_its_truth_and_its_ends_in_the_title():
    ax = plot_signal([120.0, 3.0, 0.41], unit="µas", truth=0.0).axes[0]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("µas", "step")
    assert ax.get_title(loc="left") == "120 to 0.41 µas"
    assert [line.get_label() for line in ax.lines][-1] == "truth"


def test_a_signal_follows_the_x_that_it_is_given():
    figure = plot_signal([3.0, 2.0], [10, 20], unit="nm", log=True, label="Z4", x_label="time (s)")
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [10, 20])
    assert (ax.get_yscale(), ax.get_xlabel(), ax.get_legend().get_texts()[0].get_text()) == ("log", "time (s)", "Z4")


def test_signals_can_share_axes_of_the_caller():
    figure = Figure()
    ax = figure.subplots()
    assert plot_signal([1.0, 2.0], unit="nm", ax=ax) is figure
    plot_signal([2.0, 3.0], unit="nm", ax=ax, symlog=True)
    assert len(ax.lines) == 2
    assert ax.get_yscale() == "symlog"


@pytest.mark.parametrize(("options", "message"), [({"x": [0, 1]}, r"\(3,\)"), ({"log": True, "symlog": True}, "both")])
def test_a_signal_that_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        plot_signal([1.0, 2.0, 3.0], unit="nm", **options)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.float64(2.0), ValueError, r"signal of shape \(T,\) or \(T, k\) with k > 0, got \(\)"),
        (np.zeros((2, 2, 2)), ValueError, r"signal of shape .*got \(2, 2, 2\)"),
        (np.zeros((3, 0)), ValueError, r"signal of shape .*got \(3, 0\)"),
        (["a"], TypeError, "real numbers for a signal, got <U1"),
        ([1j, 2.0], TypeError, "real numbers for a signal, got complex128"),
    ],
)
def test_values_that_are_no_series_of_numbers_are_refused(values, error, message):
    with pytest.raises(error, match=message):
        plot_signal(np.asarray(values))


def test_a_name_with_an_underscore_is_in_the_legend():
    for figure in (plot_signal([1.0, 2.0], label="_hidden"), plot_panels([Panel("p", "", {"_hidden": [1.0, 2.0]})])):
        assert [text.get_text().lstrip("\u200b") for text in figure.axes[0].get_legend().get_texts()] == ["_hidden"]
        assert pixels(figure).size


@pytest.mark.parametrize("within", [1.0, None])
def test_a_series_too_large_for_a_logarithm_with_a_margin_is_still_drawn(within):
    panel = Panel("p", "", {"a": [1e300, -1e300, 0.0]}, scale="symlog", linear_within=within)
    assert pixels(plot_panels([panel])).size
    assert pixels(plot_signal([1e300, -1e300, 0.0], unit="arcsec", symlog=True)).size


@pytest.mark.parametrize("series", [{"a": [100.0, 2.0], "b": [1.0]}, {"a": []}, {"a": [], "b": [100.0, 1.0]}])
def test_series_of_several_lengths_share_a_symlog_axis(series):
    assert pixels(plot_panels([Panel("p", "nm", series, scale="symlog", linear_within=None)])).size


def test_panels_stack_named_series_on_one_x_axis():
    panels = [
        Panel("position", "µas", {"x": [3.0, 1.0], "y": [2.0, 0.5]}, truth=0.0),
        Panel("loss", "", {"loss": [10.0, 0.1]}, scale="log"),
    ]
    figure = plot_panels(panels, title="run 7")
    first, second = figure.axes
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["x", "y", "truth"]
    assert (first.get_ylabel(), second.get_ylabel(), second.get_yscale()) == ("µas", "value", "log")
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "step")
    assert figure.get_suptitle() == "run 7"


def test_panels_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        plot_panels([])
    with pytest.raises(ValueError, match="cubic"):
        plot_panels([Panel("a", "", {"a": [1.0]}, scale="cubic")])
    with pytest.raises(ValueError, match="series in the panel 'empty'"):
        plot_panels([Panel("empty", "", {})])
    with pytest.raises(ValueError, match=r"series 'm' of 'a' of shape \(T,\)"):
        plot_panels([Panel("a", "", {"m": np.zeros((2, 2))})])
    with pytest.raises(ValueError, match="one column or more, got 0"):
        plot_panels([Panel("a", "", {"a": [1.0]})], columns=0)


def test_the_loss_is_drawn_above_its_lowest_value():
    ax = loss_figure(np.array([17000.0, 8000.0, 7970.5, 7971.5])).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [9029.5, 29.5, 0.0, 1.0])
    assert ax.get_yscale() == "log"
    assert ax.get_title(loc="left") == "loss 17000 to 7970.5, lowest at step 2"


@pytest.mark.parametrize("loss", [[5.0], [5.0, 5.0], [5.0, np.nan, 4.0], [np.nan, np.nan]])
def test_a_loss_with_little_to_show_is_still_drawn(loss):
    assert pixels(loss_figure(np.array(loss))).size


def test_a_loss_without_a_step_is_refused():
    for draw in (loss_figure, lambda loss: plot_shera_page({}, loss)):
        with pytest.raises(ValueError, match="loss of one step or more"):
            draw(np.zeros(0))


def test_differences_that_are_not_finite_are_counted_and_left_out():
    rows = [{"label": "x", "sigmas": np.inf}, {"label": "y", "sigmas": 2.0}, {"label": "z", "sigmas": None}]
    figure = plot_run_difference(["a", "_b"], [[3.0, 1.0], [2.0]], rows)
    assert figure.axes[1].get_title(loc="left") == "Estimates; 2 not comparable" and pixels(figure).size
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "\u200b_b"]
    assert len(plot_run_difference(["a", "b"], [[3.0, 1.0], [2.0]], rows[:1]).axes) == 1


def test_parameter_histories_are_in_sigmas_from_the_estimate_by_group():
    values = np.array([[9.0, 0.2, 5.0, 7.0], [10.0, 0.3, 0.0, 1.0]])
    figure = parameter_figure(values, [0.1, 0.05, 2.0, np.inf], LABELS, values[-1])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["binary", "optics.m1.zernike_coeffs_nm"]
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [-10.0, 0.0])
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), [2.5, 0.0])
    with pytest.raises(ValueError, match="finite sigma"):
        parameter_figure(values, [np.inf] * 4, LABELS, values[-1])


def test_correlations_are_those_of_the_covariance():
    sigma, correlation = np.array([1e-6, 3.0, 50.0]), np.array([[1, 0.5, 0], [0.5, 1, -0.9], [0, -0.9, 1]])
    np.testing.assert_allclose(correlation_matrix(sigma[:, None] * correlation * sigma), correlation)
    assert strongest_correlation(correlation) == (1, 2)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        correlation_matrix(np.zeros((2, 3)))


def test_what_the_data_do_not_determine_has_no_correlation():
    correlation = correlation_matrix(np.diag([1.0, np.inf, 4.0]))
    assert np.isnan(correlation[1]).all()
    assert correlation[0, 2] == 0
    assert strongest_correlation(correlation_matrix(np.diag([np.inf, np.inf]))) is None


def test_the_correlation_figure_names_its_rows_and_its_strongest_pair():
    covariance = np.diag([1.0, 4.0, 9.0, 16.0])
    covariance[2, 3] = covariance[3, 2] = -0.75 * 12
    figure = plot_correlation(covariance, LABELS)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["separation_as", "contrast", "m1 Z4", "m2 Z4"]
    assert ax.get_title(loc="left") == "strongest: m1 Z4 with m2 Z4, -0.750"
    assert color_bars(figure) == ["correlation"]
    with pytest.raises(ValueError, match="4 labels"):
        plot_correlation(covariance, LABELS[:3])


def test_a_correlation_near_one_shows_by_how_much_it_falls_short():
    assert format_correlation(0.9) == "+0.900"
    assert format_correlation(-(1 - 4e-7)) == "-(1 − 4e-07)"


def test_the_spectrum_is_that_of_the_scaled_information():
    information = np.array([[1e12, 0.6e6], [0.6e6, 1.0]])
    ax = plot_spectrum(information).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1.6, 0.4])
    assert ax.get_yscale() == "log"
    assert ax.get_title(loc="left") == "condition 4"


def test_modes_that_are_not_determined_are_marked_apart():
    ax = plot_spectrum(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])).axes[0]
    assert ax.get_title(loc="left") == "condition 1, 2 not determined"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["not seen"]
    assert plot_spectrum(np.zeros((2, 2))).axes[0].get_title(loc="left") == "no mode is determined"


def test_labels_are_shortened_only_where_they_stay_apart():
    assert short_labels(LABELS) == ["separation_as", "contrast", "m1 Z4", "m2 Z4"]
    assert short_labels(["a.gain", "b.gain", "a.bias"]) == ["a.gain", "b.gain", "bias"]
    assert group_indices([*LABELS, "plate_scale_as"]) == {
        "binary": [0, 1],
        "optics.m1.zernike_coeffs_nm": [2],
        "optics.m2.zernike_coeffs_nm": [3],
        "plate_scale_as": [4],
    }


def test_figures_look_the_same_whatever_the_settings_when_they_are_drawn(scene):
    expected = pixels(plot_residual_histogram(scene[2]))
    figure = plot_residual_histogram(scene[2])
    with matplotlib.rc_context({"xtick.labelsize": 30, "axes.titlesize": 30, "grid.color": "red"}):
        np.testing.assert_array_equal(pixels(figure), expected)


def test_the_settings_of_the_user_do_not_reach_the_figures(scene):
    expected = pixels(plot_residual_histogram(scene[2]))
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 20, "axes.grid": True}):
        np.testing.assert_array_equal(pixels(plot_residual_histogram(scene[2])), expected)


def test_the_style_leaves_the_settings_as_they_were():
    before = dict(matplotlib.rcParams)
    with style():
        assert matplotlib.rcParams["font.size"] == 8
    assert dict(matplotlib.rcParams) == before


def test_figures_can_be_written_without_a_display(scene):
    for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        buffer = io.BytesIO()
        plot_comparison(*scene, 0.355).savefig(buffer, format=kind)
        assert buffer.getvalue().startswith(start)


def test_matplotlib_is_imported_by_plotting_only_and_pyplot_never():
    code = (
        "import sys, dluxshera, dluxshera.inference; assert 'matplotlib' not in sys.modules\n"
        "import numpy as np, dluxshera.plotting as p\n"
        "p.plot_comparison(*np.ones((3, 4, 4))); p.plot_correlation(np.eye(2), ['a', 'b'])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
