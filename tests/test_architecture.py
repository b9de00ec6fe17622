"""The rules of the house, parsed from the source and checked on the classes."""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import typing
from pathlib import Path

import equinox as eqx
import jax
import pytest
from jaxtyping import AbstractArray

import dluxshera as ds
from dluxshera.params.fields import field_kind

PACKAGE = Path(ds.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
# Package -> the packages of ours that it may import. A top-level module counts as a package of its own.
MAY_IMPORT = {
    "params": set(),
    "optics": {"params"},
    "instrument": {"params", "optics"},
    "inference": {"params"},
    "ptychography": {"params", "inference"},
    "plotting": {"params", "inference"},
    "config": {"params", "optics", "instrument", "inference", "ptychography"},
    "campaigns": {"config", "params", "instrument", "inference"},
    "legacy": {"config", "instrument", "inference"},
}
EVERYTHING = {"__init__", "__main__", "cli"}  # the shell; what begins with an underscore at the top is part of it
ONLY_IN = {"matplotlib": {"plotting"}, "dLux": {"optics", "instrument", "legacy"}}
NEVER_IMPORTED = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "dLuxToliman"}


def name_of(path):
    """Dotted name of a source file."""
    parts = ("dluxshera", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


def part_of(name):
    """The package of ours, or the top-level module, that a dotted name lies in."""
    return (name.split(".") + ["__init__"])[1]


def is_shell(part):
    return part in EVERYTHING or (part.startswith("_") and (PACKAGE / f"{part}.py").is_file())


def imports(path):
    """Dotted names of everything imported anywhere in a file, with line numbers; relative ones resolved."""
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            whole = base == "dluxshera"
            yield from ((f"{base}.{alias.name}" if whole else base, node.lineno) for alias in node.names)


def relative(path):
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_go_down_the_list(path):
    part = part_of(name_of(path))
    if is_shell(part):
        return
    for name, line in imports(path):
        if name.split(".")[0] == "dluxshera":
            other = part_of(name)
            assert other == part or other in MAY_IMPORT[part], f"line {line}: {part} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_big_libraries_stay_where_they_belong(path):
    for name, line in imports(path):
        library = name.split(".")[0]
        assert library not in NEVER_IMPORTED, f"line {line}: imports {library}"
        if library in ONLY_IN:
            assert part_of(name_of(path)) in ONLY_IN[library], f"line {line}: imports {library}"


def offences(tree, is_shell):
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and ast.unparse(node.body[-1]) != "raise":
            caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"everything"}
            for broad in caught & {"Exception", "BaseException", "everything"}:
                yield node.lineno, f"except {broad}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in {"super", "hasattr", "eval", "exec"} or (node.func.id == "print" and not is_shell):
                yield node.lineno, f"{node.func.id}()"
        if isinstance(node, ast.FunctionDef) and node.name in {"__getattr__", "__getattribute__", "__setattr__"}:
            yield node.lineno, node.name
        if (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and getattr(node.value, "value", None) is not False
        ):
            yield node.value.lineno, "allow_pickle"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"jax.config", "config.update", "yaml.load"}:
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_what_the_house_does_not_do(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    shell = is_shell(part_of(name_of(path)))
    found = list(offences(ast.parse(text), shell))
    if part_of(name_of(path)) in {"cli", "_console", "__main__"}:  # the command line turns double precision on
        found = [entry for entry in found if entry[1] not in {"jax.config", "config.update"}]
    assert not found
    if any(mark in text for mark in (" = param(", " = buffer(", " = static(")):
        assert "from __future__ import annotations" not in text


def modules():
    """Every module of the package that can be imported here."""
    found = []
    for info in pkgutil.walk_packages(ds.__path__, "dluxshera."):
        if not info.name.endswith("__main__"):
            found.append(importlib.import_module(info.name))
    return found


@pytest.fixture(scope="module")
def classes():
    """Modules defined in the package, however deep."""
    modules()
    found, todo = set(), [eqx.Module]
    while todo:
        for cls in todo.pop().__subclasses__():
            todo.append(cls)
            if cls.__module__.split(".")[0] == "dluxshera":
                found.add(cls)
    assert len(found) > 20
    return sorted(found, key=lambda cls: cls.__qualname__)


def is_abstract(cls):
    return bool(getattr(cls, "__abstractmethods__", ()) or getattr(cls, "__abstractvars__", ()))


def test_classes_are_abstract_or_final(classes):
    for cls in classes:
        heirs = [heir.__qualname__ for heir in cls.__subclasses__() if heir.__module__.split(".")[0] == "dluxshera"]
        assert is_abstract(cls) or cls is ds.Model or not heirs, f"{cls.__qualname__} is final, yet has {heirs}"


def test_final_classes_override_nothing_that_is_finished(classes):
    for cls in classes:
        for base in cls.__mro__[1:]:
            if base.__module__.split(".")[0] != "dluxshera":
                continue
            done = {
                n for n, v in vars(base).items() if inspect.isfunction(v) and not getattr(v, "__isabstractmethod__", 0)
            }
            mine = {n for n, v in vars(cls).items() if inspect.isfunction(v) and v.__module__ == cls.__module__}
            again = {n for n in done & mine if not n.startswith("__")}
            assert not again, f"{cls.__qualname__} overrides {again} of {base.__qualname__}"


def arrays_in(annotation):
    """Array types in an annotation."""
    parts = (annotation, *typing.get_args(annotation))
    return [a for a in parts if isinstance(a, type) and issubclass(a, AbstractArray | jax.Array)]


def test_every_array_of_a_model_is_a_parameter_or_a_buffer(classes):
    for cls in classes:
        if issubclass(cls, ds.Model) and cls is not ds.Model:
            for field in dataclasses.fields(cls):
                kind = field_kind(field)
                where = f"{cls.__qualname__}.{field.name}"
                if arrays_in(field.type):
                    assert kind in ("parameter", "buffer"), f"{where} is an array without a spec"
                assert field.type is not float, f"{where} is a bare float"
                if kind is not None:
                    assert field.metadata["spec"].doc, f"{where} has no description"


def test_static_fields_of_models_hold_no_floats(classes):
    for cls in classes:
        if issubclass(cls, ds.Model):
            for field in dataclasses.fields(cls):
                if field_kind(field) == "static":
                    assert float not in (field.type, *typing.get_args(field.type)), f"{cls.__qualname__}.{field.name}"


PUBLIC = sorted(name for name in vars(ds) if not name.startswith("_") and not inspect.ismodule(getattr(ds, name)))
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(ds, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_a_docstring(name):
    doc = inspect.getdoc(getattr(ds, name)) or ""
    assert len(doc.split()) >= 3 and not doc.startswith(f"{name}(")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_of_public_functions_are_described(name):
    """Each has an entry in the docstring, of whatever section, or the summary line names it."""
    function = inspect.unwrap(getattr(ds, name))
    doc = inspect.getdoc(function)
    if "arguments are those of `ParamSpec`" in doc:
        doc += inspect.getdoc(ds.ParamSpec)
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"\b{re.escape(parameter)}\b", doc), f"{name}: {parameter}"


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isclass(getattr(ds, name))])
def test_public_methods_have_a_docstring(name):
    for member, value in vars(getattr(ds, name)).items():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{member}"


def test_quantities_in_docstrings_carry_units():
    """A float of the optics or the instrument says metres, arcsec or what it is a fraction of."""
    units = r"metre|radian|degree|arcsec|nanomet|kelvin|electron|photon|second|adu|pixel|m\^2"
    units += "|fraction|ratio|log10|expo|Exponent|in |unit|cycles|standard|field"
    entry = re.compile(r"^ {4,8}(\w+(?:, \w+)*) : (float.*|Array \(.*)$", re.M)
    bare = []
    for path in SOURCES:
        if part_of(name_of(path)) in {"optics", "instrument"}:
            text = path.read_text()
            for match in entry.finditer(text):
                below = text[match.end() :].split("\n")[1]
                if not re.search(units, match[0] + below):
                    bare.append(f"{relative(path)}: {match[0].strip()}")
    assert not bare, "\n".join(bare)


def test_importing_the_package_is_light_and_changes_no_settings():
    code = """
import sys
import jax
before = jax.config.jax_enable_x64
import dluxshera
assert not before and jax.config.jax_enable_x64 == before
heavy = {"matplotlib", "astropy", "rich", "distributed", "blackjax", "h5py"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"} | {"PYTHONPATH": str(PACKAGE.parent)}
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "" and found.stderr == ""


def test_the_source_names_no_absolute_paths():
    for path in SOURCES:
        assert not re.search(r"[\"' (]/(home|work|tmp|root|Users)/", path.read_text()), relative(path)
