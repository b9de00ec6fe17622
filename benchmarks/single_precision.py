"""How far single precision moves the separation: a noise-free image in double precision, the model in single.

    python benchmarks/single_precision.py PROFILE [--set path=value ...]

Prints one line of JSON: bias by one Gauss-Newton step from the difference of the two images (what the images are wrong
by), bias of a whole fit in single precision (what a user would get), and the Cramér-Rao bound, micro-arcseconds.
"""

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from costs import EXPOSURES, MOVED  # noqa: E402
from measuring import child  # noqa: E402

import dluxshera as ds  # noqa: E402

MICRO = 1e6
MAX_STEPS = 10  # what rounding lets it reach it has reached by then
SEPARATION = "binary.separation_as"
HEADER = ["profile", "parameters", "one step from the images' difference, µas", "fit in float32, µas", "its result",
          "bound in 30 min, µas"]  # fmt: skip


def loaded(profile: str, overrides: dict):
    """Model, its free parameters, θ."""
    model = ds.load_profile(profile, overrides)
    space = ds.default_space(model, ds.read_profile(profile, overrides))
    return model, space, space.pack(model)


def in_single(profile: str, overrides: dict, path: Path) -> dict:
    """Our own image, written to `path` in place of the exact one; how far a fit to that one, begun elsewhere, ends."""
    model, space, _ = loaded(profile, overrides)
    exact = EXPOSURES * np.load(path)
    np.save(path, np.asarray(jax.jit(lambda m: m.model())(model)))
    objective = ds.Objective(model, space, ds.Observation(image=exact, exposures=EXPOSURES))
    start = space.pack(ds.set_values(model, MOVED))
    solution = ds.fit(objective, start, ds.LevenbergMarquardt(max_steps=MAX_STEPS))
    fitted = float(solution.model.binary.separation_as) - float(model.binary.separation_as)
    return {"fit": MICRO * fitted, "result": solution.result.value}


def bias(profile: str, overrides: dict, arguments: list[str]) -> list:
    """A row of the table; in double precision, with a child in single precision."""
    model, space, theta = loaded(profile, overrides)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.npy"
        np.save(path, np.asarray(model.model()))
        single = child("single_precision.py", profile, *arguments, "--image", str(path), double=False)
        image = np.load(path).astype(float)
    objective = ds.Objective(model, space, ds.Observation(image=EXPOSURES * image, exposures=EXPOSURES))
    expansion = jax.jit(lambda o, t: o.expansion(t))(objective, theta)
    index, covariance = space.labels.index(SEPARATION), np.asarray(ds.covariance(expansion.information))
    scale = MICRO * float(space.jacobian_diag(theta)[index])
    step = (
        scale * (covariance @ np.asarray(expansion.gradient))[index]
    )  # data in double, model in single: less the step
    return [
        profile,
        theta.size,
        float(step),
        single["fit"],
        single["result"],
        scale * float(covariance[index, index]) ** 0.5,
    ]


def main() -> None:
    """Print the row, or what a child in single precision finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--image", type=Path, help="run in single precision against this image")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    overrides = {path: int(value) for path, value in (item.split("=") for item in options.set)}
    if options.image:
        print(json.dumps(in_single(options.profile, overrides, options.image)))
    else:
        arguments = [part for item in options.set for part in ("--set", item)]
        print(json.dumps(bias(options.profile, overrides, arguments)))


if __name__ == "__main__":
    main()
