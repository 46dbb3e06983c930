"""Cleaning: planted faults are found with their number, good photos pass, copies leave one."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pelage.common.errors import PelageError
from pelage.common.files import sha256_bytes
from pelage.common.memo import Memo
from pelage.preprocess.clean import (
    FLAGS,
    REASONS,
    Look,
    changed_share,
    clean_photos,
    content_keys,
    jpeg_is_complete,
    look_at,
    look_at_photos,
    miniature,
    perceptual_hash,
    sharpness,
    sniff,
)

PARAMS = {
    **{"min_side": 96, "min_sharpness": 5.0, "max_overexposed": 0.15, "max_underexposed": 0.9},
    **{"duplicates": "drop", "near_duplicates": "drop", "near_duplicate_bits": 4, "near_duplicate_change": 0.01},
}


def scene(seed: int = 0, animal: int | None = 60, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Return a photo `(H, W, 3)`: a textured ground and, from column `animal` on, a spotted animal."""
    rng = np.random.default_rng(seed)
    photo = cv2.resize(rng.integers(60, 160, (size[0] // 8, size[1] // 8, 3), np.uint8), size[::-1], interpolation=0)
    if animal is not None:
        photo[120:180, animal : animal + 100] = 190
        for spot in range(animal, animal + 96, 16):
            photo[130:138, spot : spot + 8] = 30
    return photo


def encoded(photo: np.ndarray, kind: str = "JPEG", **options) -> bytes:
    buffer = BytesIO()
    Image.fromarray(photo).save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}) | options)
    return buffer.getvalue()


def cleaned(folder: Path, files: dict[str, bytes], curated: bool = False, encounter=None, changes=None, **columns):
    """Clean photos given as name -> bytes and return the result; identities differ, all are of one encounter."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    count = len(files)
    rows = {
        "image_id": [Path(name).stem for name in files],
        "path": list(files),
        "identity": [f"L{n}" for n in range(count)],
        **dict.fromkeys(("date", "camera", "bbox"), [""] * count),
        **columns,
    }
    photos = pd.DataFrame(rows)
    photos["sha256"] = [sha256_bytes(data) for data in files.values()]
    looks = look_at_photos(photos, folder, Memo("look", 1, None, folder / "memo"))
    encounter = pd.Series(encounter or ["e"] * count)
    return clean_photos(photos, looks, encounter, PARAMS | (changes or {}), curated)


def reasons(result) -> dict[str, str]:
    return dict(zip(result.rejected["image_id"], result.rejected["reason"], strict=True))


def test_each_planted_fault_has_its_reason_and_number(tmp_path):
    good, other = encoded(scene(1)), scene(2)
    result = cleaned(
        tmp_path,
        {
            "good.jpg": good,
            "zero.jpg": b"",
            "text.jpg": b"this is no image",
            "cut.jpg": good[: len(good) // 2],
            "garbage.jpg": b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4 + b"\xff\xd9",
            "small.jpg": encoded(scene(3, size=(88, 200), animal=None)),
            "white.jpg": encoded(np.where(np.arange(240)[:, None, None] < 100, 255, other).astype(np.uint8)),
            "black.jpg": encoded((other // 200).astype(np.uint8)),
            "soft.jpg": encoded(cv2.GaussianBlur(scene(4), (0, 0), 3)),
            "zz_copy.jpg": good,
        },
    )
    assert reasons(result) == {
        **{"zero": "empty", "text": "unreadable", "cut": "truncated", "garbage": "unreadable", "small": "too_small"},
        **{"white": "overexposed", "black": "underexposed", "soft": "blurred", "zz_copy": "duplicate"},
    }
    assert result.kept["image_id"].tolist() == ["good"]
    assert result.kept[["width", "height"]].to_numpy().tolist() == [[320, 240]]
    told = result.rejected.set_index("image_id")["detail"]
    assert told["small"] == "The shorter side has 88 pixels, fewer than 96."
    assert told["white"].startswith("A share of 0.41")
    assert "'good'. There it is 'L0', here 'L9'." in told["zz_copy"]
    assert set(result.counts["rejected"]) == set(REASONS)
    assert set(result.counts["flags"]) == set(FLAGS)
    assert sum(result.counts["rejected"].values()) == 9


def test_a_second_look_comes_from_the_memo_and_is_the_same(tmp_path):
    files = {"a.jpg": encoded(scene(1)), "b.jpg": b"", "c.png": encoded(scene(2), "PNG")}
    photos = pd.DataFrame({"path": list(files), "sha256": [sha256_bytes(data) for data in files.values()]})
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    looks = []
    for hits in (0, 3):
        memo = Memo("look", 1, None, tmp_path / "memo")
        looks.append(look_at_photos(photos, tmp_path, memo))
        assert memo.hits == hits
    assert looks[0] == looks[1]


def test_a_photo_that_was_not_copied_is_missing_not_a_crash(tmp_path):
    photos = pd.DataFrame({"path": ["nowhere.jpg", "gone.jpg"], "sha256": ["", "00"]})
    looks = look_at_photos(photos, tmp_path, Memo("look", 1, None, tmp_path / "memo"))
    assert looks[0].fault == ("missing", "The file could not be read when the photos were ingested.")
    assert looks[1].fault == ("missing", "The file cannot be read: No such file or directory.")


def test_a_wrong_extension_is_a_flag(tmp_path):
    result = cleaned(
        tmp_path, {"a.jpg": encoded(scene(1), "PNG"), "b.PNG": encoded(scene(2), "PNG"), "c.JPEG": encoded(scene(3))}
    )
    assert result.kept["flags"].tolist() == ["wrong_extension", "", ""]
    assert result.counts["flags"]["wrong_extension"] == 1


def test_in_a_curated_set_only_the_unreadable_is_rejected(tmp_path):
    good = encoded(scene(1))
    files = {"a.jpg": good, "b.jpg": good, "c.jpg": encoded(cv2.GaussianBlur(scene(4), (0, 0), 3)), "d.jpg": good[:900]}
    result = cleaned(tmp_path, files, curated=True)
    assert reasons(result) == {"d": "truncated"}
    assert result.kept["flags"].tolist() == ["", "duplicate", "blurred"]


def test_the_copy_that_stays_is_the_identified_one(tmp_path):
    good = encoded(scene(1))
    files = {"a.jpg": good, "b.jpg": encoded(scene(2)), "c.jpg": good + b"other bytes, same pixels"}
    result = cleaned(tmp_path, files, identity=["unknown", "L1", "L1"])
    assert reasons(result) == {"a": "duplicate"}
    assert result.rejected["detail"].tolist() == ["The pixels are those of 'c'. There it is 'L1', here 'unknown'."]


def test_near_duplicates_need_one_encounter_one_camera_and_no_change(tmp_path):
    first = scene(1)
    lighter = encoded(np.clip(first * 1.06, 0, 255).astype(np.uint8), quality=70)
    files = {"a.jpg": encoded(first), "b.jpg": lighter, "c.jpg": encoded(scene(1, animal=80))}
    assert reasons(cleaned(tmp_path, files)) == {"b": "near_duplicate"}
    assert reasons(cleaned(tmp_path, files, encounter=["e", "f", "e"])) == {}
    assert reasons(cleaned(tmp_path, files, camera=["A", "B", "A"])) == {}
    assert reasons(cleaned(tmp_path, files, bbox=["1 2 30 40", "90 2 30 40", ""])) == {}
    kept = cleaned(tmp_path, files, changes={"near_duplicates": "keep"})
    assert kept.kept["flags"].tolist() == ["", "near_duplicate", ""]


def test_a_burst_with_a_moving_animal_is_kept_although_its_hashes_agree():
    still, moved = (miniature(cv2.cvtColor(scene(1, animal=a), cv2.COLOR_RGB2GRAY)) for a in (60, 90))
    assert changed_share(still, moved) > 0.05
    assert changed_share(still, still * 1.1) == 0


def test_duplicates_may_be_kept_and_boxes_make_two_rows_of_one_photo(tmp_path):
    good = encoded(scene(1))
    result = cleaned(tmp_path, {"a.jpg": good, "b.jpg": good}, changes={"duplicates": "keep"})
    assert result.kept["flags"].tolist() == ["", "duplicate"]
    assert reasons(cleaned(tmp_path, {"a.jpg": good, "b.jpg": good}, bbox=["1 2 30 40", "90 2 30 40"])) == {}
    with pytest.raises(PelageError, match=r"clean\.duplicates is 'delete'; it must be one of drop, keep"):
        cleaned(tmp_path, {"a.jpg": good}, changes={"duplicates": "delete"})


def test_all_rejected_is_an_error_with_the_reasons(tmp_path):
    with pytest.raises(PelageError, match=r"all 2 photos are rejected \(2 empty\)"):
        cleaned(tmp_path, {"a.jpg": b"", "b.jpg": b""})


def test_content_keys_are_equal_for_equal_pixels_only():
    good = encoded(scene(1))
    looks = [look_at(data) for data in (good, good + b"\0\0", encoded(scene(2)), b"")]
    keys = content_keys(looks).tolist()
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == ""


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_is_complete_with_anything_after_its_end_and_at_no_cut_before(options):
    exif = Image.Exif()
    exif[0x010E] = "a thumbnail ends like a photo: \xff\xd9"
    data = encoded(scene(1), exif=exif, **options)
    assert jpeg_is_complete(data)
    assert jpeg_is_complete(data + bytes(1000))
    for cut in range(len(data) // 3, len(data) - 400, 997):
        assert not jpeg_is_complete(data[:cut])
        assert not jpeg_is_complete(data[:cut] + bytes(len(data) - cut))  # zero-filled, as a card leaves it
        assert look_at(data[:cut]).fault[0] == "truncated"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_other_formats_are_sniffed_and_their_cuts_found(kind):
    data = encoded(scene(1), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert sniff(data) == kind.lower()
    assert look_at(data).fault is None
    assert look_at(data[: len(data) // 2]).fault[0] in ("truncated", "unreadable")


def test_the_hash_is_that_of_a_known_pattern():
    # A ramp from left to right: of the 64 frequencies only those of the first row differ from 0, and of these the odd
    # ones; their signs alternate with the mean above all.
    ramp = np.tile(np.arange(32, dtype=np.float32), (32, 1))
    bits = f"{int(perceptual_hash(ramp), 16):064b}"
    assert bits[0] == "1"
    assert perceptual_hash(ramp) != perceptual_hash(ramp[:, ::-1])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 2.0), st.floats(-50, 50))
def test_brightness_and_contrast_leave_the_hash_alone(seed, gain, offset):
    thumb = miniature(np.random.default_rng(seed).integers(0, 256, (240, 320), np.uint8))
    assert thumb.shape == (32, 32)
    differing = (int(perceptual_hash(thumb), 16) ^ int(perceptual_hash(thumb * gain + offset + 200), 16)).bit_count()
    assert differing <= 1  # the median may move across the one bit of the mean


def test_sharpness_follows_the_formula_for_a_blurred_edge():
    edge = np.where(np.arange(256) // 32 % 2, 200, 0).astype(np.float32)
    edge = np.tile(np.roll(edge, 16), (256, 1))  # an edge in the middle of each tile
    for blur in (0.75, 1.0, 1.5, 2.0):
        expected = ((4 + blur**2) / (1 + blur**2)) ** 1.5
        soft = cv2.GaussianBlur(edge, (0, 0), blur).round().astype(np.uint8)
        assert sharpness(soft) == pytest.approx(expected, rel=0.12), blur


def test_sharpness_does_not_depend_on_contrast_sky_or_the_cameras_strip():
    photo = cv2.cvtColor(scene(1, size=(256, 320)), cv2.COLOR_RGB2GRAY)
    value = sharpness(photo)
    assert value > PARAMS["min_sharpness"]
    assert sharpness((photo // 4 + 90).astype(np.uint8)) == pytest.approx(value, rel=0.1)
    sky = photo.copy()
    sky[:120] = 255
    assert sharpness(sky) == pytest.approx(value, rel=0.1)
    soft = cv2.GaussianBlur(photo, (0, 0), 2)
    soft[-16:] = np.tile([0, 255, 255, 0], 80)
    assert sharpness(soft) < PARAMS["min_sharpness"]


@pytest.mark.parametrize("name", ["leopard", "nyala", "lion"])
def test_every_real_photo_is_readable(shared_photos, name):
    files = sorted((shared_photos(name) / "images").rglob("*.*"))[:: 10 if name == "nyala" else 3]
    looks = [look_at(file.read_bytes()) for file in files]
    assert [look.fault for look in looks] == [None] * len(files)
    assert {look.kind for look in looks} == {"jpeg"}


def test_a_look_at_nothing_has_a_fault():
    assert look_at(b"") == Look(("empty", "The file has no bytes."))
