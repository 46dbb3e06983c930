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
from pelage.common.images import decode_image
from pelage.common.memo import Memo
from pelage.preprocess.clean import (
    FLAGS,
    REASONS,
    Look,
    changed_shares,
    clean_photos,
    collect_looks,
    content_keys,
    find_copies,
    look_at,
    look_at_photos,
    miniature,
    names_alone,
    perceptual_hash,
    sharpness,
    shows_nothing,
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


def cleaned(folder: Path, files: dict[str, bytes], curated=False, encounter=None, names=None, changes=None, **columns):
    """Clean photos given as name -> bytes and return the result; names differ, all are of one encounter."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    count = len(files)
    rows = {
        "image_id": [Path(name).stem for name in files],
        "path": list(files),
        **dict.fromkeys(("date", "camera", "flags"), [""] * count),
        **columns,
    }
    photos = pd.DataFrame(rows)
    photos["sha256"] = [sha256_bytes(data) for data in files.values()]
    looks = look_at_photos(photos, folder, Memo("look", 1, None, folder / "memo"))
    belonging = pd.DataFrame({"place": "p", "night": "", "encounter": encounter or ["e"] * count, "rests_on": "time"})
    names = pd.Series(names or [f"L{n}" for n in range(count)])
    return clean_photos(photos, looks, belonging, names, PARAMS | (changes or {}), curated)


def copies(result) -> list[tuple[str, str, str]]:
    return [tuple(row) for row in result.copies.to_numpy()]


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
    pd.testing.assert_frame_equal(looks[0].table, looks[1].table)
    assert np.array_equal(looks[0].thumbs, looks[1].thumbs)
    assert np.array_equal(looks[0].thumbs[0], miniature(cv2.cvtColor(decode_image(files["a.jpg"]), cv2.COLOR_RGB2GRAY)))


def test_a_photo_that_was_not_copied_is_missing_not_a_crash(tmp_path):
    photos = pd.DataFrame({"path": ["nowhere.jpg", "gone.jpg"], "sha256": ["", "00"]})
    looks = look_at_photos(photos, tmp_path, Memo("look", 1, None, tmp_path / "memo")).table
    assert looks["reason"].tolist() == ["missing", "missing"]
    assert looks["detail"].tolist() == [
        "The file could not be read when the photos were ingested.",
        "The file cannot be read: No such file or directory.",
    ]


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


def test_a_damaged_photo_is_rejected_and_flagged_in_a_curated_set(tmp_path):
    data = encoded(scene(1))
    middle = len(data) // 2
    files = {"a.jpg": data, "hole.jpg": data[:middle] + bytes(400) + data[middle + 400 :]}
    assert reasons(cleaned(tmp_path, files)) == {"hole": "damaged"}
    result = cleaned(tmp_path, files, curated=True)
    assert result.kept["flags"].tolist() == ["", "damaged"]
    assert result.counts["flags"]["damaged"] == 1 and result.counts["rejected"]["damaged"] == 0


def test_flags_are_added_to_those_that_a_photo_has(tmp_path):
    files = {"a.jpg": encoded(scene(1), "PNG"), "b.jpg": encoded(scene(2)), "c.png": encoded(scene(3), "PNG")}
    result = cleaned(tmp_path, files, flags=["clock_suspect", "clock_suspect", ""])
    assert result.kept["flags"].tolist() == ["clock_suspect wrong_extension", "clock_suspect", ""]


def test_the_copy_that_stays_is_the_identified_one(tmp_path):
    good = encoded(scene(1))
    files = {"a.jpg": good, "b.jpg": encoded(scene(2)), "c.jpg": good + b"other bytes, same pixels"}
    result = cleaned(tmp_path, files, names=["unknown", "L1", "L1"])
    assert reasons(result) == {"a": "duplicate"}
    assert result.rejected["detail"].tolist() == ["The pixels are those of 'c'. There it is 'L1', here 'unknown'."]
    assert copies(result) == [("a", "c", "duplicate")]
    assert result.counts["name_conflicts"] == 0


def test_near_duplicates_need_one_encounter_one_camera_and_no_change(tmp_path):
    first = scene(1)
    lighter = encoded(np.clip(first * 1.06, 0, 255).astype(np.uint8), quality=70)
    files = {"a.jpg": encoded(first), "b.jpg": lighter, "c.jpg": encoded(scene(1, animal=80))}
    assert reasons(cleaned(tmp_path, files)) == {"b": "near_duplicate"}
    assert reasons(cleaned(tmp_path, files, encounter=["e", "f", "e"])) == {}
    assert reasons(cleaned(tmp_path, files, camera=["A", "B", "A"])) == {}
    kept = cleaned(tmp_path, files, changes={"near_duplicates": "keep"})
    assert kept.kept["flags"].tolist() == ["", "near_duplicate", ""]
    assert copies(kept) == [("b", "a", "near_duplicate")]


def test_two_names_of_one_photo_are_a_conflict_exact_or_near(tmp_path):
    good, lighter = encoded(scene(1)), encoded(np.clip(scene(1) * 1.06, 0, 255).astype(np.uint8), quality=70)
    result = cleaned(tmp_path, {"a.jpg": good, "b.jpg": good, "c.jpg": lighter})
    assert result.counts["name_conflicts"] == 2
    assert copies(result) == [("b", "a", "duplicate"), ("c", "a", "near_duplicate")]
    told = result.rejected.set_index("image_id")["detail"]
    assert told["b"] == "The pixels are those of 'a'. There it is 'L0', here 'L1'."
    assert told["c"].startswith("It repeats 'a': ") and told["c"].endswith("differ. There it is 'L0', here 'L2'.")
    kept = cleaned(tmp_path, {"a.jpg": good, "b.jpg": good, "c.jpg": lighter}, curated=True)
    assert copies(kept) == copies(result) and kept.counts["name_conflicts"] == 2
    assert cleaned(tmp_path, {"a.jpg": good, "b.jpg": good}, names=["L1", "L1"]).counts["name_conflicts"] == 0


def test_an_exact_copy_of_a_near_duplicate_repeats_the_one_that_stays(tmp_path):
    lighter = encoded(np.clip(scene(1) * 1.06, 0, 255).astype(np.uint8), quality=70)
    files = {"a.jpg": encoded(scene(1)), "b.jpg": lighter, "c.jpg": lighter}
    result = cleaned(tmp_path, files)
    assert copies(result) == [("c", "a", "duplicate"), ("b", "a", "near_duplicate")]
    told = result.rejected.set_index("image_id")["detail"]["c"]
    assert told == "The pixels are those of 'b', which repeats 'a'. There it is 'L0', here 'L2'."
    kept = cleaned(tmp_path, files, changes={"near_duplicates": "keep"})
    assert copies(kept) == [("c", "b", "duplicate"), ("b", "a", "near_duplicate")]


def test_a_burst_with_a_moving_animal_is_kept_although_its_hashes_agree():
    still, moved = (miniature(cv2.cvtColor(scene(1, animal=a), cv2.COLOR_RGB2GRAY)) for a in (60, 90))
    thumbs = np.stack([still, moved, np.clip(still * 1.1, 0, 255).astype(np.uint8)])
    shares = changed_shares(thumbs, np.array([0, 0]), np.array([1, 2]), 1.0)
    assert shares[0] > 0.05
    assert shares[1] == 0
    assert changed_shares(thumbs, np.array([0]), np.array([1]), 0.001).tolist() == [np.inf]


def test_black_and_flat_frames_are_equal_to_nothing(tmp_path):
    black, grey = encoded(np.zeros((240, 320, 3), np.uint8)), encoded(np.full((240, 320, 3), 90, np.uint8))
    files = {"a.jpg": black, "b.jpg": black, "c.jpg": grey, "d.jpg": grey, "e.jpg": encoded(scene(1))}
    result = cleaned(tmp_path, files, curated=True)
    assert copies(result) == []
    assert result.kept["phash"].tolist()[:4] == [""] * 4 and len(result.kept["phash"].iloc[4]) == 16
    assert result.counts["show_nothing"] == 4
    looks = collect_looks([look_at(data) for data in files.values()], 5)
    assert [bool(key) for key in content_keys(looks, PARAMS)] == [False] * 4 + [True]
    white = collect_looks([look_at(encoded(np.clip(scene(1) + 200, 0, 255).astype(np.uint8)))], 1)
    assert not shows_nothing(white, PARAMS | {"max_underexposed": 1.0})[0]


def literal_copies(photos, looks, encounter, names, params, left_out):
    """The rule photo by photo, in Python: those with names and dates first, each compared with all that stay."""
    order = sorted(
        np.flatnonzero(~left_out),
        key=lambda i: (names[i] == "unknown", photos["date"][i] == "", photos["image_id"][i]),
    )
    found, same, visits = {}, {}, {}
    for i in order:
        first = same.setdefault(looks.table["pixels"][i], i)
        if first != i:
            found[i] = first, "duplicate"
            continue
        visit = visits.setdefault((encounter[i], photos["camera"][i]), [])
        for other in visit:
            bits = (int(looks.table["phash"][i]) ^ int(looks.table["phash"][other])).bit_count()
            one, two = looks.thumbs[other], looks.thumbs[i]
            scale = max(float(one.mean()), 1.0) / max(float(two.mean()), 1.0)
            changed = float((np.abs(one - two * np.float32(scale)) > 6).mean())
            if bits <= params["near_duplicate_bits"] and changed <= params["near_duplicate_change"]:
                found[i] = other, "near_duplicate"
                break
        else:
            visit.append(i)
    return found


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 5), st.integers(1, 12))
def test_copies_are_those_of_the_literal_rule(seed, count, visits, scenes):
    rng = np.random.default_rng(seed)
    base = rng.integers(40, 200, (scenes, 32, 32))
    which = rng.integers(0, scenes, count)
    thumbs = np.clip(base[which] + rng.integers(-4, 5, (count, 32, 32)) * rng.integers(0, 3, (count, 1, 1)), 0, 255)
    thumbs[:, : 1 + seed % 3, :8] += rng.integers(0, 20, (count, 1, 1))
    looks = collect_looks(
        [
            Look(pixels=f"{rng.integers(0, 3 * count)}", phash=perceptual_hash(thumb), thumb=thumb.tobytes().hex())
            for thumb in thumbs.astype(np.uint8)
        ],
        count,
    )
    photos = pd.DataFrame(
        {
            "image_id": rng.permutation(count).astype(str),
            "date": rng.choice(["", "2026-01-01"], count),
            "camera": rng.choice(["", "A"], count),
        }
    )
    encounter, names = (
        pd.Series(rng.integers(0, visits, count).astype(str)),
        pd.Series(rng.choice(["unknown", "L1"], count)),
    )
    arguments = photos, looks, encounter, names, PARAMS, rng.random(count) < 0.1
    found = find_copies(*arguments)
    assert {r: (f, k) for r, f, k in zip(found["row"], found["first"], found["kind"], strict=True)} == literal_copies(
        *arguments
    )


def test_duplicates_may_be_kept(tmp_path):
    good = encoded(scene(1))
    result = cleaned(tmp_path, {"a.jpg": good, "b.jpg": good}, changes={"duplicates": "keep"})
    assert result.kept["flags"].tolist() == ["", "duplicate"]
    with pytest.raises(PelageError, match=r"clean\.duplicates is 'delete'; it must be one of drop, keep"):
        cleaned(tmp_path, {"a.jpg": good}, changes={"duplicates": "delete"})


def test_a_photo_has_the_one_name_that_is_claimed_of_it():
    photos = pd.DataFrame({"image_id": ["a", "b", "c", "d"]})
    rows = [("a", "L1"), ("a", "L1"), ("b", "L1"), ("b", "L2"), ("c", "unknown"), ("a", "unknown")]
    claims = pd.DataFrame(rows, columns=["image_id", "identity"])
    assert names_alone(photos, claims).tolist() == ["L1", "unknown", "unknown", "unknown"]
    assert names_alone(photos, claims[:0]).tolist() == ["unknown"] * 4


def test_all_rejected_is_an_error_with_the_reasons(tmp_path):
    with pytest.raises(PelageError, match=r"all 2 photos are rejected \(2 empty\)"):
        cleaned(tmp_path, {"a.jpg": b"", "b.jpg": b""})


def test_content_keys_are_equal_for_equal_pixels_only():
    good = encoded(scene(1))
    looks = collect_looks([look_at(data) for data in (good, good + b"\0\0", encoded(scene(2)), b"")], 4)
    keys = content_keys(looks, PARAMS).tolist()
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == ""


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


@pytest.mark.parametrize("name", ["leopard", "nyala", "lion", "boxes"])
def test_every_real_photo_is_whole(shared_photos, name):
    files = sorted(path for path in (shared_photos(name) / "images").rglob("*") if path.is_file())
    files = files[:: 10 if name == "nyala" else 3]
    looks = collect_looks((look_at(file.read_bytes()) for file in files), len(files)).table
    assert set(looks["reason"]) == {""}
    assert set(looks["kind"]) == {"jpeg"}


def test_a_look_at_nothing_has_a_reason():
    assert look_at(b"") == Look("empty", "The file has no bytes.")
