"""Two worker processes fill the memo with the bytes that one process does, also when one of them is killed at work."""

import os
import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from packing import pack_images

from pelage.common.errors import PelageError
from pelage.common.files import cache_root, sha256_bytes, sha256_file, write_bytes
from pelage.common.images import write_png
from pelage.common.memo import Memo
from pelage.common.packs import packed_folder
from pelage.common.parallel import cores
from pelage.common.tables import crop_file
from pelage.common.workers import _work, own_cluster, workers
from pelage.matching.local.sift_lnbnn import SiftLnbnn
from pelage.model.weights import provide_weight, read_weights
from pelage.preprocess.background import Place, load_segmenter, opacities_ahead, remove_backgrounds
from pelage.preprocess.clean import look_at_photos, looks_memo
from pelage.preprocess.crop import Window
from pelage.preprocess.detect import Settings, detect, detect_ahead
from pelage.preprocess.detectors.onnx_network import Found
from pelage.preprocess.edges import draw_edges, edges_ahead

PHOTOS, CROPS = 16, 4


@pytest.fixture(scope="module")
def cluster():
    with own_cluster(2) as running:
        yield running


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Return a function that makes a folder the cache from now on, and gives what is in it at the end."""

    def use(name: str):
        monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / name))
        root = cache_root()
        return lambda: {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    return use


@pytest.fixture
def dask(cluster):
    return {"backend": "dask", "scheduler": cluster.scheduler_address}


@pytest.fixture
def deadly(tmp_path):
    """Return a function that kills its process, as the system would, in its 5th call of all; and where that is told."""
    return partial(die, tmp_path / "calls"), tmp_path / "calls"


def die(calls: Path) -> None:
    with calls.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len(calls.read_text().splitlines()) == 5:
        os.kill(os.getpid(), signal.SIGKILL)


class Brightness:
    """Stands in for U^2-Net: what is bright is salient."""

    sha256 = "b" * 64

    def __init__(self, before=lambda: None) -> None:
        self.before = before

    def __call__(self, image):
        self.before()
        return cv2.resize(image, (320, 320)).mean(2).astype(np.float32) / 255


class Boxes:
    """Stands in for MegadetectorLite: it sees one box, whose size follows the picture."""

    sha256 = "n" * 64

    def __call__(self, image):
        return [Found("animal", 0.9, (5.0, 5.0, 20 + float(image.mean()), 40.0))]


class Never:
    """Whatever asks it has not recalled what was to be recalled."""

    def __init__(self, tool) -> None:
        self.sha256 = tool.sha256

    def __call__(self, *_):
        raise AssertionError


@pytest.fixture(scope="module")
def u2netp():
    try:
        return provide_weight(next(weight for weight in read_weights() if weight.name == "u2netp.onnx"))
    except PelageError as error:
        pytest.skip(str(error))


@pytest.fixture
def photos(tmp_path):
    """Return a table of photos of two cameras, and their folder."""
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        image = rng.integers(0, 60, (90, 120, 3), np.uint8)
        cv2.ellipse(image, (40 + number, 45), (25, 12), 0, 0, 360, (250, 240, 230), -1)
        write_png(tmp_path / f"photos/{number:02}.png", image)
    table = pd.DataFrame({"path": [f"{number:02}.png" for number in range(PHOTOS)]})
    table["image_id"], table["place"], table["station"] = table["path"].str[:2], "s", "s"
    table["camera"] = ["a" if number % 3 else "b" for number in range(PHOTOS)]
    table["encounter"] = [f"e{number // 2}" for number in range(PHOTOS)]
    table["sha256"] = [sha256_file(tmp_path / "photos" / path) for path in table["path"]]
    return table.assign(width=120, height=90), tmp_path / "photos"


@pytest.fixture
def crops(tmp_path):
    """Return crops and masks, and the ids of the crops."""
    rng, ids = np.random.default_rng(0), [f"i{number}#0" for number in range(CROPS)]
    spots = [rng.integers(0, 2, (12, 20, 3), np.uint8) * 255 for _ in ids]
    spots = [cv2.resize(image, (160, 96), interpolation=cv2.INTER_CUBIC) for image in spots]
    files, mask = [crop_file(crop_id) for crop_id in ids], np.full((96, 160), 255, np.uint8)
    crops = pack_images(tmp_path, "crops", dict(zip(files, spots, strict=True)))
    return crops, pack_images(tmp_path, "masks", dict.fromkeys(files, mask)), ids


def remember(before, rows) -> None:
    """Keep the square of each number in the memo, as slow work would."""
    memo = Memo("squares", 1, None)
    for row in rows:
        if memo.get(memo.key(str(row))) is None:
            before()
            memo.put(memo.key(str(row)), f"{row * row} by {cores()} core".encode())


def test_a_killed_worker_costs_a_retry_and_what_is_remembered_is_not_done_again(caches, dask, deadly):
    kill, calls = deadly
    told = caches("cluster")
    with workers(dask) as ahead:
        ahead(partial(remember, kill), range(40), "squares")
    found = sorted(told().values())
    assert found == sorted(f"{row * row} by 1 core".encode() for row in range(40))
    done = calls.read_text().splitlines()
    assert len(done) == 41 and len(set(done)) > 1  # the dead one had one in hand; another took its place


def test_local_is_left_to_the_stage(caches):
    told = caches("local")
    with workers({"backend": "local", "scheduler": ""}) as ahead:
        ahead(partial(remember, print), range(40), "squares")
    assert not told()


def refuse(calls: Path, rows) -> None:
    with calls.open("a") as file:
        file.write("call\n")
    raise PelageError(f"row {rows[0]} is no number.")


def test_what_is_wrong_is_said_and_not_tried_again(caches, dask, tmp_path):
    caches("cluster")
    with pytest.raises(PelageError, match="row 0 is no number"), workers(dask) as ahead:
        ahead(partial(refuse, tmp_path / "calls"), range(1), "squares")
    assert (tmp_path / "calls").read_text() == "call\n"
    with pytest.raises(PelageError, match=r"compute\.backend is 'spark'"), workers({"backend": "spark"}):
        pass


def test_a_worker_that_sees_another_disk_says_so(tmp_path):
    assert "does not see" in _work(b"", b"", str(tmp_path), tmp_path / "mark")
    assert "does not see" in _work(b"", b"", str(tmp_path / "project"), tmp_path)


def test_temporaries_of_two_machines_have_two_names(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in containers
    monkeypatch.setattr(os, "replace", lambda temporary, _: names.append(temporary))
    for _ in range(2):
        write_bytes(tmp_path / "result", b"1")
    assert len(set(names)) == 2


def test_looks_at_photos(caches, dask, photos):
    table, folder = photos
    local = caches("local")
    expected = look_at_photos(table, folder, looks_memo())
    told = caches("cluster")
    with workers(dask) as ahead:
        ahead(partial(look_at_photos, folder=folder, memo=looks_memo()), table[["path", "sha256"]], "clean")
    assert told() == local() and len(told()) == PHOTOS
    recalled = look_at_photos(table, folder / "gone", looks_memo())
    assert recalled.table.equals(expected.table) and np.array_equal(recalled.thumbs, expected.thumbs)


@pytest.mark.parametrize("backend", ["embedded", "megadetector"])
def test_detection_with_a_worker_killed(backend, caches, dask, deadly, photos):
    kill, calls = deadly
    table, folder = photos
    settings = Settings(backend, None, ("flank",), 0.5, 0.3, 0.01, median_background_from=3)
    local = caches("local")
    expected = detect(table, {}, folder, settings, Brightness(), Boxes())
    told = caches("cluster")
    with workers(dask) as ahead:
        detect_ahead(ahead, table, {}, folder, settings, Brightness(kill), Boxes())
    maps = sum(path.parts[:2] == ("memo", "saliency") for path in told())
    assert (
        len(calls.read_text().splitlines()) == maps + 1 > PHOTOS
    )  # none twice but the one that the dead one had in hand
    assert told() == local() and len(told()) > PHOTOS
    assert detect(table, {}, folder, settings, Never(Brightness()), Never(Boxes())) == expected
    assert any(sighting.rows for sighting in expected)


def test_keypoints(caches, dask, crops):
    crops, masks, ids = crops
    files = [crop_file(crop_id) for crop_id in ids]
    local = caches("local")
    expected = SiftLnbnn().features(crops, masks, files)
    told = caches("cluster")
    with workers(dask) as ahead:
        ahead(partial(SiftLnbnn().features, crops, masks), files, "keypoints")
    assert told() == local() and len(told()) == CROPS and sum(map(len, expected)) > 100


def test_masks_and_edges(u2netp, caches, dask, crops, tmp_path):
    from safetensors.torch import save_file  # here: workers import this file, and would wait for torch

    from pelage.preprocess.hed import HED

    crops, masks, ids = crops
    save_file(HED().state_dict(), tmp_path / "hed.safetensors")
    cut = {"reference": None, "fill": "black", "min_cover": 0.05, "max_cover": 0.98, "min_coat": 0.35}
    hed = {"params": {"method": "hed"}, "hed_weights": tmp_path / "hed.safetensors"}
    places = {crop_file(ids[0]): Place(Window(0, 0, 160, 96), (10, 10, 100, 60))}

    def make(name: str) -> bytes:
        """Write masks, views and edge maps; return the bytes of all packs."""
        folders = [tmp_path / name / kind for kind in ("masks", "views", "crop_edge", "nobg_edge")]
        with ExitStack() as open_ones:
            packers = [open_ones.enter_context(packed_folder(folder, tmp_path / name)) for folder in folders]
            remove_backgrounds(crops, *packers[:2], load_segmenter("u2netp", u2netp), cut, places=places)
            draw_edges(crops, crops, masks, *packers[2:], **hed)
        return b"".join(path.read_bytes() for folder in folders for path in sorted(folder.iterdir()))

    local = caches("local")
    expected = make("expected")
    told = caches("cluster")
    with workers(dask) as ahead:
        opacities_ahead(ahead, crops, "u2netp", u2netp, cut, places, tmp_path)
        edges_ahead(ahead, crops, crops, masks, **hed)
    assert told() == local() and len(told()) == 2 * CROPS
    assert make("again") == expected


def test_embeddings(caches, dask, crops, tmp_path):
    import torch  # here: workers import this file, and would wait for it

    from pelage.model.compute import prepare
    from pelage.model.embedder import Embedder, save_model
    from pelage.model.export import embed_ahead, embed_crops, embedding_memo

    crops, _, ids = crops
    torch.manual_seed(0)
    own = {"backbone": "test_efficientnet", "stride": "none", "pooling": "avg", "grid": [1, 1], "dim": 8}
    own |= {"dropout": 0.0, "batch_norm": False, "width": 32, "height": 32}
    about = {"trained": True, "model": own, "channels": 3, "part": "flank", "view": "crop"}
    settings, model = {"batch": 2, "tta": "none"}, Embedder(own, 3).eval()
    save_model(tmp_path / "model.safetensors", model.state_dict(), about)
    prepare("cpu", 2)
    local = caches("local")
    place = {"crops": crops, "settings": settings, "device": torch.device("cpu")}
    expected = embed_crops(model, about, ids, **place, memo=embedding_memo("net", "state"))
    told = caches("cluster")
    place["memo"] = embedding_memo("net", "state")
    with workers(dask) as ahead:
        embed_ahead(ahead, ids, place | {"model": tmp_path / "model.safetensors"})
    assert told() == local() and len(told()) == CROPS
    assert np.array_equal(embed_crops(model, about, ids, **place), expected)


def test_learned_keypoints_and_pairs(caches, dask, crops, tmp_path):
    import torch
    from kornia.feature import ALIKED, LightGlue
    from safetensors.torch import save_file

    from pelage.matching.learned.rematch import keypoints_ahead, match_ahead, matching_tools, rematch, unique_pairs
    from pelage.matching.learned.rematchers import DEFAULTS
    from pelage.model.compute import prepare

    crops, masks, ids = crops
    torch.manual_seed(0)
    save_file(ALIKED("aliked-n16").state_dict(), tmp_path / "aliked_n16.safetensors")
    save_file(LightGlue(features=None, input_dim=128).state_dict(), tmp_path / "aliked_lightglue.safetensors")
    wanted = DEFAULTS | {"side": 96, "keypoints": 32, "half": False, "give_up": 0}
    place = {"wanted": wanted, "crops": crops, "masks": masks, "weights": tmp_path}
    place["device"] = torch.device("cpu")
    pairs = pd.DataFrame({"protocol": "closed", "query": ids[0], "candidate": ids[1:]})
    ways = {"score": "matches", "confidence": 0.0, "depth": 9}
    prepare("cpu", 1)
    local = caches("local")
    expected = rematch(pairs, **matching_tools(**place, crop_ids=ids), **ways)
    told = caches("cluster")
    with workers(dask) as ahead:
        keypoints_ahead(ahead, ids, place)
        tools = matching_tools(**place, crop_ids=ids)
        match_ahead(ahead, unique_pairs(pairs, tools["features"]), place)
    assert told() == local() and len(told()) == CROPS + 1
    again = rematch(pairs, **tools, **ways)
    assert all(one.equals(other) for one, other in zip(again, expected, strict=True))
    assert sha256_bytes(again[0].to_csv().encode()) == sha256_bytes(expected[0].to_csv().encode())
