"""What a dose allows: Cramér-Rao bounds against repeated simulation, closed forms, and each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dluxshera.plotting import plot_dose_bounds, plot_dose_curve
from dluxshera.ptychography import ScanError, build_model, dose_bounds, expected_counts
from dluxshera.ptychography.information import dense_information, directions, information_times, most_information

NPIX, SIDE, PHOTONS = 8, 16, 1e7
ALL = jnp.ones((NPIX, NPIX), bool)


def random_scan(seed=0, steps=6):
    """Object, probe and corners: a probe that lights its whole window, and positions that light no pixel faintly."""
    random = np.random.default_rng(seed)
    object = random.uniform(0.5, 1, (SIDE, SIDE)) * np.exp(1j * random.uniform(-0.7, 0.7, (SIDE, SIDE)))
    y, x = np.mgrid[:NPIX, :NPIX] - NPIX // 2
    probe = np.exp(-(y**2 + x**2) / 20) * np.exp(1j * random.uniform(-1.5, 1.5, (NPIX, NPIX)))
    most = SIDE - NPIX - 1
    grid = np.stack(np.meshgrid(*[np.linspace(0, most, steps)] * 2, indexing="ij"), -1).reshape(-1, 2)
    return object, probe, np.clip(grid + random.uniform(-0.3, 0.3, grid.shape), 0, most)


@pytest.fixture(scope="module")
def scan():
    return random_scan()


@pytest.fixture(scope="module")
def dense(scan):
    return dose_bounds(*scan, PHOTONS)


def model_of(object, probe, corners, background=0.0):
    return build_model(object, probe, corners + NPIX // 2, background, batch=16)


def both(bounds):
    return np.stack([bounds.amplitude_sigma, bounds.phase_sigma])


@pytest.mark.slow
def test_repeated_simulation_scatters_by_the_bounds(scan, dense):
    """400 draws, each fitted by maximum likelihood: the scatter over the bound is 1 within its sampling error."""
    object, probe, corners = scan
    draws, lit = 400, np.isfinite(dense.amplitude_sigma)
    probe = probe * np.sqrt(PHOTONS / expected_counts(object, probe[None], corners).sum((1, 2)).mean())
    turn, keep = directions(jnp.asarray(object)), np.flatnonzero(np.stack([lit, lit]))
    model = model_of(object, probe, corners)
    information = np.asarray(dense_information(model, ALL, jnp.asarray(keep)))
    null = (np.stack([0 * np.abs(object), np.abs(object)]).ravel())[keep]
    step = jnp.asarray(np.linalg.inv(information + np.outer(null, null) * np.trace(information) / len(null)))

    def counts_at(move):
        full = jnp.zeros(2 * SIDE * SIDE).at[keep].set(move).reshape(2, SIDE, SIDE)
        return expected_counts(object + turn * (full[0] + 1j * full[1]), probe[None], corners)

    @jax.jit
    def fit(counts):
        """Fisher scoring from the truth; also the length of the last step, in sigmas."""

        def improve(move, _):
            expected, pull = jax.vjp(counts_at, move)
            change = step @ pull(counts / expected - 1)[0]
            return move + change, jnp.sqrt(change @ information @ change)

        return jax.lax.scan(improve, jnp.zeros(len(keep)), None, length=30)

    expected = np.asarray(counts_at(jnp.zeros(len(keep))))
    drawn = np.random.default_rng(1).poisson(expected, (draws, *expected.shape))
    moves, last = jax.lax.map(fit, jnp.asarray(drawn, float))
    assert float(last[:, -1].max()) < 0.05  # maximum likelihood, to a twentieth of a sigma of all of them together
    full = np.zeros((draws, 2 * SIDE * SIDE))
    full[:, keep] = moves
    found = object + np.asarray(turn) * (full[:, : SIDE**2] + 1j * full[:, SIDE**2 :]).reshape(draws, SIDE, SIDE)
    light = np.asarray(most_information(model, ALL)[0]) * lit
    relative = found * object.conj() / np.abs(object) ** 2
    mean_turn = np.angle((light * np.abs(object) ** 2 * relative).sum((1, 2)))
    errors = np.stack([np.abs(found) - np.abs(object), np.angle(relative * np.exp(-1j * mean_turn[:, None, None]))])
    seen = dense.covered
    ratio = (errors**2).mean(1)[:, seen] / both(dense)[:, seen] ** 2
    assert np.abs(ratio.mean(1) - 1).max() < 0.05
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / draws)


@pytest.mark.slow
def test_the_estimate_agrees_with_the_matrix_within_its_error(scan, dense):
    free = dose_bounds(*scan, PHOTONS, method="matrix_free", probes=48, tolerance=1e-4)
    assert free.method == "matrix_free" and dense.method == "dense" and free.residual < 2e-4
    seen = dense.covered & np.isfinite(both(free)).all(0)
    assert seen.sum() > 0.95 * dense.covered.sum() and np.isfinite(free.standard_error[:, seen]).all()
    exact, error = both(dense)[:, seen], free.standard_error[:, seen]
    away = (both(free)[:, seen] - exact) / error
    assert 0.8 < away.std() < 1.3 and abs(away.mean()) < 0.3 and np.abs(away).max() < 6
    assert np.median(error / exact) < 0.15
    assert not dense.standard_error.any()


def test_bounds_fall_with_the_root_of_the_dose(scan, dense):
    seen = np.isfinite(both(dense))
    faint = dose_bounds(*scan, PHOTONS / 100)
    np.testing.assert_allclose(both(faint)[seen] / both(dense)[seen], 10.0, rtol=1e-6)
    assert faint.photons == pytest.approx(PHOTONS / 100)


def test_floors_are_below_the_bounds(dense):
    floors = np.stack([dense.amplitude_floor, dense.phase_floor])
    seen = dense.covered
    assert (floors[:, seen] < both(dense)[:, seen] * (1 + 1e-9)).all()
    assert (floors[:, seen] > 0.05 * both(dense)[:, seen]).all()


def test_products_and_diagonal_are_those_of_the_matrix():
    object, probe, corners = random_scan(2, 3)
    modes = np.stack([probe, 0.3j * probe[::-1]])
    used = ALL.at[2, 3].set(False)
    vector = jnp.asarray(np.random.default_rng(0).normal(size=(2, SIDE, SIDE)))
    model = model_of(object, 100 * modes, corners, np.arange(64.0).reshape(8, 8))
    matrix = dense_information(model, used, jnp.arange(2 * SIDE**2))
    product = information_times(model, used, vector).ravel()
    np.testing.assert_allclose(product, matrix @ vector.ravel(), rtol=1e-9, atol=1e-9 * float(jnp.abs(product).max()))
    mean, diagonal = most_information(model, used)
    exact = jnp.diag(matrix).reshape(2, SIDE, SIDE)
    assert bool(jnp.all(diagonal >= exact * (1 - 1e-9) - 1e-9))
    whole = eqx.tree_at(lambda m: m.scan.positions, model, jnp.floor(model.scan.positions))
    mean, diagonal = most_information(whole, used)
    exact = jnp.diag(dense_information(whole, used, jnp.arange(2 * SIDE**2))).reshape(2, SIDE, SIDE)
    np.testing.assert_allclose(diagonal, exact, rtol=1e-9, atol=1e-9 * float(exact.max()))
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-9, atol=1e-9 * float(exact.max()))


def test_information_by_finite_differences():
    object, probe, corners = random_scan(3, 2)
    probe = 50 * probe
    model, turn = model_of(object, probe, corners), directions(jnp.asarray(object))
    elements, size = [SIDE * 7 + 8, SIDE**2 + SIDE * 8 + 7], 1e-5

    def counts_at(element, change):
        move = np.zeros((2, SIDE, SIDE))
        move.flat[element] = change
        return np.asarray(expected_counts(object + turn * (move[0] + 1j * move[1]), probe[None], corners))

    slopes = [(counts_at(e, size) - counts_at(e, -size)).ravel() / (2 * size) for e in elements]
    expected = np.array([[(a * b / counts_at(0, 0.0).ravel()).sum() for b in slopes] for a in slopes])
    found = dense_information(model, ALL, jnp.asarray(elements))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_a_scan_cannot_tell_is_infinite(dense):
    """Two patches that never overlap, far apart: the phase of one against the other is free, the amplitudes are not."""
    object, probe, _ = random_scan(4)
    object = np.pad(object, ((0, 0), (0, 10)), mode="edge")
    random = np.random.default_rng(5)
    corners = random.uniform(0, 2, (30, 2)) + np.where(np.arange(30) % 2, 0.0, 1.0)[:, None] * [0, 15]
    apart = dose_bounds(object, probe, corners, PHOTONS)
    assert np.isfinite(apart.amplitude_sigma[apart.covered]).mean() > 0.95
    assert np.isinf(apart.phase_sigma[apart.covered]).all()
    assert np.isinf(apart.amplitude_sigma[:, 12:14]).all()  # dark
    joined = dose_bounds(object, probe, np.concatenate([corners, random.uniform(0, [3, 16], (20, 2))]), PHOTONS)
    assert np.isfinite(joined.phase_sigma[apart.covered]).mean() > 0.95


def test_a_zero_pixel_has_an_amplitude_but_no_phase(scan):
    object = scan[0].copy()
    object[8, 8] = 0
    bounds = dose_bounds(object, *scan[1:], PHOTONS)
    assert np.isfinite(bounds.amplitude_sigma[8, 8]) and np.isinf(bounds.phase_sigma[8, 8])
    assert np.isfinite(bounds.phase_sigma[bounds.covered]).sum() == bounds.covered.sum() - 1


def test_background_and_missing_pixels_cost_information(scan, dense):
    mask = np.ones((NPIX, NPIX), bool)
    mask[:, 2] = False
    for worse in (dose_bounds(*scan, PHOTONS, 1e4), dose_bounds(*scan, PHOTONS, mask=mask)):
        assert (both(worse)[:, dense.covered] > both(dense)[:, dense.covered]).all()


def test_floors_alone_are_cheap_and_the_same(scan, dense):
    cheap = dose_bounds(*scan, PHOTONS, method="floor")
    np.testing.assert_allclose(cheap.phase_sigma, dense.phase_floor, rtol=1e-12)
    np.testing.assert_allclose(cheap.amplitude_sigma, dense.amplitude_floor, rtol=1e-12)
    assert cheap.method == "floor"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "exact"}, "method among auto, dense, matrix_free, floor, got 'exact'"),
        ({"probes": 1}, "probes of 2 or more, got 1"),
        ({"photons": -1.0}, "photons above zero per pattern"),
        ({"mask": np.zeros((NPIX, NPIX), bool)}, "light on the object and on the detector"),
    ],
)
def test_bad_arguments_are_refused(scan, options, message):
    with pytest.raises(ScanError, match=message):
        dose_bounds(*scan, **options)


def test_pictures(dense):
    figure = plot_dose_bounds(dense.amplitude_sigma, dense.phase_sigma, dense.covered, dense.photons)
    assert figure.axes[0].get_title(loc="left").startswith("amplitude: median")
    assert figure.axes[-1].get_ylabel().endswith("at 1e+07 photons per pattern")
    shown = figure.axes[0].images[0].get_array()
    rows, columns = (np.ptp(k) + 1 for k in np.nonzero(dense.covered))
    assert shown.shape == (rows, columns)
    assert (~np.ma.getmaskarray(np.ma.masked_invalid(shown))).sum() == dense.covered.sum()
    dose = np.array([1e4, 1e6])
    lines = plot_dose_curve(dose, {"phase (rad)": dose**-0.5}, {"phase (rad)": 1.1 * dose**-0.5}).axes[0].lines
    assert len(lines) == 2 and lines[0].get_color() == lines[1].get_color()
