"""Shared test settings: double precision, a headless plot backend, small compiled fixtures."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")

import jax

jax.config.update("jax_enable_x64", True)
