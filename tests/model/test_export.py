"""Embeddings of many crops: views by hand, what a killed run leaves, and that a search reads what is written."""

import os
import runpy
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from packing import pack_images
from pyarrow.parquet import read_schema
from ruamel.yaml import YAML
from torch.nn.functional import normalize

from pelage.common.errors import PelageError
from pelage.common.files import write_json
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.tables import crop_file, read_parquet, write_table
from pelage.matching.search.cosine import read_embeddings
from pelage.model import export
from pelage.model.embedder import Embedder, save_model
from pelage.model.embeddings import augmented, embed_images, write_embeddings

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
MODEL = {
    "backbone": "test_efficientnet", "stride": "none", "pooling": "avg", "grid": [1, 1], "dim": 8, "dropout": 0.0,
    "batch_norm": False, "width": 32, "height": 32,
}  # fmt: skip
ABOUT = {"trained": True, "model": MODEL, "channels": 3, "part": "flank", "view": "crop"}
SETTINGS = {"batch": 3, "tta": "none"}
IDS = [f"i{number}#0" for number in range(10)]


def model() -> Embedder:
    torch.manual_seed(0)
    return Embedder(MODEL, 3)


def crops(data: Path, black: str = "") -> Packs:
    """Return crops of noise, of which one is black instead."""
    rng = np.random.default_rng(0)
    noise = {crop_id: rng.integers(0, 256, (20, 40, 3), np.uint8) for crop_id in IDS}
    images = {crop_file(name): image * np.uint8(name != black) for name, image in noise.items()}
    return pack_images(data, "views/crop/flank", images)


class Killed(BaseException):
    pass


def dying(function, count):
    """Return `function`, which does not come back from its call number `count`."""
    calls = []

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == count:
            raise Killed
        return function(*arguments)

    return call, calls


def memo(folder: Path) -> Memo:
    return Memo("state", 1, [], folder)


def embed(folder: Packs, cache: Path, ids=IDS, **settings) -> np.ndarray:
    return export.embed_crops(model(), ABOUT, ids, folder, {**SETTINGS, **settings}, CPU, memo(cache))


def test_a_killed_export_goes_on_and_gives_the_same_bytes(tmp_path, monkeypatch):
    folder = crops(tmp_path)
    whole, cache = embed(folder, tmp_path / "a"), tmp_path / "b"
    put = Memo.put
    for done in range(3):  # each run is killed in its second batch, after one of its crops
        deadly, _ = dying(put, 4)
        monkeypatch.setattr(Memo, "put", deadly)
        with pytest.raises(Killed):
            embed(folder, cache)
        assert len([file for file in cache.rglob("*") if file.is_file()]) == 3 * (done + 1)
    counting, calls = dying(export.embed_images, 0)
    monkeypatch.setattr(export, "embed_images", counting)
    monkeypatch.setattr(Memo, "put", put)
    again = embed(folder, cache)
    assert len(calls) == 1  # of ten crops the last was left
    assert again.tobytes() == whole.tobytes() and again.shape == (10, 8)


def test_a_new_crop_or_another_content_is_embedded_alone(tmp_path, monkeypatch):
    folder, cache = crops(tmp_path), tmp_path / "cache"
    before = embed(folder, cache, IDS[1:])
    counting, calls = dying(export.embed_images, 0)
    monkeypatch.setattr(export, "embed_images", counting)
    assert embed(folder, cache)[1:].tobytes() == before.tobytes() and len(calls) == 1
    folder = crops(tmp_path, black=IDS[4])
    after = embed(folder, cache)[1:]
    assert len(calls) == 2
    assert np.flatnonzero((before != after).any(axis=1)).tolist() == [3]


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit"])
def test_a_crop_has_the_same_numbers_beside_whichever_others(tmp_path, backbone):
    settings = (
        MODEL | {"backbone": backbone} | ({"pooling": "cls", "width": 160, "height": 160} if "vit" in backbone else {})
    )
    torch.manual_seed(0)
    embedder, folder = Embedder(settings, 3), crops(tmp_path)
    about = ABOUT | {"model": settings}

    def of(ids: list[str], cache: str) -> np.ndarray:
        return export.embed_crops(embedder, about, ids, folder, SETTINGS | {"batch": 4}, CPU, memo(tmp_path / cache))

    whole = of(IDS, "a")
    for number, ids in enumerate((IDS[:1], IDS[3:], IDS[::-2], IDS[2:7])):
        np.testing.assert_array_equal(of(ids, str(number)), whole[[IDS.index(crop_id) for crop_id in ids]])


def test_what_is_too_short_is_embedded_again_and_other_states_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    folder = crops(tmp_path)
    before = embed(folder, tmp_path / "cache/embeddings/net")
    for file in sorted((tmp_path / "cache").rglob("*")):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:5])
    assert embed(folder, tmp_path / "cache/embeddings/net").tobytes() == before.tobytes()
    for name, state in (("net", "a" * 16), ("net", "b" * 16), ("net", "my photos"), ("other", "b" * 16)):
        export.embedding_memo(name, state).put("k" * 64, b"1")
    export.forget_others("net", ["a" * 16])
    left = sorted(str(path.relative_to(tmp_path / "cache/embeddings")) for path in (tmp_path / "cache").glob("*/*/*"))
    assert left == [f"net/{'a' * 16}", "net/my photos", "net/state", f"other/{'b' * 16}"]


def test_sizes_that_cannot_be_are_told(tmp_path):
    with pytest.raises(PelageError, match=r"embed\.batch is 0"):
        embed(crops(tmp_path), tmp_path, batch=0)


def test_a_face_is_mirrored_and_a_flank_is_not():
    pixels = torch.arange(6, dtype=torch.uint8).view(1, 1, 2, 3)
    face = list(augmented(pixels, "flips", "face"))
    assert len(face) == 2 and face[0] is pixels and face[1][0, 0].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert len(list(augmented(pixels, "flips", "flank"))) == 1
    with pytest.raises(PelageError, match=r"embed.tta is 'rotate'.*flips, multi_crop, none, reflections"):
        list(augmented(pixels, "rotate", "flank"))


@pytest.mark.parametrize("part", ["flank", "face"])
def test_four_reflections_of_any_part(part):
    pixels = torch.arange(6, dtype=torch.uint8).view(1, 1, 2, 3)
    views = [view[0, 0].tolist() for view in augmented(pixels, "reflections", part)]
    assert views == [
        [[0, 1, 2], [3, 4, 5]], [[2, 1, 0], [5, 4, 3]], [[3, 4, 5], [0, 1, 2]], [[5, 4, 3], [2, 1, 0]],
    ]  # fmt: skip
    embedder, images = model().eval(), np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    points = embed_images(embedder, images, 3, CPU, "reflections", part)
    turned = embed_images(embedder, np.ascontiguousarray(images[:, ::-1, ::-1]), 3, CPU, "reflections", part)
    np.testing.assert_allclose(points, turned, atol=1e-6)  # all four are one


def test_multi_crop_shows_the_corners_and_the_centre():
    pixels = torch.zeros(1, 1, 16, 32, dtype=torch.uint8)
    pixels[0, 0, 0, 0] = 255  # seen in the whole and in the first corner
    views = list(augmented(pixels, "multi_crop", "flank"))
    assert len(views) == 6 and all(view.shape == pixels.shape for view in views)
    assert [bool(view.any()) for view in views] == [True, True, False, False, False, False]
    flat = torch.full((1, 1, 16, 32), 7, dtype=torch.uint8)
    assert all((view == 7).all() for view in augmented(flat, "multi_crop", "flank"))


def test_views_are_averaged_on_the_sphere():
    embedder, images = model().eval(), np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    points = embed_images(embedder, images, 3, CPU, "flips", "face")
    with torch.inference_mode():
        one, two = (
            normalize(embedder(torch.from_numpy(np.ascontiguousarray(view)).permute(0, 3, 1, 2)))
            for view in (images, images[:, :, ::-1])
        )
    np.testing.assert_allclose(points, normalize(one + two).numpy(), atol=1e-6)
    np.testing.assert_array_equal(
        embed_images(embedder, images, 3, CPU, "flips", "flank"), embed_images(embedder, images, 3, CPU)
    )


@pytest.mark.parametrize("kind", ["parquet", "safetensors"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_search_reads_what_was_written(tmp_path, kind, precision):
    points = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    path, ids = tmp_path / f"t.{kind}", ["b#0", "007#1", "a#0", "\u00e9#0"]
    write_embeddings(path, ids, points, 6, precision, {"model": "abc"})
    first = path.read_bytes()
    write_embeddings(path, ids, points, 6, precision, {"model": "abc"})
    assert path.read_bytes() == first
    table = read_embeddings(path)
    assert table["crop_id"].tolist() == ids
    read = np.stack(table["embedding"].to_list())
    assert read.dtype == np.float32
    if precision == "float32":
        np.testing.assert_array_equal(read, points)
    else:
        np.testing.assert_allclose(read, points, atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(read, axis=1), 1, rtol=1e-6)
    write_embeddings(path, [], points[:0], 6, precision)
    assert read_embeddings(path)["crop_id"].tolist() == []


def test_the_table_has_lists_of_fixed_size_and_names_its_model(tmp_path):
    points = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_embeddings(tmp_path / "t.parquet", ["a", "b"], points, 3, about={"model": "abc"})
    schema = read_schema(tmp_path / "t.parquet")
    stored = schema.field("embedding").type
    assert stored.list_size == 3 and str(stored.value_type) == "float"
    assert schema.metadata[b"pelage"] == b'{"model": "abc"}'
    assert read_parquet(tmp_path / "t.parquet")["crop_id"].tolist() == ["a", "b"]


def test_other_files_are_refused(tmp_path):
    (tmp_path / "t.safetensors").write_bytes(b"no embeddings")
    with pytest.raises(PelageError, match="not written by the stage embed"):
        read_embeddings(tmp_path / "t.safetensors")
    for name in ("none.safetensors", "none.parquet"):
        with pytest.raises(PelageError, match="missing"):
            read_embeddings(tmp_path / name)
    for name, precision, key in (("t.csv", "float32", "embed.format"), ("t.parquet", "int8", "embed.precision")):
        with pytest.raises(PelageError, match=key):
            write_embeddings(tmp_path / name, [], np.empty((0, 2)), 2, precision)


# Imports once and then runs the stage in forks of itself: to its end, killed at random moments until ten runs have died
# and one of them had embedded some, and to its end again. Prints how many died, and with how many crops embedded.
KILLER = """
import os, random, runpy, shutil, signal, sys, time
from pathlib import Path
root, folder = sys.argv[1:]
sys.path[:0] = [root + "/stages", root + "/src"]
import pelage.model.export, pelage.split.protocols

os.chdir(folder)
output = Path("data/embeddings/tiny.parquet")

def run(seconds=None):
    output.unlink(missing_ok=True)  # as DVC does before a stage
    start, child = time.monotonic(), os.fork()
    if child == 0:
        os.dup2(2, 1)
        sys.argv = ["embed.py", "tiny"]
        runpy.run_path(root + "/stages/embed.py", run_name="__main__")
        sys.stdout.flush()
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), time.monotonic() - start

status, seconds = run()
assert status == 0
memo, known = Path(".pelage/embeddings"), []
while len(known) < 10 or not any(known):
    shutil.rmtree(memo, ignore_errors=True)
    if run(random.uniform(0, seconds))[0] == -signal.SIGKILL:
        known.append(sum(file.is_file() and file.name[0] != "." for file in memo.rglob("*")))
assert run()[0] == 0
print(len(known), known)
"""


def project(folder: Path) -> Path:
    params = read_params(ROOT / "params.yaml")
    params = {
        "compute": {"device": "cpu", "threads": 1, "backend": "local", "scheduler": ""},
        "embed": {**params["embed"], **SETTINGS, "batch": 1},
        "variants": {"tiny": {}},
    }
    crops(folder / "data")
    with open(folder / "params.yaml", "w") as file:
        YAML().dump(params, file)
    split = pd.DataFrame({"crop_id": IDS, "image_id": [crop_id[:-2] for crop_id in IDS]})
    split = split.assign(identity="a", label="a:left", encounter="e", group="e", place="", night="", subset="train")
    split = split.assign(
        part="flank", camera="", station="", date="", orientation="left", known=True, gallery=True, published=False
    )
    write_table(folder / "data/split.csv", split)
    write_json(folder / "data/asked/tiny.json", [])
    save_model(folder / "data/models/tiny/1.safetensors", model().state_dict(), ABOUT)
    return folder


def test_two_processes_give_the_same_bytes_though_one_is_killed_again_and_again(tmp_path, warm):
    whole, killed = project(tmp_path / "whole"), project(tmp_path / "killed")
    environment = {key: value for key, value in os.environ.items() if key not in ("DVC_ROOT", "PELAGE_CACHE")}
    (tmp_path / "killer.py").write_text(KILLER)
    undisturbed = [warm / "python", ROOT / "stages/embed.py", "tiny"]
    with subprocess.Popen(undisturbed, cwd=whole, env=environment, stdout=subprocess.PIPE, text=True) as process:
        killer = [warm / "python", tmp_path / "killer.py", ROOT, killed]
        done = subprocess.run(killer, env=environment, capture_output=True, text=True, timeout=300)
        said, _ = process.communicate()
    assert done.returncode == 0, done.stderr
    assert said.splitlines()[-1] == "embed tiny: 10 of 10 crops, 8 numbers each, seed 1"
    output = "data/embeddings/tiny/1.parquet"
    assert (killed / output).read_bytes() == (whole / output).read_bytes()


def test_a_variant_that_there_is_not_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path / "run"))
    monkeypatch.setattr("sys.argv", ["embed.py", "tinny"])
    with pytest.raises(PelageError, match="variants has no entry 'tinny'"):
        runpy.run_path(str(ROOT / "stages/embed.py"))["main"]()
