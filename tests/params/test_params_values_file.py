"""Saving and loading values by path."""

import json
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from params_toys import mirror, simple_instrument, two_mirror_instrument

from dluxshera.params import (
    Model,
    ParameterError,
    load_values,
    param,
    parameter_paths,
    save_values,
    set_values,
)

pytestmark = pytest.mark.float32


def rewrite(path, change):
    with np.load(path) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays.pop("__meta__")))
    change(meta, arrays)
    np.savez(path, __meta__=np.asarray(json.dumps(meta)), **arrays)


def test_round_trip(tmp_path):
    model = set_values(
        two_mirror_instrument(), {"binary.separation_as": 1 / 3, "optics.m1.zernike_coeffs_nm": [7, 8, 9]}
    )
    path = tmp_path / "values.npz"
    save_values(model, path)
    loaded = load_values(two_mirror_instrument(), path)
    assert eqx.tree_equal(loaded, model)
    assert os.listdir(tmp_path) == ["values.npz"]


def test_the_file_holds_paths_units_and_a_schema(tmp_path):
    model = two_mirror_instrument()
    save_values(model, str(tmp_path / "no_suffix"))
    with np.load(tmp_path / "no_suffix", allow_pickle=False) as file:
        meta = json.loads(str(file["__meta__"]))
        assert set(file.files) == {"__meta__", *parameter_paths(model)}
    assert meta["schema"] == "dluxshera-params-v0" and meta["units"]["binary.separation_as"] == "arcsec"


def test_buffers_are_saved_when_asked_for(tmp_path):
    path = tmp_path / "values.npz"
    model = set_values(two_mirror_instrument(), {"optics.m1.transmission": 0.5 * np.ones((2, 2))})
    save_values(model, path, buffers=True)
    loaded = load_values(two_mirror_instrument(), path)
    assert np.array_equal(loaded.optics.m1.transmission, model.optics.m1.transmission)
    save_values(model, path)
    assert load_values(two_mirror_instrument(), path).optics.m1.transmission.shape == (4, 4)


def test_reordered_fields_are_found_by_path(tmp_path):
    class First(Model):
        a: Float[Array, ""] = param("m", "a", default=1.0)
        b: Float[Array, ""] = param("m", "b", default=2.0)

    class Second(Model):
        b: Float[Array, ""] = param("m", "b", default=0.0)
        c: Float[Array, ""] = param("m", "was a", default=0.0)

    path = tmp_path / "values.npz"
    save_values(First(), path)
    loaded = load_values(Second(), path, renames={"a": "c"})
    assert (loaded.b, loaded.c) == (2.0, 1.0)
    with pytest.raises(ParameterError, match="got a"):
        load_values(Second(), path)
    with pytest.raises(ParameterError, match="renames.*nothing"):
        load_values(Second(), path, renames={"nothing": "c"})
    with pytest.raises(ParameterError, match="twice"):
        load_values(Second(), path, renames={"a": "b"})


def test_unknown_and_missing_paths_are_named(tmp_path):
    path = tmp_path / "values.npz"
    save_values(two_mirror_instrument(), path)
    with pytest.raises(ParameterError, match="optics.plane_separation"):
        load_values(simple_instrument(), path)
    rewrite(path, lambda meta, arrays: (arrays.pop("pixel_pitch"), meta["units"].pop("pixel_pitch")))
    with pytest.raises(ParameterError, match="none for pixel_pitch"):
        load_values(two_mirror_instrument(), path)


def test_units_shapes_and_bounds_are_checked(tmp_path):
    path = tmp_path / "values.npz"
    save_values(mirror(), path)
    rewrite(path, lambda meta, arrays: meta["units"].update(focal_length="mm"))
    with pytest.raises(ParameterError, match="focal_length: Expected unit 'm', got 'mm'"):
        load_values(mirror(), path)
    save_values(mirror(), path)
    with pytest.raises(ParameterError, match="zernike_coeffs_nm: Expected shape"):
        load_values(mirror(nolls=(4, 5)), path)
    rewrite(path, lambda meta, arrays: arrays.update(focal_length=np.asarray(np.nan)))
    with pytest.raises(ParameterError, match="focal_length: Expected finite"):
        load_values(mirror(), path)


@pytest.mark.parametrize("damage", ["text", "cut", "flip", "empty", "npy", "foreign", "pickle", "schema", "units"])
def test_damaged_files_are_named(tmp_path, damage):
    path = tmp_path / "values.npz"
    save_values(two_mirror_instrument(), path)
    data = path.read_bytes()
    middle = len(data) // 3
    if damage in ("text", "cut", "flip", "empty"):
        flipped = data[:middle] + bytes(b ^ 255 for b in data[middle : middle + 40]) + data[middle + 40 :]
        path.write_bytes({"text": b"hello", "cut": data[:middle], "flip": flipped, "empty": b""}[damage])
    elif damage == "npy":
        with open(path, "wb") as file:
            np.save(file, np.ones(3))
    elif damage == "foreign":
        np.savez(path, a=np.ones(2))
    elif damage == "pickle":
        rewrite(path, lambda meta, arrays: arrays.update(pixel_pitch=np.asarray([{}], dtype=object)))
    elif damage == "schema":
        rewrite(path, lambda meta, arrays: meta.update(schema="dluxshera-params-v9"))
    else:
        rewrite(path, lambda meta, arrays: meta.pop("units"))
    with pytest.raises(ValueError, match="values.npz"):
        load_values(two_mirror_instrument(), path)


def test_a_missing_file_or_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_values(mirror(), tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError):
        save_values(mirror(), tmp_path / "no_folder" / "values.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "values.npz"
    save_values(mirror(), path)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_values(mirror(2.0), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["values.npz"]


def test_traced_values_cannot_be_saved_silently(tmp_path):
    def save(x):
        save_values(eqx.tree_at(lambda m: m.focal_length, mirror(), x), tmp_path / "values.npz")
        return x

    with pytest.raises(jax.errors.TracerArrayConversionError):
        jax.jit(save)(jnp.asarray(1.0))
    assert os.listdir(tmp_path) == []
