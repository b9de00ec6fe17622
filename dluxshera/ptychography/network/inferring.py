"""A trained network used: groups in, patches out, put together on a canvas that holds them all."""

import dataclasses
import time
import warnings
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
from .group_sets import ScanArrays, group_set, scan_arrays
from .inputs import placed, raw_inputs, start_of
from .option_checks import LEAST, MOST, check_number, check_whole

BATCH = 32  # groups that are computed together
ALIKE = 0.99  # overlap of two probes that pass for the same


class ProbeWarning(UserWarning):
    """The probe of the data differs in more than its scale from the one that a network was trained with."""


class Inferred(NamedTuple):
    """What inference gives.

    Attributes
    ----------
    reconstruction : Reconstruction
        Object, probe and positions on the canvas of the scan; coverage and deviance are those of the patterns read.
    covered : array of bool (h, w)
        Where the light of the patterns read falls, and a patch reaches.
    facts : dict
        Plain values: `patterns` (read: those in a group), `groups`, `seconds` (without compilation),
        `patterns_per_second`, `compile_seconds`, `energy_inside` (fraction of their light that the canvas holds),
        `patch_energy_inside`, `rescaled`, `corrected`.
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
        Its own probe and background, where it has them, take the place of the bundle's. The probe should be the
        bundle's but for its scale: a `ProbeWarning` says where it is not.
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
        For patterns of another N, too few of them for a group, or options that make no sense.
    """
    architecture, settings = bundle.settings.architecture, bundle.settings
    if data.npix != architecture.npix:
        raise ScanError(
            f"{data.source}: Expected patterns of {architecture.npix} x {architecture.npix}, for which the network was "
            f"trained, got {data.npix} x {data.npix}."
        )
    neighbours = settings.neighbours if neighbours is None else neighbours
    check_whole(1, groups=len(data) if groups is None else groups, neighbours=neighbours, batch=batch)
    check_whole(0, seed=seed)
    if rescale is not None:
        check_number("above zero", LEAST, MOST, rescale=rescale)
    scan = _scan_arrays(bundle, data)
    found = group_set(data, architecture.gridsize, groups, neighbours, seed)
    patches, seconds, compiling = _all_patches(bundle, scan, found, batch, corrected)
    begun = time.perf_counter()
    canvas = canvas_of(data.positions, data.npix)
    corners = np.asarray(placed(architecture, jnp.asarray(found.corners))) + (found.origins - canvas.origin)[:, None]
    weight = np.asarray(patch_weight(scan.probe, architecture.side), float)
    stitched = stitch(patches.reshape(-1, *patches.shape[2:]), corners.reshape(-1, 2), canvas.shape, weight)
    seconds += time.perf_counter() - begun
    object = stitched.object if rescale is None else rescale * stitched.object
    read = np.unique(found.index)
    light = np.where(stitched.coverage, illumination(scan.probe, canvas.corners[read], canvas.shape), 0)
    facts = {
        "patterns": len(read),
        "groups": len(found),
        "seconds": seconds,
        "patterns_per_second": len(read) / seconds,
        "compile_seconds": compiling,
        "energy_inside": energy_inside(scan.probe, canvas.corners[read], canvas.shape),
        "patch_energy_inside": stitched.inside,
        "rescaled": rescale,
        "corrected": corrected,
    }
    return Inferred(_reconstruction(data, read, scan, object, canvas, light, facts), coverage_mask(light), facts)


def probe_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """How alike two probes (M, N, N) are but for their scale: 1 for the same, 0 for orthogonal ones.

    Of one mode |<P, Q>| / (|P| |Q|); of several the same of their mutual intensities, sum_m P_m(x) conj(P_m(y)), which
    do not ask how the light is shared out among modes.

    Parameters
    ----------
    first, second : complex array (M, N, N)
        They may have different numbers of modes.
    """
    one, other = (np.asarray(probe, complex).reshape(len(probe), -1) for probe in (first, second))
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    product = lambda a, b: np.sum(np.abs(a.conj() @ b.T) ** 2)  # noqa: E731
    return float(np.sqrt(product(one, other) / np.sqrt(product(one, one) * product(other, other))))


def _scan_arrays(bundle: Bundle, data: ScanData) -> ScanArrays:
    """The scan with the bundle's probe and background where it has none of its own."""
    if data.probe is not None:
        _warn_of_another_probe(bundle, data)
    probe = bundle.probe if data.probe is None else None
    return scan_arrays(data, probe, bundle.background if data.background is None else None)


def _warn_of_another_probe(bundle: Bundle, data: ScanData) -> None:
    modes, trained = len(data.probe), len(bundle.probe)
    overlap = probe_overlap(data.probe, bundle.probe)
    if modes == trained and overlap >= ALIKE:
        return
    differs = f"with {modes} modes where it has {trained}" if modes != trained else f"with an overlap of {overlap:.3g}"
    warnings.warn(
        f"{data.source}: the probe is not that of the network's training, {differs}. The data's own is used; leave it "
        "out to use the bundle's, or train on such data.",
        ProbeWarning,
        stacklevel=4,
    )


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


def _reconstruction(data: ScanData, read, scan, object, canvas, light, facts) -> Reconstruction:
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
    seen = dataclasses.replace(made, positions=made.positions[read]).model()
    used = data.mask if data.mask is None or data.mask.ndim == 2 else data.mask[read]
    deviance = deviances(seen, np.asarray(data.counts)[read], {"all": used})["all"]
    history = {"seconds": facts["seconds"], "loss": deviance / 2, "deviance": deviance, "stage": 0}
    found = {"deviance": deviance, "history": {name: np.asarray([value]) for name, value in history.items()},
             "facts": facts | {"fitted_deviance": deviance}}  # fmt: skip
    return dataclasses.replace(made, **found)
