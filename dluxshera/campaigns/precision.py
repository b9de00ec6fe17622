"""The precision of a worker: that of the process which planned the work."""

import contextlib

import jax


def double_precision() -> bool:
    """Whether arrays are in double precision here."""
    return jax.dtypes.canonicalize_dtype(float).itemsize == 8


def in_precision(double: bool) -> contextlib.AbstractContextManager:
    """A context in which arrays are in double precision, or are not, for the present thread only."""
    switch = getattr(jax, "enable_x64", None)
    if switch is None:  # before JAX 0.8
        from jax.experimental import enable_x64 as switch
    return switch(double)
