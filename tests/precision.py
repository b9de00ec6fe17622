"""Which precision this leg of the tests runs in, and tolerances for both."""

import jax


def in_double() -> bool:
    """Whether this is the float64 leg."""
    return bool(jax.config.jax_enable_x64)


def tolerance(double, single):
    """The tolerance of this leg."""
    return double if in_double() else single
