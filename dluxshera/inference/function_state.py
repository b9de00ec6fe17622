"""What a function computes, as one hash of its code and of every value that it can see."""

import builtins
import dis
import functools
import hashlib
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import jax
import numpy as np

_LIBRARIES = {"jax", "numpy", "equinox", "dLux"}  # which do not change while their version stays
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


class UntoldState(ValueError):
    """A function sees a value of which it cannot be told whether it is still the same."""


def function_state(function: Any) -> str:
    """Tell a function by what it computes: code, constants, defaults, closure, and the globals that it names.

    Functions that it calls are followed; those of JAX, NumPy, equinox, dLux and Python count by their version, those of
    this package by its source. What a method of an argument does is not seen.

    Parameters
    ----------
    function : callable

    Returns
    -------
    str
        A SHA-256, equal for two functions only if they compute the same.

    Raises
    ------
    UntoldState
        If it sees an object, such as an instance of a class or a module of the user's, whose state cannot be told.
    """
    return hashlib.sha256("\n".join(_told(function, {})).encode()).hexdigest()


def _told(value: Any, seen: dict[int, Any]) -> Iterator[str]:
    if type(value) in _PLAIN:
        yield f"{type(value).__name__} {value!r}"
        return
    if id(value) in seen:
        yield f"again {list(seen).index(id(value))}"
        return
    seen[id(value)] = value  # kept, so that no other object takes its id
    origin = _library(value)
    yield type(value).__name__ if origin is None else origin
    if origin is None:
        for part in _parts(value):
            yield from _told(part, seen)


def _parts(value: Any) -> Iterable[Any]:
    """The values that make up one that is not plain."""
    match value:
        case CodeType():
            return (value.co_code, value.co_exceptiontable, value.co_names, value.co_argcount, value.co_flags,
                    value.co_consts)  # fmt: skip
        case FunctionType():
            return _function_parts(value)
        case functools.partial():
            return value.func, value.args, value.keywords
        case tuple() | list():
            return len(value), *value
        case set() | frozenset():
            return len(value), *sorted(value, key=repr)
        case Mapping() if type(value) is dict:
            return len(value), *(part for pair in value.items() for part in pair)
        case np.ndarray() | np.generic() | jax.Array() if not isinstance(value, jax.core.Tracer):
            array = np.asarray(value)
            if array.dtype.kind in "biufcSU":
                return array.dtype.str, array.shape, array.tobytes()
    raise UntoldState(f"Expected a value whose state can be told, got one of {type(value).__qualname__}.")


def _function_parts(function: FunctionType) -> tuple[Any, ...]:
    try:
        closure = tuple(cell.cell_contents for cell in function.__closure__ or ())
    except ValueError as error:  # a name that was taken away again
        raise UntoldState(f"Expected {function.__qualname__} to have all that it closes over.") from error
    names = sorted(set(_global_names(function.__code__)))
    return (function.__code__, function.__defaults__, function.__kwdefaults__, vars(function), closure,
            *(part for name in names for part in (name, _global(function, name))))  # fmt: skip


def _global_names(code: CodeType) -> Iterator[str]:
    """Names that code looks up outside itself, also in functions that it makes."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _global(function: FunctionType, name: str) -> Any:
    found = function.__globals__.get(name, vars(builtins).get(name))
    return f"builtin {name}" if name not in function.__globals__ else found


def _library(value: Any) -> str | None:
    """Name and version of what a library holds under a name of its own; None for anything else."""
    if isinstance(value, ModuleType):
        return _versioned(value.__name__, value.__name__)
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(value, BuiltinFunctionType) and value.__self__ is math:
        return f"math.{name}"
    if not (isinstance(module, str) and isinstance(name, str)) or isinstance(value, np.ndarray | jax.Array):
        return None
    held = vars(sys.modules[module]).get(name) if module in sys.modules else None
    return _versioned(module, f"{module}.{name}") if held is value else None


def _versioned(module: str, name: str) -> str | None:
    top = module.partition(".")[0]
    if top == "dluxshera":
        return f"{name} {_own_source()}"
    if top in sys.stdlib_module_names and top != "__main__":
        return f"{name} {sys.version}"
    try:
        return f"{name} {version(top)}" if top in _LIBRARIES else None
    except PackageNotFoundError:
        return None


@functools.cache
def _own_source() -> str:
    """SHA-256 of the source of this package."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
