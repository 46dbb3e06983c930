"""Planted leaks are found and named; what is no leak is only counted."""

import pytest

from pelage.common.errors import PelageError
from pelage.split.assign import crop_table, drawn_split, published_split
from pelage.split.leakage import KINDS, find_leaks, leakage_metrics, refuse_leaks

SHARES = {"novel": 0.25, "val_novel": 0.25, "val": 0.2, "test": 0.2}


@pytest.fixture
def clean_and_split(survey):
    clean, detections = survey()
    return clean, drawn_split(crop_table(clean, detections), 2, 1, **SHARES)


def rows_of(split, subset, known=True):
    return split.index[(split["subset"] == subset) & (split["known"] == known)]


def refused(clean, split, kind, published=False):
    leaks = find_leaks(split, clean, 2)
    assert set(leaks["kind"]) == {kind} if isinstance(kind, str) else set(leaks["kind"]) == set(kind)
    with pytest.raises(PelageError) as error:
        refuse_leaks(leaks, published)
    return str(error.value)


def test_a_drawn_split_is_clean(clean_and_split):
    clean, split = clean_and_split
    leaks = find_leaks(split, clean, 2)
    refuse_leaks(leaks, published_leaks=False)
    metrics = leakage_metrics(split, clean, 2, leaks)
    assert all(metrics[kind] == 0 for kind in KINDS)
    assert all(metrics[f"own_encounter_share_{name}"] == 0 for name in ("validation", "closed", "open", "disjoint"))


def test_an_encounter_in_two_subsets_is_named(clean_and_split):
    clean, split = clean_and_split
    row = rows_of(split, "train")[0]
    image, encounter = split.loc[row, ["image_id", "encounter"]]
    split.loc[split["image_id"] == image, "subset"] = "test"
    message = refused(clean, split, "encounters_across_subsets")
    assert f"1 encounters stand in two subsets: encounter {encounter} (test crop {image}#0, train crop " in message


def test_a_photo_in_two_subsets_is_named(clean_and_split):
    clean, split = clean_and_split
    row = rows_of(split, "train")[0]
    split.loc[row, "subset"] = "val"
    split.loc[row, "encounter"] = "elsewhere"
    kinds = ["photos_across_subsets", "exact_duplicates_across_subsets"]
    assert f"photo {split.loc[row, 'image_id']} (train crop" in refused(clean, split, kinds)


def plant(clean, split, column, value=lambda text: text, same_identity=True):
    """Give a test photo the `column` of a train photo."""
    asked = split.loc[rows_of(split, "test")[0]]
    fits = (split["identity"] == asked["identity"]) == same_identity
    source = split.loc[rows_of(split, "train").intersection(split.index[fits])[0], "image_id"]
    content = clean.loc[clean["image_id"] == source, column].iloc[0]
    clean.loc[clean["image_id"] == asked["image_id"], column] = value(content)
    return source, asked["image_id"]


def test_copies_are_named_whoever_they_are_said_to_show(clean_and_split):
    clean, split = clean_and_split
    source, copy = plant(clean, split, "sha256", same_identity=False)
    message = refused(clean, split, "exact_duplicates_across_subsets")
    assert f"test crop {copy}#0" in message and f"train crop {source}#0" in message


def test_a_near_duplicate_of_one_individual_is_named(clean_and_split):
    clean, split = clean_and_split
    source, copy = plant(clean, split, "phash", lambda text: f"{int(text, 16) ^ 3:016x}")
    assert f"photos {copy} and {source}" in refused(clean, split, "near_duplicates_across_subsets")
    assert find_leaks(split, clean, 1).empty


def test_a_static_background_is_no_leak(clean_and_split):
    clean, split = clean_and_split
    plant(clean, split, "phash", same_identity=False)
    leaks = find_leaks(split, clean, 2)
    assert leaks.empty
    assert leakage_metrics(split, clean, 2, leaks)["look_alike_pairs_of_two_individuals"] == 1


def test_a_novel_individual_in_train_or_val_is_named(clean_and_split):
    clean, split = clean_and_split
    novel = split.loc[rows_of(split, "test", known=False), "identity"].iloc[0]
    encounter = split["encounter"] == split.loc[split["identity"] == novel, "encounter"].iloc[0]
    split.loc[encounter, "subset"] = "train"
    assert f"individuals called novel (known is False) have train crops: identity {novel}" in refused(
        clean, split, "novel_individuals_in_train"
    )
    split.loc[encounter, "subset"] = "val"
    assert f"identity {novel} (test crop" in refused(clean, split, "novel_individuals_in_val_and_test")


def test_many_leaks_are_counted_and_a_few_named(clean_and_split):
    clean, split = clean_and_split
    split["encounter"] = split["identity"]
    message = refused(clean, split, "encounters_across_subsets")
    assert "and 9 more." in message  # four known individuals, three pairs of subsets each, three of them named


def test_same_camera_and_day(clean_and_split):
    clean, split = clean_and_split
    split["camera"], split["date"] = "", "2026-01-01T10:00:00"
    one_train, two_tests = rows_of(split, "train")[0], rows_of(split, "test")[[0, 2]]
    split.loc[[one_train, *two_tests], "camera"] = "c1"
    metrics = leakage_metrics(split, clean, 2, find_leaks(split, clean, 2))
    assert metrics["same_camera_day_pairs"] == 2
    split.loc[one_train, "date"] = "2026-01-02T10:00:00"
    assert leakage_metrics(split, clean, 2, find_leaks(split, clean, 2))["same_camera_day_pairs"] == 0


def test_a_published_split_may_leak_from_test_and_from_nowhere_else(survey):
    clean, detections = survey()
    clean["fold"] = ["test" if image.endswith("e0p0.jpg") else "train" for image in clean["image_id"]]
    split = published_split(crop_table(clean, detections), clean, "fold", 2, 1, 0.25)
    leaks = find_leaks(split, clean, 2)
    assert len(leaks) == 8
    refuse_leaks(leaks, published_leaks=True)
    metrics = leakage_metrics(split, clean, 2, leaks)
    assert metrics["encounters_across_subsets"] == 8 and metrics["own_encounter_share_closed"] == 1.0
    with pytest.raises(PelageError, match="8 encounters stand in two subsets"):
        refuse_leaks(leaks, published_leaks=False)
    clean.loc[clean["image_id"] == split.loc[split["subset"] == "val", "image_id"].iloc[0], "sha256"] = "0" * 64
    clean.loc[clean["image_id"] == split.loc[split["subset"] == "train", "image_id"].iloc[0], "sha256"] = "0" * 64
    with pytest.raises(PelageError, match="1 file contents stand in two subsets"):
        refuse_leaks(find_leaks(split, clean, 2), published_leaks=True)


def test_a_photo_that_is_gone_is_named(clean_and_split):
    clean, split = clean_and_split
    with pytest.raises(PelageError, match=r"the photo 'L0e0p0.jpg' is not in data/clean.csv"):
        find_leaks(split, clean.iloc[1:], 2)
