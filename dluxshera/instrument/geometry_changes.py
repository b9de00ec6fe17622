"""What may be off by a length in the instrument, with the detector following the focus or held where it stands."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float

from ..params import get_value, replace_paths
from ..params.paths import is_parameter, walk
from .instrument import Instrument

Change = Callable[[Instrument, Float[Array, ""]], Instrument]


def geometry_changes(model: Instrument, detector_held: bool) -> dict[str, Change]:
    """Changes of every length of the optics and of the pixel pitch, by path.

    Parameters
    ----------
    model : Instrument
    detector_held : bool
        Whether the detector stays where it is, which makes a defocus, or follows the paraxial focus.

    Returns
    -------
    dict of path to function of (model, metres)
        Each gives the model with that length changed by the amount.
    """
    change = _held if detector_held else _following
    return {p.path: change(p.path) for p in walk(model) if is_parameter(p) and p.spec.unit == "m"}


def _following(path: str) -> Change:
    return lambda model, amount: replace_paths(model, {path: get_value(model, path) + amount})


def _held(path: str) -> Change:
    """The focus shift takes up what the paraxial focus moves against the detector."""
    if path == "optics.plane_separation":  # the light folds at M2: what stands behind it gets farther from it
        return lambda model, amount: eqx.tree_at(lambda m: m.optics, model, model.optics.despace(amount))
    if path in ("optics.focus_shift", "detector.pixel_pitch"):
        return _following(path)

    def changed(model: Instrument, amount: Float[Array, ""]) -> Instrument:
        # A relay that moves away from M2 comes nearer to the detector.
        held = model.optics.focus().detector_distance - (amount if path == "optics.relay.separation" else 0.0)
        moved = _following(path)(model, amount)
        shift = held - moved.optics.focus().back_focal_distance
        return eqx.tree_at(lambda m: m.optics.focus_shift, moved, shift)

    return changed
