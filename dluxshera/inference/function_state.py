"""What a function computes, as one hash of its code and of every value that it can see."""

import builtins
import dis
import functools
import hashlib
import importlib.util
import math
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import jax
import numpy as np

_LIBRARIES = {"jax", "numpy", "equinox", "dLux"}  # which do not change while their version stays
_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
_UNSEEN = {"__import__", "eval", "exec", "globals", "locals", "open", "vars"}  # what these lead to is not in the code
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
    try:
        return hashlib.sha256("\n".join(_told(function, {})).encode()).hexdigest()
    except RecursionError as error:
        raise UntoldState("Expected values that can be followed, got some nested too deeply.") from error


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
    """The values that make up one that is not plain. A subclass may compute what it likes, so types are exact."""
    kind = type(value)
    if kind is CodeType:
        return _code_parts(value)
    if kind is FunctionType:
        return _function_parts(value)
    if kind is functools.partial:
        return value.func, value.args, value.keywords
    if kind in (tuple, list):
        return len(value), *value
    if kind in (set, frozenset):
        return len(value), *sorted(value, key=repr)
    if kind is dict:
        return len(value), *(part for pair in value.items() for part in pair)
    array = _array(value)
    if array is not None:
        return array.dtype.str, array.shape, array.tobytes()
    raise UntoldState(f"Expected a value whose state can be told, got one of {kind.__qualname__}.")


def _array(value: Any) -> np.ndarray | None:
    """Numbers or texts as an array; None for anything else, for keys of random numbers, and for what was deleted."""
    if isinstance(value, jax.Array):
        extended = jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended)
        if isinstance(value, jax.core.Tracer) or extended or value.is_deleted():
            return None
    elif type(value) is not np.ndarray and not isinstance(value, np.generic):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biufcSU" else None


def _code_parts(code: CodeType) -> tuple[Any, ...]:
    return (code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars,
            code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags,
            code.co_consts)  # fmt: skip


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
        if instruction.opname == "IMPORT_NAME" and _versioned(instruction.argval, "") is None:
            raise UntoldState(f"Expected no import of {instruction.argval} in a function.")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _global(function: FunctionType, name: str) -> Any:
    if name in function.__globals__:
        return function.__globals__[name]
    if name in _UNSEEN or name not in vars(builtins):
        raise UntoldState(f"Expected {function.__qualname__} to see only what can be told, got {name}.")
    return f"builtin {name}"


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
    if _is_pythons_own(top):
        return f"{name} {sys.version}"
    try:
        return f"{name} {version(top)}" if top in _LIBRARIES else None
    except PackageNotFoundError:
        return None


@functools.cache
def _is_pythons_own(top: str) -> bool:
    """Whether a module is the standard library's, and not a user's of the same name."""
    if top not in sys.stdlib_module_names or top == "__main__":
        return False
    found = importlib.util.find_spec(top)
    origin = Path(str(found.origin)) if found is not None and found.has_location else None
    return found is not None and (
        origin is None or (origin.is_relative_to(_LIBRARY) and "site-packages" not in origin.parts)
    )


@functools.cache
def _own_source() -> str:
    """SHA-256 of the source of this package."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
