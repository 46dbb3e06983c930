import dataclasses

import numpy as np
import pandas as pd
import pytest
from packing import pack_images

from pelage.common.tables import crop_file
from pelage.split.protocols import protocol_sets
from pelage.training.dataset import shown, training_data
from pelage.training.variant import Variant

STILL = {"rotation": 0, "perspective": 0, "crop": 0, "colour": 0, "grey": 0, "blur": 0, "erase": 0, "background": 0}
LIVELY = {"rotation": 9, "perspective": 0.1, "crop": 0.2, "colour": 0.3, "grey": 0.3, "blur": 0.5, "erase": 0.5}


def variant(part="flank", view="crop_edge", flip="auto", **augment):
    sections = {"loss": {"name": "cosface"}, "train": {"seed": 1, "min_photos": 1}, "model": {"width": 8, "height": 4}}
    channels = 4 if view.endswith("edge") else 3
    return Variant("v", part, view, channels, augment={**STILL, "flip": flip, **augment}, **sections)


@pytest.fixture
def survey(tmp_path):
    """Individuals a and b to learn (a both flanks), c kept for validation; crop number n is all n * 10."""
    rows, crops, masks = [], {}, {}
    for n, (identity, side, encounter, subset) in enumerate(
        [("a", "left", 1, "train"), ("a", "left", 2, "train"), ("a", "right", 3, "train"), ("b", "left", 4, "train"),
         ("a", "left", 5, "val"), ("b", "right", 6, "val"), ("c", "left", 7, "val"), ("a", "left", 8, "test")]
    ):  # fmt: skip
        crop = f"p{n}#0"
        rows.append((crop, f"p{n}", identity, f"{identity}:{side}", side, str(encounter), subset, identity != "c"))
        pixels = np.full((4, 8, 4), n * 10, np.uint8)
        pixels[:, :4, 3] = 255  # edges on the left half
        crops[crop_file(crop)] = pixels
        masks[crop_file(crop)] = np.zeros((4, 8), np.uint8)
        masks[crop_file(crop)][:, 2:6] = 255
    columns = ["crop_id", "image_id", "identity", "label", "orientation", "encounter", "subset", "known"]
    split = pd.DataFrame(rows, columns=columns).assign(part="flank", group=[row[5] for row in rows])
    packs = [pack_images(tmp_path, folder, images) for folder, images in (("crops", crops), ("masks", masks))]
    return split.assign(gallery=split["subset"] == "train"), packs


def read(survey, variant, split=None):
    table, packs = survey
    protocol = protocol_sets(table if split is None else split, "flank")["validation"]
    return training_data(variant, protocol, *packs)


def test_train_crops_are_learnt_and_val_crops_of_known_flanks_are_asked(survey):
    data, _ = read(survey, variant(flip="never"))
    assert data.ids == ("p0#0", "p1#0", "p2#0", "p3#0", "p4#0", "p5#0")  # nobody unknown, nothing of test
    assert data.train.tolist() == [0, 1, 2, 3] and data.labels.tolist() == [0, 0, 1, 2] and data.masks is None
    assert data.validation.queries.tolist() == [4, 5]  # b's right flank was never seen, but b was
    kinds = [
        mask.kinds(np.array([[0], [1]]), np.arange(4)) for mask in (data.validation.individuals, data.validation.flanks)
    ]
    assert kinds[0][0].tolist() == [[True, True, True, False], [False, False, False, True]] and not kinds[0][1].any()
    assert kinds[1][0].tolist() == [[True, True, False, False], [False] * 4]
    assert kinds[1][1].tolist() == [[False, False, True, False], [False, False, False, True]], "the other flank is junk"


def test_labels_of_few_photos_are_not_learnt_where_more_are_asked_for(survey):
    wanted = dataclasses.replace(variant(flip="never"), train={"seed": 1, "min_photos": 2})
    data, why = read(survey, wanted)
    assert data is None and why.startswith("2 training crops of flank with 1 labels of at least 2 crops; two labels")
    split = survey[0].copy()
    split.loc[2, ["identity", "label"]] = "b", "b:left"
    data, _ = read(survey, wanted, split)
    assert data.train.tolist() == [0, 1, 2, 3] and data.labels.tolist() == [0, 0, 1, 1]


def test_a_flank_of_unknown_side_is_asked_but_not_learnt_unless_its_animal_has_no_other(survey):
    split = survey[0].copy()
    split.loc[[1, 3], "orientation"] = "unknown"  # one of a, who has others, and the only one of b
    split.loc[[1, 3], "label"] = ["a:unknown", "b:unknown"]
    data, _ = read(survey, variant(flip="never"), split)
    assert data.train.tolist() == [0, 2, 3] and data.labels.tolist() == [0, 1, 2] and data.side_unknown == 1
    assert data.validation.gallery.tolist() == [0, 1, 2, 3]
    faces = split.assign(part="face")
    protocol = protocol_sets(faces, "face")["validation"]
    data, _ = training_data(variant("face"), protocol, *survey[1])
    assert len(data.train) == 4 and data.side_unknown == 0


def test_encounters_of_what_is_learnt(survey):
    split = survey[0].copy()
    split.loc[[0, 2], "encounter"] = "9"  # both flanks in one visit
    split.loc[1, "orientation"] = "unknown"
    data, _ = read(survey, variant(flip="others"), split)
    assert data.train.tolist() == [0, 2, 3] * 2
    first, second, third = data.encounters[:3].tolist()
    assert first == second != third and data.encounters[3:].tolist() == [first, second, third]


def test_mirror_images_of_flanks_have_labels_of_their_own(survey):
    others = variant(flip="others")
    data, _ = read(survey, others)
    assert data.train.tolist() == [0, 1, 2, 3] * 2 and data.labels.tolist() == [0, 0, 1, 2, 3, 3, 4, 5]
    assert data.mirrored.tolist() == [False] * 4 + [True] * 4
    plain, mirror = shown(data, others, np.array([1, 5]), epoch=0, first=0)
    np.testing.assert_array_equal(mirror, plain[:, ::-1])
    assert plain[0, :, 3].tolist() == [255] * 4 + [10] * 4


def test_faces_are_mirrored_at_random_under_their_own_label(survey):
    face = variant(part="face")
    data, _ = read(survey, face)
    assert not data.mirrored.any() and len(data.labels) == 4
    sides = shown(data, face, np.zeros(40, int), 0, 0)[:, 0, 0, 3] == 255
    assert 10 < sides.sum() < 30


def test_backgrounds_come_from_other_training_crops(survey):
    swapping = variant(background=1.0, flip="never")
    data, _ = read(survey, swapping)
    images = shown(data, swapping, np.full(40, 1), 0, 0)
    assert (images[:, :, 2:6, :3] == 10).all()
    assert set(images[:, 0, 0, 0].tolist()) == {0, 10, 20, 30}  # never of val or test
    np.testing.assert_array_equal(images[:, :, :, 3], np.broadcast_to(data.images[1, :, :, 3], (40, 4, 8)))
    assert read(survey, variant(view="nobg_edge", background=1.0))[0].masks is None  # there is none to swap


def test_a_crop_depends_on_seed_epoch_and_turn_only(survey):
    lively = variant(**LIVELY, background=0.5, flip="others")
    data, _ = read(survey, lively)
    chosen = np.array([0, 3, 5, 0, 6, 1])
    whole = shown(data, lively, chosen, epoch=2, first=10)
    parts = [shown(data, lively, chosen[part], 2, first) for part, first in ((slice(3, 6), 13), (slice(0, 3), 10))]
    np.testing.assert_array_equal(whole, np.concatenate(parts[::-1]))
    assert not np.array_equal(whole[0], whole[3])
    assert not np.array_equal(whole, shown(data, lively, chosen, 3, 10))
    other = dataclasses.replace(lively, train={"seed": 2})
    assert not np.array_equal(whole, shown(data, other, chosen, 2, 10))


def test_the_hash_follows_every_file_read(survey):
    def told():
        return read(survey, variant(background=0.5))[1]

    first = told()
    assert told() == first
    for place, packs in enumerate(survey[1][:]):
        images = {name: packs.image(name) for name in packs.names()}
        images[crop_file("p4#0")] = np.full_like(images[crop_file("p4#0")], 77)
        survey[1][place] = pack_images(packs.path.parent, "other", images)
        assert told() != first
        survey[1][place] = packs


def test_too_little_to_learn_is_a_reason(survey):
    one = survey[0][survey[0]["label"].isin(["a:left"])]
    assert read(survey, variant(), one) == (None, "2 training crops of flank with 1 labels; two labels are needed")
    assert read(survey, variant(), one.iloc[:0])[1].startswith("0 training crops of flank")


def test_a_loss_of_pairs_needs_a_label_with_two_crops(survey, capsys):
    triplet = dataclasses.replace(variant(), loss={"name": "triplet", "miner": "all"})
    assert read(survey, triplet)[0] is not None
    told = "v: triplet compares photos of a label; 2 of 3 labels have a single training crop, no positive\n"
    assert capsys.readouterr().out == told
    one_each = survey[0][survey[0]["crop_id"] != "p1#0"]
    reason = "3 training crops of flank, no two of one label; triplet compares photos of a label"
    assert read(survey, triplet, one_each) == (None, reason)
    assert read(survey, variant(), one_each)[0] is not None and capsys.readouterr().out == ""


def test_crops_that_were_rejected_are_left_out(survey):
    packs = survey[1][0]
    kept = {name: packs.image(name) for name in packs.names() if name != crop_file("p3#0")}
    survey[1][0] = pack_images(packs.path.parent, "fewer", kept)
    data, _ = read(survey, variant(flip="never"))
    assert "p3#0" not in data.ids and data.labels.tolist() == [0, 0, 1]
