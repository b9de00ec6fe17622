"""Figures of signals, optics and many fits say what their arrays say: units, measured numbers, ellipses, rings."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from dluxshera.inference.signals import Signal
from dluxshera.inference.sweep import Sweep
from dluxshera.plotting import (
    Panel,
    PanelRecipe,
    panels_of,
    plot_comparison,
    plot_corner,
    plot_correlation,
    plot_dependence,
    plot_fisher,
    plot_modes,
    plot_opd,
    plot_panels,
    plot_pulls,
    plot_pupil,
    plot_radial_profile,
    plot_shera_page,
    plot_signal,
    plot_sweep,
    radial_profile,
    symbols_of,
)
from dluxshera.plotting.corner import ellipse
from dluxshera.plotting.panel import linear_part
from dluxshera.plotting.shera import signal_panels
from dluxshera.plotting.ticks import SymlogTicks
from dluxshera.plotting.units import FAMILIES, display_scale

ZERO = np.zeros(())


def title(ax):
    return ax.get_title(loc="left")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---- units


@pytest.mark.parametrize(
    ("largest", "unit", "shown", "factor"),
    [
        (0.4, "µas", "µas", 1.0),
        (9_000.0, "µas", "µas", 1.0),
        (20_000.0, "µas", "mas", 1e-3),
        (3e-6, "arcsec", "µas", 1e6),
        (2e-8, "m", "nm", 1e9),
        (0.02, "nm", "pm", 1e3),
        (0.05, "ppm", "ppb", 1e3),
        (5e4, "ppm", "%", 1e-4),
        (1e-12, "arcsec", "µas", 1e6),
        (0.0, "arcsec", "arcsec", 1.0),
        (np.nan, "nm", "nm", 1.0),
        (1e9, "electron", "electron", 1.0),
        (1e-9, "", "", 1.0),
    ],
)
def test_numbers_are_shown_in_a_readable_unit(largest, unit, shown, factor):
    assert display_scale([largest, -largest / 3], unit) == (factor, shown)


def test_a_unit_can_be_asked_for_and_one_that_does_not_convert_is_refused():
    assert display_scale(1e-6, "arcsec", "mas") == (1000.0, "mas")
    assert display_scale(1e-6, "arcsec", "arcsec") == (1.0, "arcsec")
    with pytest.raises(ValueError, match="'nm'"):
        display_scale(1.0, "nm", "mas")


def test_factors_are_exact_powers_of_ten():
    for family in FAMILIES:
        for unit in family:
            for other in family:
                exponent = np.log10(display_scale(1.0, unit, other)[0])
                assert exponent == round(exponent)


def test_an_axis_is_scaled_with_its_truth_and_its_band():
    figure = plot_panels([Panel("a", "arcsec", {"x": [3e-6, 1e-6]}, truth=2e-6, band=1e-6)])
    (ax,) = figure.axes
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [3, 1])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [2, 2])
    assert ax.get_ylabel() == "µas" and ax.patches[0].get_height() == pytest.approx(2)
    figure = plot_panels([Panel("a", "arcsec", {"x": [3e-6, 1e-6]}, display_unit="arcsec")])
    assert figure.axes[0].get_ylabel() == "arcsec"


# ---- signals and panels


@pytest.fixture
def signals():
    fall = np.array([100.0, 10.0, 0.5])
    found = [
        Signal("binary.x_error_uas", fall, truth=ZERO),
        Signal("binary.y_error_uas", -2 * fall, truth=ZERO),
        Signal("binary.contrast_error_ppm", np.zeros(3), truth=ZERO),
        Signal("primary.zernike_error_nm", fall[:, None] * [1.0, -4.0, 2.0, 0.1], ("Z4", "Z5", "Z6", "Z7"), ZERO),
        Signal("primary.zernike_error_rms_nm", fall, truth=ZERO),
        Signal("detector.jitter_mas", 0.2 + fall, truth=np.array(0.2)),
    ]
    return {signal.name: signal for signal in found}


def test_a_signal_brings_its_unit_its_labels_and_its_truth(signals):
    ax = plot_signal(signals["binary.x_error_uas"]).axes[0]
    assert (ax.get_ylabel(), title(ax), len(ax.lines)) == ("µas", "100 to 0.5 µas", 2)
    ax = plot_signal(signals["primary.zernike_error_nm"]).axes[0]
    assert legend(ax) == ["Z4", "Z5", "Z6", "Z7", "truth"]
    assert title(ax) == f"final RMS {0.5 * np.sqrt((1 + 16 + 4 + 0.01) / 4):.3g} nm"
    assert plot_signal(signals["detector.jitter_mas"]).axes[0].lines[1].get_ydata()[0] == pytest.approx(0.2)


def test_components_need_a_label_each():
    with pytest.raises(ValueError, match="2 labels"):
        plot_signal(np.zeros((3, 2)), labels=("a",))


def test_a_recipe_puts_signals_on_one_axis_and_says_where_they_end(signals):
    (panel,) = panels_of(signals, [PanelRecipe("Centre", ("binary.x_error_uas", "binary.y_error_uas", "not.there"))])
    assert list(panel.series) == ["x", "y"] and panel.truth == 0
    assert panel.title == "Centre: final x 0.5, y -1 µas"


def test_a_vector_is_shown_by_its_summary_and_its_largest_components(signals):
    (panel,) = panels_of(signals, [PanelRecipe("M1", ("primary.zernike_error_nm",), top=2)])
    assert list(panel.series) == ["RMS", "Z5", "Z6"]
    assert panel.title == f"M1: final RMS {0.5 * np.sqrt(21.01 / 4):.3g} nm"


def test_signals_that_never_leave_their_truth_have_no_panel(signals):
    assert panels_of(signals, [PanelRecipe("Contrast", ("binary.contrast_error_ppm",))]) == []


def test_signals_of_two_units_do_not_share_an_axis(signals):
    with pytest.raises(ValueError, match="'Both'.*nm"):
        panels_of(signals, [PanelRecipe("Both", ("binary.x_error_uas", "primary.zernike_error_nm"))])


def test_the_panels_of_shera_leave_out_no_signal_and_show_none_twice(signals):
    panels = signal_panels(signals)
    assert [panel.title.partition(":")[0] for panel in panels] == ["Centre", "M1 Zernikes", "detector.jitter_mas"]


def test_panels_are_drawn_into_axes_of_the_caller(signals):
    figure = Figure()
    axes = figure.subplots(1, 2)
    panels = signal_panels(signals)[:2]
    assert plot_panels(panels, axes=axes) is figure and len(figure.axes) == 2
    with pytest.raises(ValueError, match="2 axes"):
        plot_panels(panels, axes=axes[:1])


def test_a_symlog_axis_is_linear_where_its_series_end():
    panel = Panel("a", "", {"a": np.array([1e4, 30.0, 3.0])}, scale="symlog", linear_within=None)
    assert linear_part(panel) == 10.0
    near = Panel("a", "", {"a": np.array([50.0, 3.0, 30.0])}, scale="symlog", linear_within=None)
    assert linear_part(near) is None
    assert plot_panels([near]).axes[0].get_yscale() == "linear"
    assert linear_part(Panel("a", "", {"a": np.full(3, np.nan)}, scale="symlog", linear_within=None)) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-2.0, 2.0, [-1, 0, 1]), (-0.5, 200.0, [0, 1, 10, 100]), (-1e6, 5.0, [-1e6, -1e3, -1, 0, 1])],
)
def test_ticks_of_a_symlog_axis_are_few_and_do_not_crowd(low, high, expected):
    np.testing.assert_allclose(SymlogTicks(1.0).tick_values(low, high), expected)


def test_the_shera_page_holds_images_loss_and_signals(signals):
    image = np.ones((6, 6))
    figure = plot_shera_page(signals, [9.0, 2.0, 1.0], (image, image, 0 * image), 0.3)
    titles = [title(ax) for ax in figure.axes]
    assert titles[0].startswith("Data") and "Loss: final 1" in titles and "Centre: final x 0.5, y -1 µas" in titles
    assert len(plot_shera_page({}, [3.0, np.nan]).axes) == 1


# ---- images and optics


def test_a_comparison_is_drawn_into_three_axes_of_the_caller():
    figure, image = Figure(), np.ones((4, 4))
    axes = figure.subplots(1, 3)
    assert plot_comparison(image, image, image, axes=axes) is figure
    with pytest.raises(ValueError, match="three"):
        plot_comparison(image, image, image, axes=axes[:2])


def test_a_map_of_path_differences_is_less_its_mean_where_light_passes():
    opd, transmission = np.full((4, 4), 7e-9), np.ones((4, 4))
    opd[:, :2], transmission[0] = 3e-9, 0.0
    ax = plot_opd(opd, transmission, 0.08).axes[0]
    assert title(ax) == "RMS 2 nm, peak to valley 4 nm"
    shown = ax.images[0].get_array()
    assert np.ma.getmaskarray(shown)[0].all() or np.isnan(np.asarray(shown)[0]).all()
    np.testing.assert_allclose(np.asarray(shown)[1:, 3], 2.0)
    assert ax.images[0].norm.vmax == -ax.images[0].norm.vmin == pytest.approx(2.0)
    np.testing.assert_allclose(ax.images[0].get_extent(), [-40, 40, -40, 40])


@pytest.mark.parametrize("transmission", [None, np.zeros((4, 4))])
def test_a_flat_map_and_a_closed_pupil_are_still_drawn(transmission):
    assert plot_opd(np.zeros((4, 4)), transmission).axes


def test_the_light_that_a_pupil_passes_is_that_of_the_circle():
    y, x = (np.indices((200, 200)) - 99.5) / 100
    disk = (np.hypot(x, y) < 1).astype(float)
    assert title(plot_pupil(disk).axes[0]) == "passes 1 of the circle's light"
    assert title(plot_pupil(0.5 * disk).axes[0]) == "passes 0.25 of the circle's light"


@pytest.mark.parametrize("draw", [plot_opd, plot_pupil])
def test_a_map_that_is_none_is_refused(draw):
    with pytest.raises(ValueError, match="shape"):
        draw(np.zeros(4))


def test_a_radial_profile_is_that_of_the_image():
    y, x = np.indices((41, 41)) - 20.0
    image = np.hypot(x - 3, y + 2) ** 2
    radius, mean = radial_profile(image, (3.0, -2.0))
    np.testing.assert_allclose(mean, radius**2, atol=0.15)  # over a ring the mean of squares is a little larger
    mask = np.hypot(x - 3, y + 2) > 5
    assert radial_profile(image, (3.0, -2.0), mask)[0].min() > 5
    assert radial_profile(image + np.where(mask, 0, np.nan), (3.0, -2.0))[0].min() > 5
    with pytest.raises(ValueError, match="shape"):
        radial_profile(np.zeros(3))


def test_a_profile_has_its_axis_in_arcsec():
    image = np.ones((9, 9))
    ax = plot_radial_profile({"data": image}, 0.5).axes[0]
    assert ax.get_xlabel() == "distance (arcsec)"
    assert ax.lines[0].get_xdata().max() == pytest.approx(0.5 * radial_profile(image)[0].max())


# ---- parameters together


def test_an_ellipse_has_the_axes_and_the_turn_of_its_covariance():
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    points = ellipse(covariance, 2.0).get_verts()
    distance = np.einsum("ni,ij,nj->n", points, np.linalg.inv(covariance), points)
    np.testing.assert_allclose(np.sqrt(distance), 2.0, rtol=0.03)  # drawn as a polygon
    assert points[:, 0].max() == pytest.approx(2 * 2.0, rel=0.03)


def test_a_corner_plot_has_a_panel_for_every_pair_less_the_estimate_in_readable_units():
    covariance = np.diag([1e-6, 2.0, 3.0]) ** 2
    figure = plot_corner(
        [10.0, 1.0, 2.0], covariance, ["a.s", "a.c", "a.z"], ["arcsec", "", "nm"], symbols={"a.s": "s"}
    )
    names = [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
    assert len(figure.axes) == 6 and names == ["Δ $s$ (µas)", "Δ c", "Δ z (nm)"]
    assert figure.axes[0].get_xlim() == pytest.approx((-3.6, 3.6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"covariance": np.eye(3)}, "covariance"),
        ({"truth": np.zeros(3)}, "truth"),
        ({"samples": np.zeros((5, 3))}, "samples"),
        ({"samples": np.zeros((0, 2))}, "at least one draw"),
        ({"estimate": [], "covariance": np.zeros((0, 0)), "labels": []}, "at least one parameter"),
        ({"covariance": np.diag([1.0, np.inf])}, "b"),
    ],
)
def test_a_corner_plot_that_does_not_fit_is_refused(changes, message):
    arguments = {"estimate": np.zeros(2), "covariance": np.eye(2), "labels": ["a", "b"]} | changes
    with pytest.raises(ValueError, match=message):
        plot_corner(**arguments)


def test_symbols_take_the_place_of_words():
    labels, symbols = ["binary.separation_as", "optics.m1.zernike_coeffs_nm[Z4]"], {"binary.separation_as": "s"}
    for figure in (
        plot_fisher(np.eye(2), labels, symbols=symbols),
        plot_correlation(np.eye(2), labels, symbols=symbols),
        plot_modes(np.eye(2), labels, symbols=symbols),
    ):
        assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["$s$", "m1 Z4"]


def test_symbols_are_those_of_the_declarations():
    from small_instrument import small_instrument

    symbols = symbols_of(small_instrument())
    assert symbols["binary.separation_as"] == "s" and symbols["plate_scale_as"] == "p_s"
    assert symbols["optics.m1.zernike_coeffs_nm"] == "a_1"


def test_the_fisher_matrix_is_scaled_to_a_unit_diagonal():
    ax = plot_fisher(np.array([[4e12, 1e6], [1e6, 1.0]]), ["a", "b"]).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), [[1, 0.5], [0.5, 1]])
    assert title(ax) == "most alike: a and b, +0.500"


# ---- many fits


def test_pulls_have_the_area_of_the_gaussian_and_their_numbers_in_the_title():
    pulls = np.array([0.5, -0.5, 1.5, -1.5, np.nan, 7.0])
    ax = plot_pulls({"all": pulls}).axes[0]
    heights, edges, _ = ax.patches[0].get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1.0)
    known = pulls[np.isfinite(pulls)]
    assert title(ax) == f"5 errors: mean {known.mean():+.2f}, spread {known.std(ddof=1):.2f} σ, 1 beyond 5 σ"
    assert title(plot_pulls({}).axes[0]) == "0 errors"


def test_a_dependence_has_means_with_their_own_errors():
    x, error = np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.0, 3.0, 4.0, 4.0]) * 1e-6
    ax = plot_dependence(x, error, np.full(4, 1e-6), x_label="c", label="s", unit="arcsec").axes[0]
    assert ax.get_ylabel() == "error (µas)"
    (means,) = [container for container in ax.containers if container.get_label() == "mean of fits"]
    np.testing.assert_allclose(means[0].get_ydata(orig=False), [2.0, 4.0])
    with pytest.raises(ValueError, match="one length"):
        plot_dependence(x, error[:3], error, x_label="c", label="s")


def test_a_narrow_sweep_is_drawn_as_differences():
    values = 10 + np.array([-1e-5, 0.0, 1e-5])
    ax = plot_sweep(Sweep("s", "arcsec", values, values, values)).axes[0]
    np.testing.assert_allclose(ax.lines[1].get_xdata(), [-10, 0, 10], rtol=1e-6)
    assert ax.get_xlabel() == "s from 10 arcsec (µas)"
    wide = plot_sweep(Sweep("s", "arcsec", np.array([1.0, 2.0, 3.0]), values, values)).axes[0]
    assert wide.get_xlabel() == "s (arcsec)"
