"""Draw the figures of the pages when the site is built: a hook of mkdocs, which calls `on_files`.

Nothing is written beside the pages; the figures that benchmarks take long for are committed in docs/figures.
"""

import functools
import io

import jax
import numpy as np
from matplotlib.figure import Figure
from mkdocs.structure.files import File

jax.config.update("jax_enable_x64", True)

import dluxshera as ds  # noqa: E402
from dluxshera import plotting  # noqa: E402

FOLDER = "figures/made"
SMALL = {"optics.pupil_npix": 64, "optics.psf_npix": 32, "binary.separation_as": 4.0}  # as on the pages
EXPOSURES = 36_000  # 30 minutes


def instrument() -> Figure:
    """Pupil, diffractive pupil and image of the testbed."""
    model = ds.load_profile("shera_testbed", {"optics.psf_npix": 96})
    optics, diameter = model.optics, float(model.optics.m1.diameter)
    with plotting.style():
        figure = Figure(figsize=(9.6, 3.0), layout="constrained")
        pupil, step, image = figure.subplots(1, 3)
        plotting.plot_pupil(optics.m1.transmission, diameter, pupil, title="pupil")
        fraction = np.where(np.asarray(optics.m1.transmission) > 0, optics.diffractive_pupil_fraction, np.nan)
        half = 500 * diameter  # mm
        drawn = step.imshow(fraction, origin="lower", cmap="gray", extent=(-half, half, -half, half))
        step.set(title="diffractive pupil", facecolor="0.6", xlabel="x (mm)", ylabel="y (mm)")
        figure.colorbar(drawn, ax=step, label="part with the half-wave step")
        plotting.plot_image(model.model(), float(model.plate_scale_as), ax=image, title="α Cen, one exposure of 50 ms")
    return figure


def residuals() -> Figure:
    """The fit of the first page."""
    model = ds.load_profile("shera_testbed_two_plane", overrides=SMALL)
    truth = ds.set_values(model, {"binary.separation_as": 4.0005, "binary.contrast": 3.4})
    observation = ds.simulate(truth, jax.random.key(0), exposures=3600)
    space = ds.ThetaSpace(model, ["binary.*", "plate_scale_as"])
    objective = ds.Objective(model, space, observation)
    best = ds.fit(objective, space.pack(model)).theta
    arrays = observation.image, objective.expected(best), objective.residuals(best), observation.mask
    return plotting.plot_comparison(*map(np.asarray, arrays), float(model.plate_scale_as))


@functools.cache
def _forecast():
    """Forecast of all 23 parameters of the testbed, with the profile's priors, and its space."""
    grid = {"optics.pupil_npix": 96, "optics.psf_npix": 48, "binary.separation_as": 4.0}
    model = ds.load_profile("shera_testbed", grid)
    space = ds.default_space(model, ds.read_profile("shera_testbed", grid), priors=True)
    return ds.forecast(model, space, EXPOSURES), space, model


def modes() -> Figure:
    """What the eigenmodes are made of."""
    forecast, space, model = _forecast()
    theta = space.pack(model)
    slope = np.asarray(space.jacobian_diag(theta))
    found = ds.EigenSpace(space, forecast.information() * np.outer(slope, slope), centre=theta)
    symbols = plotting.symbols_of(model)
    return plotting.plot_modes(found.vectors, space.labels, found.eigenvalues, symbols=symbols)


def budget() -> Figure:
    """Where the error of the separation comes from."""
    return plotting.plot_error_budget(ds.error_budget(_forecast()[0], "binary.separation_as"))


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=140)
    return stream.getvalue()


@functools.cache
def pictures() -> dict[str, bytes]:
    """PNG files by name; drawn once for a server that builds again and again."""
    return {draw.__name__: _png(draw()) for draw in (instrument, residuals, modes, budget)}


def on_files(files, config):
    """Add the figures to the files of the site."""
    for name, content in pictures().items():
        files.append(File.generated(config, f"{FOLDER}/{name}.png", content=content))
    return files
