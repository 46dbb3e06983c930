"""The split table: drawn, published, and what cannot be split."""

import pandas as pd
import pytest
from named_crops import named_crops

from pelage.catalogue.clocks import CLOCK_COLUMNS
from pelage.common.errors import PelageError
from pelage.split.assign import crop_table, drawn_split, lacking, published_split, split_metrics
from pelage.split.leakage import find_leaks, join_facts, leakage_metrics, refuse_unfounded
from pelage.split.protocols import SPLIT_COLUMNS

RULES = {"clocks": pd.DataFrame(columns=CLOCK_COLUMNS), "bits": 2, "revisit_gap_s": 7200.0}
SHARES = {"novel": 0.25, "val_novel": 0.13, "val": 0.2, "test": 0.2}


def draw(clean, detections, seed=1):
    return drawn_split(named_crops(clean, detections), seed=seed, **RULES, **SHARES)


def publish(crops, clean, column, val=0.25):
    return published_split(crops, photos=clean, column=column, seed=1, val=val, **RULES)


def leaks_of(split, clean):
    return find_leaks(join_facts(split, clean, **RULES), 2)


def test_labels_and_order(survey):
    clean, detections = survey(2, 1)
    crops = named_crops(clean, detections.sample(frac=1, random_state=0))
    assert crops["crop_id"].is_monotonic_increasing
    assert crops["label"].tolist()[:4] == ["L0:left", "L0", "L0:right", "L0"]
    clean.loc[0, "identity"] = "unknown"
    assert named_crops(clean, detections)["label"].tolist()[:2] == ["unknown", "unknown"]


def test_a_part_has_the_name_of_its_animal_not_of_its_photo(survey):
    """A frontal mother shows only her face, and her cub its flank: the name is hers, however small her part."""
    clean, detections = survey(2, 1, 1)
    detections.loc[0, "animal"] = 1  # the flank is the cub's, the face the mother's
    animals = pd.DataFrame(
        [("L0e0p0.jpg", 0, "L0"), ("L0e0p0.jpg", 1, "unknown"), ("L1e0p0.jpg", 0, "L1")],
        columns=["image_id", "animal", "identity"],
    )
    crops = crop_table(clean.drop(columns="identity"), animals, detections.assign(shared=False))
    assert crops[["part", "identity"]].to_numpy().tolist()[:2] == [["flank", "unknown"], ["face", "L0"]]
    with refused(r"the animal 1 of the crop 'L0e0p0.jpg#0' is not in data/animals.csv"):
        crop_table(clean.drop(columns="identity"), animals.iloc[[0, 2]], detections.assign(shared=False))


def test_crops_that_show_another_animal_are_in_no_subset_unless_kept(survey):
    clean, detections = survey()
    shared = detections["image_id"].str.startswith(("L0e0", "L3e1"))
    crops = named_crops(clean, detections.assign(shared=shared))
    split = drawn_split(crops, seed=1, **RULES, **SHARES).set_index("crop_id")
    held = split.loc[detections.loc[shared, "crop_id"]]
    assert (held["subset"] == "none").all() and not held["gallery"].any()
    assert (split.drop(held.index)["subset"] != "none").all()
    published = publish(crops, clean, "fold", 0.2).set_index("crop_id")
    assert (published.loc[held.index, "subset"] == "none").all() and not published.loc[held.index, "gallery"].any()
    animals = detections[["image_id", "animal"]].drop_duplicates().merge(clean[["image_id", "identity"]])
    kept = crop_table(clean.drop(columns="identity"), animals, detections.assign(shared=shared), keep_shared=True)
    assert (drawn_split(kept, seed=1, **RULES, **SHARES)["subset"] != "none").all()


def test_drawn_split_holds_every_crop_and_leaks_nothing(survey):
    clean, detections = survey()
    clean.loc[:1, "identity"] = "unknown"  # of an encounter whose other photos are named
    split = draw(clean, detections)
    assert list(split.columns) == SPLIT_COLUMNS
    assert sorted(split["crop_id"]) == sorted(detections["crop_id"])
    assert set(split.loc[split["identity"] == "unknown", "subset"]) == {"survey"}
    assert (split["gallery"] == (split["subset"] == "train")).all()
    assert leaks_of(split, clean).empty
    metrics = split_metrics(split)
    assert metrics["test_novel_individuals"] == 2 and metrics["val_novel_individuals"] == 1
    assert metrics["train_individuals"] == 5 and metrics["survey_crops"] == 4 and metrics["survey_encounters"] == 1
    assert sum(metrics[f"{subset}_crops"] for subset in ("train", "val", "test", "survey", "none")) == len(detections)
    assert metrics["test_labels_in_train"] == 1.0


def test_what_nobody_named_belongs_to_its_encounter_and_to_what_named_photos_of_it_belong_to(survey):
    clean, detections = survey(2, 4, 2)
    clean.loc[clean["image_id"].isin(["L0e1p0.jpg", "L1e3p0.jpg", "L1e3p1.jpg"]), "identity"] = "unknown"
    night = clean["image_id"].str.startswith(("L0e0", "L0e1"))
    clean.loc[night, ["place", "night"]] = "S", "2025-03-01"  # L0 came twice that night
    shared = detections["image_id"] == "L1e3p1.jpg"
    split = draw(clean, detections.assign(shared=shared)).set_index("image_id")
    assert set(split.loc["L0e1p0.jpg", "group"]) == set(split.loc["L0e0p0.jpg", "group"])
    assert set(split.loc["L1e3p0.jpg", "group"]) == set(split.loc["L1e3p0.jpg", "encounter"])
    assert set(split.loc["L1e3p0.jpg", "subset"]) == {"survey"} and set(split.loc["L1e3p1.jpg", "subset"]) == {"none"}
    assert not split.loc[split["subset"] == "survey", ["known", "gallery"]].any(axis=None)


def test_split_does_not_depend_on_the_order_of_rows(survey):
    clean, detections = survey()
    mixed = clean.sample(frac=1, random_state=1), detections.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(draw(clean, detections), draw(*mixed))
    assert not draw(clean, detections).equals(draw(clean, detections, seed=2))


def test_near_duplicates_of_one_animal_stay_together(survey):
    clean, detections = survey()
    same = (clean["identity"] == "L3") & (clean["image_id"].str[:4].isin(["L3e1", "L3e2", "L3e3"]))
    clean.loc[same, "phash"] = clean.loc[same, "phash"].iloc[0]
    for seed in range(10):
        split = draw(clean, detections, seed)
        assert split.loc[split["image_id"].isin(clean.loc[same, "image_id"]), "subset"].nunique() == 1


def test_three_leopards(shared_photos):
    table = pd.read_csv(shared_photos("leopard") / "metadata.csv", dtype=str)
    clean = table.assign(encounter=table["station"] + table["date"].str[:13], sha256="", phash="")
    clean = clean.assign(place=clean["station"], night="", rests_on="time")
    detections = table[["image_id", "orientation"]].assign(part="flank", animal=0, w=1.0, h=1.0)
    detections["crop_id"] = detections["image_id"] + "#0"
    split = drawn_split(named_crops(clean, detections), seed=1, **RULES, novel=0.2, val_novel=0.12, val=0.15, test=0.25)
    metrics = split_metrics(split)
    assert metrics["train_individuals"] == 2 and metrics["test_novel_individuals"] == 1
    assert metrics["val_crops"] > 0 and metrics["test_labels_in_train"] == 1.0


def test_published_split(survey):
    clean, detections = survey()
    clean.loc[4, "fold"] = ""
    clean.loc[6, "identity"] = "unknown"
    crops = named_crops(clean, detections)
    split = publish(crops, clean, "fold", 0.25)
    fold = crops["image_id"].map(clean.set_index("image_id")["fold"])
    assert ((split["subset"] == "test") == (fold == "test")).all()
    assert set(split.loc[fold == "", "subset"]) == {"none"}
    assert split["published"].all() and split["known"].sum() == len(split) - 2
    val = split["subset"] == "val"
    assert split.loc[val, "encounter"].nunique() == 8
    assert (split["gallery"] == (split["subset"].isin(["train", "val"]))).all()
    assert leaks_of(split, clean).empty


def test_published_val_is_kept_out_of_the_gallery(survey):
    clean, detections = survey()
    clean.loc[clean["image_id"].str[2:4] == "e1", "fold"] = "val"
    split = publish(named_crops(clean, detections), clean, "fold", 0.25)
    assert (split["gallery"] == (split["subset"] == "train")).all()
    assert (split["subset"] == "val").sum() == 8 * 2 * 2


def test_individuals_only_in_the_published_test_are_novel(survey):
    clean, detections = survey()
    clean["fold"] = (clean["identity"] < "L2").map({True: "test", False: "train"})
    split = publish(named_crops(clean, detections), clean, "fold", 0.2)
    assert (split["known"] == (split["identity"] >= "L2")).all()


def refused(message):
    return pytest.raises(PelageError, match=message)


def test_where_nobody_can_be_recognised_again_all_named_crops_are_train(survey):
    clean, detections = survey()
    seldom = clean["identity"].where(clean["image_id"].str[2:4] == "e0", "unknown")
    for identity, subsets, said in (
        ("unknown", {"survey"}, r"0 known individual(s)"),
        ("L0", {"train"}, r"1 known individual(s)"),
        (seldom, {"train", "survey"}, "none of its 8 individuals was photographed in two encounters"),
    ):
        table = clean.assign(identity=identity)
        split = draw(table, detections)
        assert set(split["subset"]) == subsets and (split["gallery"] == (split["subset"] == "train")).all()
        assert said in lacking(split[split["subset"] != "survey"])
        rows = join_facts(split, table, **RULES)
        leaks = find_leaks(rows, 2)
        assert leaks.empty and leakage_metrics(rows, 2, leaks)["own_encounter_share_closed"] is None
        refuse_unfounded(rows, 0.0, False)
        assert split_metrics(split)["test_labels_in_train"] is None
    assert lacking(draw(clean, detections)) == ""


def test_what_cannot_be_split(survey):
    clean, detections = survey()
    with refused("no crop, so nothing can be learnt"):
        named_crops(clean, detections.iloc[:0])
    with refused(r"detections.csv, row 2: the photo 'L0e0p0.jpg' is not in"):
        named_crops(clean.iloc[1:], detections)
    crops = named_crops(clean, detections)
    for column in ("closed_split", ""):
        with refused(f"has no column '{column}'"):
            publish(crops, clean, column, 0.2)
    with refused(r"clean.csv, row 5: fold is 'gallery'.*\(2 rows have other values\)"):
        wrong = clean.assign(fold=["gallery" if row in (3, 7) else "train" for row in range(len(clean))])
        publish(crops, wrong, "fold", 0.2)
    with refused("80 in test|and 0 in test"):
        publish(crops, clean.assign(fold="train"), "fold", 0.2)
