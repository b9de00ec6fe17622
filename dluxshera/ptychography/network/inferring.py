"""A trained network used: groups in, patches out, put together on a canvas that holds them all."""

import dataclasses
import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..batches import split_evenly
from ..data import ScanData
from ..reconstruction import Reconstruction, deviances
from ..scan_errors import ScanError
from ..stitching import canvas_of, coverage_mask, energy_inside, illumination, stitch
from .bundle import Bundle
from .forward import patch_weight
from .group_sets import group_set, scan_arrays
from .inputs import placed, raw_inputs, start_of

BATCH = 32  # groups that are computed together


class Inferred(NamedTuple):
    """What inference gives.

    Attributes
    ----------
    reconstruction : Reconstruction
        Object, probe, positions and coverage on the canvas of the scan.
    covered : array of bool (h, w)
        Where the scan's light falls.
    facts : dict
        Plain values: `patterns`, `groups`, `seconds` (without compilation), `patterns_per_second`, `compile_seconds`,
        `energy_inside` (fraction of the light that the canvas holds), `patch_energy_inside`, `rescaled`.
    """

    reconstruction: Reconstruction
    covered: np.ndarray
    facts: dict[str, Any]


def infer(
    bundle: Bundle,
    data: ScanData,
    *,
    groups: int | None = None,
    neighbours: int | None = None,
    seed: int = 0,
    batch: int = BATCH,
    rescale: float | int | None = None,
    corrected: bool = True,
) -> Inferred:
    """Reconstruct the object of a scan by a trained network, without iterations.

    Parameters
    ----------
    bundle : Bundle
    data : ScanData
        Its own probe, where it has one, takes the place of the bundle's: they must be the same but for their scale.
    groups : int, optional
        One for each pattern by default; fewer are faster, and leave patterns out.
    neighbours : int, optional
        K; that of the training by default.
    seed : int
        Of the groups.
    batch : int
        Groups that are computed together.
    rescale : float, optional
        Factor for the object, recorded.
    corrected : bool
        If False, what the network starts from is stitched instead: what the sweeps alone are worth.

    Raises
    ------
    ScanError
        For patterns of another N, or too few of them for a group.
    """
    architecture, settings = bundle.settings.architecture, bundle.settings
    if data.npix != architecture.npix:
        raise ScanError(
            f"{data.source}: Expected patterns of {architecture.npix} x {architecture.npix}, for which the network was "
            f"trained, got {data.npix} x {data.npix}."
        )
    if rescale is not None and not 0 < rescale < np.inf:
        raise ScanError(f"Expected rescale above zero, got {rescale}.")
    probe = bundle.probe if data.probe is None else np.asarray(data.probe)
    scan = scan_arrays(data, probe)
    neighbours = settings.neighbours if neighbours is None else neighbours
    found = group_set(data, architecture.gridsize, groups, neighbours, seed)
    patches, seconds, compiling = _all_patches(bundle, scan, found, batch, corrected)
    begun = time.perf_counter()
    canvas = canvas_of(data.positions, data.npix)
    corners = np.asarray(placed(architecture, jnp.asarray(found.corners))) + (found.origins - canvas.origin)[:, None]
    weight = np.asarray(patch_weight(scan.probe, architecture.side), float)
    stitched = stitch(patches.reshape(-1, *patches.shape[2:]), corners.reshape(-1, 2), canvas.shape, weight)
    seconds += time.perf_counter() - begun
    object = stitched.object if rescale is None else rescale * stitched.object
    light = illumination(scan.probe, canvas.corners, canvas.shape)
    facts = {
        "patterns": len(data),
        "groups": len(found),
        "seconds": seconds,
        "patterns_per_second": len(data) / seconds,
        "compile_seconds": compiling,
        "energy_inside": energy_inside(scan.probe, canvas.corners, canvas.shape),
        "patch_energy_inside": stitched.inside,
        "rescaled": rescale,
        "corrected": corrected,
    }
    return Inferred(_reconstruction(data, scan, object, canvas, light, facts), coverage_mask(light), facts)


@eqx.filter_jit
def _patches(model, scan, index, corners, side, corrected):
    x = raw_inputs(model.network.architecture, scan, index, corners, side)
    return model(x).patches if corrected else start_of(model.network.architecture, x)


def _all_patches(bundle: Bundle, scan, found, batch: int, corrected: bool) -> tuple[np.ndarray, float, float]:
    """Patches (B, C, s, s), seconds without and of compilation."""
    index, real = split_evenly(len(found), batch)
    run = lambda rows: jax.block_until_ready(  # noqa: E731
        _patches(
            bundle.model,
            scan,
            jnp.asarray(found.index[rows]),
            jnp.asarray(found.corners[rows]),
            found.side,
            corrected,
        )
    )
    begun = time.perf_counter()
    run(index[0])
    compiled = time.perf_counter()
    parts = [np.asarray(run(rows))[there] for rows, there in zip(index, real, strict=True)]
    return np.concatenate(parts), time.perf_counter() - compiled, compiled - begun


def _reconstruction(data: ScanData, scan, object, canvas, light, facts) -> Reconstruction:
    made = Reconstruction(
        object=object.astype(np.complex64),
        probe=np.asarray(scan.probe),
        positions=canvas.corners,
        coverage=light.astype(np.float32),
        background=np.asarray(scan.background),
        origin=np.asarray(canvas.origin, int),
        interpolation="bilinear",
        deviance=float("nan"),
        held_out_deviance=None,
        history={},
        facts=facts,
    )
    deviance = deviances(made.model(), data.counts, {"all": data.mask})["all"]
    history = {"seconds": facts["seconds"], "loss": deviance / 2, "deviance": deviance, "stage": 0}
    found = {"deviance": deviance, "history": {name: np.asarray([value]) for name, value in history.items()},
             "facts": facts | {"fitted_deviance": deviance}}  # fmt: skip
    return dataclasses.replace(made, **found)
