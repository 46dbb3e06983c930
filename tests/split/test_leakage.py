"""Planted leaks are found and named; what is no leak is only counted."""

import pandas as pd
import pytest
from named_crops import named_crops

from pelage.catalogue.clocks import CLOCK_COLUMNS
from pelage.common.errors import PelageError
from pelage.split.assign import drawn_split, published_split
from pelage.split.leakage import KINDS, find_leaks, join_facts, leakage_metrics, refuse_leaks, refuse_unfounded

RULES = {"clocks": pd.DataFrame(columns=CLOCK_COLUMNS), "bits": 2, "revisit_gap_s": 7200.0}
SHARES = {"novel": 0.25, "val_novel": 0.25, "val": 0.2, "test": 0.2}


@pytest.fixture
def clean_and_split(survey):
    clean, detections = survey()
    return clean, drawn_split(named_crops(clean, detections), seed=1, **RULES, **SHARES)


def leaks_of(split, clean, bits=2):
    return find_leaks(join_facts(split, clean, **RULES | {"bits": bits}), bits)


def metrics_of(split, clean):
    rows = join_facts(split, clean, **RULES)
    return leakage_metrics(rows, 2, find_leaks(rows, 2))


def rows_of(split, subset, known=True):
    return split.index[(split["subset"] == subset) & (split["known"] == known)]


def refused(clean, split, kind, published=False):
    leaks = leaks_of(split, clean)
    assert set(leaks["kind"]) == {kind} if isinstance(kind, str) else set(leaks["kind"]) == set(kind)
    with pytest.raises(PelageError) as error:
        refuse_leaks(leaks, published)
    return str(error.value)


def test_a_drawn_split_is_clean(clean_and_split):
    clean, split = clean_and_split
    leaks = leaks_of(split, clean)
    refuse_leaks(leaks, published_leaks=False)
    metrics = metrics_of(split, clean)
    assert all(metrics[kind] == 0 for kind in KINDS)
    assert all(metrics[f"own_encounter_share_{name}"] == 0 for name in ("validation", "closed", "open", "disjoint"))


def test_an_encounter_in_two_subsets_is_named(clean_and_split):
    clean, split = clean_and_split
    row = rows_of(split, "train")[0]
    image, encounter = split.loc[row, ["image_id", "encounter"]]
    split.loc[split["image_id"] == image, "subset"] = "test"
    message = refused(clean, split, ["encounters_across_subsets", "groups_across_subsets"])
    assert f"1 encounters stand in two subsets: encounter {encounter} (test crop {image}#0, train crop " in message


def test_a_photo_in_two_subsets_is_named(clean_and_split):
    clean, split = clean_and_split
    row = rows_of(split, "train")[0]
    split.loc[row, "subset"] = "val"
    kinds = ["photos_across_subsets", "exact_duplicates_across_subsets"]
    kinds += ["encounters_across_subsets", "groups_across_subsets"]
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
    message = refused(clean, split, ["exact_duplicates_across_subsets", "groups_divided"])
    assert f"test crop {copy}#0" in message and f"train crop {source}#0" in message


def test_a_near_duplicate_of_one_individual_is_named(clean_and_split):
    clean, split = clean_and_split
    source, copy = plant(clean, split, "phash", lambda text: f"{int(text, 16) ^ 3:016x}")
    assert f"photos {copy} and {source}" in refused(clean, split, ["near_duplicates_across_subsets", "groups_divided"])
    assert leaks_of(split, clean, 1).empty


def test_a_static_background_is_no_leak(clean_and_split):
    clean, split = clean_and_split
    plant(clean, split, "phash", same_identity=False)
    leaks = leaks_of(split, clean)
    assert leaks.empty
    assert metrics_of(split, clean)["look_alike_pairs_of_two_individuals"] == 1


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
    clean["encounter"] = clean["identity"]
    message = refused(clean, split, ["encounters_across_subsets", "groups_divided"])
    assert "and 9 more." in message  # four known individuals, three pairs of subsets each, three of them named


def test_same_camera_and_day(clean_and_split):
    clean, split = clean_and_split
    clean["camera"], clean["date"], clean["night"] = "", "2026-01-01T10:00:00", ""
    train, *tests = (
        split.loc[rows_of(split, subset)[n], "image_id"] for subset, n in [("train", 0), ("test", 0), ("test", 2)]
    )
    clean.loc[clean["image_id"].isin([train, *tests]), "camera"] = "c1"
    assert metrics_of(split, clean)["same_camera_day_pairs"] == 2
    clean.loc[clean["image_id"] == train, "date"] = "2026-01-02T10:00:00"
    assert metrics_of(split, clean)["same_camera_day_pairs"] == 0


def test_a_sighting_in_two_subsets_is_named(clean_and_split):
    clean, split = clean_and_split
    asked = split.loc[rows_of(split, "test")[0]]
    source = split[(split["identity"] == asked["identity"]) & (split["subset"] == "train")].iloc[0]
    facts = clean.set_index("image_id").loc[source["image_id"], ["place", "night"]]
    clean.loc[clean["image_id"] == asked["image_id"], ["place", "night"]] = facts.to_list()
    message = refused(clean, split, ["groups_across_subsets", "groups_divided"])
    assert f"sighting {asked['identity']} at {facts['place']} " in message
    refuse_leaks(leaks_of(split, clean).query("kind != 'groups_divided'"), published_leaks=True)


def test_the_column_group_may_not_divide_what_belongs_together(clean_and_split):
    clean, split = clean_and_split
    image = split.loc[rows_of(split, "test")[0], "image_id"]
    split.loc[split["image_id"] == image, "group"] = "elsewhere"
    assert f"crop {image}#0" in refused(clean, split, "groups_divided", published=True)
    metrics = metrics_of(split, clean)
    assert metrics["groups_divided"] == 1
    assert metrics["own_encounter_share_closed"] == 0 and metrics["own_encounter_share_validation"] == 0
    novel = split["image_id"] == split.loc[rows_of(split, "test", known=False)[0], "image_id"]
    split.loc[novel, "group"] = "nowhere"
    assert metrics_of(split, clean)["own_encounter_share_disjoint"] > 0  # its own burst may answer it


def test_queries_that_rest_on_nothing_stop_the_run(clean_and_split):
    clean, split = clean_and_split
    asked = split.loc[split["subset"].isin(["val", "test"]), "image_id"].unique()
    clean.loc[clean["image_id"].isin(asked[: len(asked) // 4]), "rests_on"] = "nothing"
    rows = join_facts(split, clean, **RULES)
    metrics = metrics_of(split, clean)
    share = metrics["share_resting_on_nothing"]
    assert 0.2 < share <= 0.25 and metrics["queries_resting_on_nothing"] == 2 * (len(asked) // 4)
    refuse_unfounded(rows, 0.25, excused=False)
    refuse_unfounded(rows, 0.2, excused=True)
    with pytest.raises(PelageError, match=r"columns date, sequence and encounter.*max_resting_on_nothing.*is 0.2"):
        refuse_unfounded(rows, 0.2, excused=False)


def test_look_alikes_are_counted_as_pairs_of_photos(clean_and_split):
    clean, split = clean_and_split
    clean["phash"] = [f"{n % 7:016x}" for n in range(len(clean))]
    photos = join_facts(split, clean, **RULES).drop_duplicates("image_id").to_dict("records")
    expected = sum(
        (int(one["phash"], 16) ^ int(other["phash"], 16)).bit_count() <= 2
        and one["subset"] != other["subset"]
        and one["identity"] != other["identity"]
        for n, one in enumerate(photos)
        for other in photos[:n]
    )
    assert metrics_of(split, clean)["look_alike_pairs_of_two_individuals"] == expected > 100


def test_a_published_split_may_leak_from_test_and_from_nowhere_else(survey):
    clean, detections = survey()
    clean["fold"] = ["test" if image.endswith("e0p0.jpg") else "train" for image in clean["image_id"]]
    split = published_split(named_crops(clean, detections), photos=clean, column="fold", seed=1, val=0.25, **RULES)
    leaks = leaks_of(split, clean)
    assert leaks["kind"].value_counts().to_dict() == {"encounters_across_subsets": 8, "groups_across_subsets": 8}
    refuse_leaks(leaks, published_leaks=True)
    metrics = metrics_of(split, clean)
    assert metrics["encounters_across_subsets"] == 8 and metrics["own_encounter_share_closed"] == 1.0
    with pytest.raises(PelageError, match="8 encounters stand in two subsets"):
        refuse_leaks(leaks, published_leaks=False)
    clean.loc[clean["image_id"] == split.loc[split["subset"] == "val", "image_id"].iloc[0], "sha256"] = "0" * 64
    clean.loc[clean["image_id"] == split.loc[split["subset"] == "train", "image_id"].iloc[0], "sha256"] = "0" * 64
    with pytest.raises(PelageError, match="1 file contents stand in two subsets"):
        refuse_leaks(leaks_of(split, clean), published_leaks=True)


def test_a_photo_that_is_gone_is_named(clean_and_split):
    clean, split = clean_and_split
    with pytest.raises(PelageError, match=r"the photo 'L0e0p0.jpg' is not in data/clean.csv"):
        leaks_of(split, clean.iloc[1:])
