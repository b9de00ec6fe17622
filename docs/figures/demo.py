"""Draw the README's figure from the run of `make demo`: python docs/figures/demo.py demo/run."""

import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import dluxshera as ds  # noqa: E402
from dluxshera.plotting import plot_comparison  # noqa: E402

run = ds.open_run(sys.argv[1])
objective, model = run.objective(), run.model()
theta = run.space().pack(model)
expected, residuals = eqx.filter_jit(lambda o, t: (o.expected(t), o.residuals(t)))(objective, theta)
arrays = map(np.asarray, (objective.image, expected, residuals, objective.mask))
plot_comparison(*arrays, float(model.plate_scale_as)).savefig(Path(__file__).with_suffix(".png"), dpi=130)
