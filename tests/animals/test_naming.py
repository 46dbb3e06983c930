"""The whole way from photo pairs to answers, on surveys drawn at random and on what can go wrong."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from survey import draw, seen_of

from pelage.animals.journal import parse_journal
from pelage.animals.naming import calibration, compare, hear_people, name_animals, practise
from pelage.animals.units import GALLERY, NAMED, PRACTICE, REHEARSAL, SURVEY, units_of

PLACES = pd.DataFrame({"station": [], "latitude": [], "longitude": []})
SETTINGS = {"places": PLACES, "draws": 5, "probability": 0.9, "speed_m_per_s": None, "seed": 1}


def of(pairs, protocol):
    return pairs[pairs["protocol"] == protocol]


def named(drawn, scope, own=NAMED, journal="", **more):
    tables, split, pairs, _ = drawn
    seen = seen_of(tables, split)
    evidence = practise(units_of(seen, GALLERY, PRACTICE), of(pairs, PRACTICE))
    units = units_of(seen, own, scope)
    people = hear_people(parse_journal(journal.encode()), units, tables["clean"]) if journal else None
    result = name_animals(units, of(pairs, scope), evidence, **(SETTINGS | more), people=people)
    asked = result.answers[result.answers["scope"] != NAMED]
    return result, asked.assign(truth=asked["encounter"].str.split("-").str[0])


@pytest.fixture(scope="module")
def survey():
    return draw(6, known=8, new=3, practised=8, missed=0.05)


@pytest.fixture(scope="module")
def answered(survey):
    return named(survey, SURVEY)


def test_known_animals_are_named_and_new_ones_told_apart(answered):
    _, asked = answered
    known, new = asked[asked["answer"] == "known"], asked[asked["answer"] == "new"]
    assert len(known) > 15 and (known["individual"] == known["truth"]).all()
    assert set(new["truth"]) == {"L08", "L09", "L10"}
    assert (new.groupby("individual")["truth"].nunique() == 1).all()
    told = asked[asked["answer"] != "cannot_tell"]
    assert (told["probability"] >= 0.9).all() and (told["reason"] == "").all()
    unsure = asked[asked["answer"] == "cannot_tell"]
    assert (unsure["individual"] == "").all() and (unsure["reason"] != "").all()


def test_new_animals_are_numbered_by_their_first_sighting(answered):
    _, asked = answered
    first = asked[asked["answer"] == "new"].groupby("individual")["date"].min()
    assert first.index.tolist() == [f"new-{number + 1:03d}" for number in range(len(first))]
    assert first.is_monotonic_increasing


def test_both_flanks_of_an_encounter_have_one_answer(answered):
    _, asked = answered
    assert (asked.groupby("encounter")["answer"].nunique() == 1).all()


def test_links_hold_what_photos_say(answered):
    result, _ = answered
    evidence = result.links[(result.links["kind"] == "evidence") & (result.links["pairs"] > 0)]
    assert evidence["probability"].between(0, 1).all()
    assert (evidence["query"] != "").all() and (evidence["candidate"] != "").all()
    sure = evidence[evidence["probability"] > 0.9]
    assert sure["together"].mean() > 0.95
    assert set(result.links["kind"]) == {"evidence", "must"}


def test_what_holds_a_unit_is_a_pair_of_crops_of_its_animal(survey, answered):
    truth = survey[3]
    _, asked = answered
    held = asked.loc[(asked["weakest_link"] != "") & (asked["answer"] == "known"), "weakest_link"]
    assert len(held) > 10
    for link in held:
        one, two = (crop.rpartition("#")[0] for crop in link.split(" ~ "))
        assert truth[one] == truth[two]


def test_the_same_seed_gives_the_same_tables(survey, answered):
    again, _ = named(survey, SURVEY)
    pd.testing.assert_frame_equal(again.answers, answered[0].answers)
    pd.testing.assert_frame_equal(again.links, answered[0].links)
    pd.testing.assert_frame_equal(again.partitions(), answered[0].partitions())


def test_partitions_hold_names_and_all_units(answered):
    result, _ = answered
    table = result.partitions()
    assert table["draw"].unique().tolist() == list(range(5))
    assert (table.groupby("draw")["unit"].nunique() == len(result.units.table)).all()
    names = table.merge(result.units.table.loc[result.units.table["scope"] == NAMED, ["unit", "identity"]], on="unit")
    assert (names["individual"] == names["identity"]).all()


def test_a_rehearsal_tells_what_answers_are_worth():
    drawn = draw(2, known=10, new=4, practised=10, subset="test")
    result, asked = named(drawn, REHEARSAL, own=GALLERY)
    agreement, sure = compare(result), compare(result, decided=True)
    assert agreement.precision > 0.95 and agreement.recall > 0.6 and agreement.merges == 0
    assert sure.precision == 1.0 and sure.ghosts <= agreement.ghosts
    assert agreement.true == asked["truth"].nunique()
    evidence = practise(units_of(seen_of(drawn[0], drawn[1]), GALLERY, PRACTICE), of(drawn[2], PRACTICE))
    told = calibration(result, of(drawn[2], REHEARSAL), evidence)
    assert told["brier_skill"] > 0.6 and told["top1_ece"] < 0.2


def test_a_fault_in_the_scores_shows_in_the_rehearsal():
    """Two animals whose photos look alike become one, and the rehearsal says so."""
    drawn = draw(2, known=8, new=3, practised=8, subset="test", missed=0)
    tables, split, pairs, truth = drawn
    twins = {"L09": "L10", "L10": "L09"}
    animals = [pairs[end].str.rpartition("#")[0].map(truth) for end in ("query", "candidate")]
    alike = animals[0].map(twins).eq(animals[1]) & (pairs["protocol"] == REHEARSAL)
    spoilt = pairs.assign(score=pairs["score"].where(~alike, 0.99))
    result, _ = named((tables, split, spoilt, truth), REHEARSAL, own=GALLERY)
    assert compare(result).merges == 1 and compare(result).precision < 0.95


def test_everybody_new():
    _, asked = named(draw(3, known=8, practised=8, asked_visits=0, new=6, missed=0), SURVEY)
    assert set(asked["answer"]) == {"new"}
    assert (asked.groupby("truth")["individual"].nunique() == 1).all() and asked["individual"].nunique() == 6


def test_everything_one_animal():
    _, asked = named(draw(4, known=8, practised=8, asked_visits=0, new=1, missed=0), SURVEY)
    assert set(asked["individual"]) == {"new-001"}


def test_without_survey_photos_named_ones_stay_as_the_source_has_them():
    result, asked = named(draw(5, known=6, practised=6, asked_visits=0, new=0), SURVEY)
    assert asked.empty and set(result.answers["answer"]) == {"named"}
    assert (result.answers["individual"] == result.units.table["identity"]).all()
    assert result.links.empty and result.questions().empty


def test_where_nothing_is_calibrated_nobody_is_named(survey):
    tables, split, pairs, _ = survey
    units = units_of(seen_of(tables, split), NAMED, SURVEY)
    result = name_animals(units, of(pairs, SURVEY), None, **SETTINGS)
    asked = result.answers[result.answers["scope"] == SURVEY]
    assert set(asked["answer"]) == {"cannot_tell"} and asked["reason"].str.contains("too few individuals").all()
    assert set(asked["probability"]) == {0.0}


def test_where_nothing_is_calibrated_people_decide(survey):
    tables, split, pairs, _ = survey
    units = units_of(seen_of(tables, split), NAMED, SURVEY)
    crops = units.table.set_index("unit")["best_crop"]
    said = line("same", crops=[crops["L08-0|left"]], other_crops=[crops["L08-1|left"]])
    people = hear_people(parse_journal(said.encode()), units, tables["clean"])
    asked = name_animals(units, of(pairs, SURVEY), None, **SETTINGS, people=people).answers.set_index("unit")
    told = asked.loc[["L08-0|left", "L08-1|left"], ["individual", "answer", "decided_by"]]
    assert told.to_numpy().tolist() == [["new-001", "new", "ann"]] * 2
    assert asked.loc["L08-2|left", "answer"] == "cannot_tell"


def test_without_any_practice_there_is_no_evidence(survey):
    tables, split, pairs, _ = survey
    assert practise(units_of(seen_of(tables, split), GALLERY, PRACTICE), pairs.head(0)) is None


def test_a_flank_that_is_known_of_few_makes_nobody_new(survey):
    tables, split, pairs, truth = survey
    known = tables["clean"].merge(split.assign(image_id=split["crop_id"].str.rpartition("#")[0]), on="image_id")
    left = tables["animals"].set_index("image_id")["orientation"].eq("left")
    gone = known.loc[(known["subset"] != SURVEY) & ~known["image_id"].map(left), "image_id"]
    gone = set(gone) - {image for image, animal in truth.items() if animal < "L04"}
    kept = ~split["crop_id"].str.rpartition("#")[0].isin(gone)
    detections = tables["detections"][~tables["detections"]["image_id"].isin(gone)]
    lefts = tables["animals"]["image_id"].map(truth).isin(["L08", "L09", "L10"])
    lefts &= tables["animals"]["orientation"] == "left"
    fewer = {name: tables[name][~tables[name]["image_id"].isin(set(tables["animals"].loc[lefts, "image_id"]))]
             for name in ("clean", "animals")}  # fmt: skip
    _, asked = named((tables | fewer | {"detections": detections}, split[kept], pairs, truth), SURVEY)
    new = asked[asked["truth"] >= "L08"]
    assert set(new["answer"]) == {"cannot_tell"}
    assert new["reason"].str.contains("this flank is known of 4 of 8 named animals").any()


def line(verb, **fields):
    made = {
        "id": verb + json.dumps(fields),
        "time": "2026-01-01T10:00:00+00:00",
        "reviewer": "ann",
        "verb": verb,
        **fields,
    }
    return json.dumps(made) + "\n"


def crop_of(result, answer, **told):
    rows = result.answers[result.answers["answer"] == answer]
    for column, value in told.items():
        rows = rows[rows[column] == value]
    return rows.iloc[0]


def test_people_are_heard(survey, answered):
    result, _ = answered
    known = crop_of(result, "known", likeliest="L03")
    said = line("is", crops=[known["best_crop"]], name="L05") + line("pin", crops=[known["best_crop"]])
    after, asked = named(survey, SURVEY, journal=said)
    row = asked[asked["unit"] == known["unit"]].iloc[0]
    assert row[["individual", "answer", "decided_by"]].tolist() == ["L05", "known", "ann"]
    assert row["probability"] == 1.0
    decided = after.links[after.links["filters"].str.startswith("people")]
    assert decided["kind"].tolist() == ["must"] and not after.told


def test_animals_that_people_merge_are_one_and_renamed_ones_have_their_new_name(survey):
    said = line("merge", name="L01", to="L02") + line("rename", name="L03", to="Ada")
    result, asked = named(survey, SURVEY, journal=said)
    assert {"L01", "L03"}.isdisjoint(result.answers["individual"])
    now = dict(zip(result.answers["unit"], result.answers["individual"], strict=True))
    assert now["L01-0|left"] == now["L02-0|left"] == "L02"
    assert set(asked.loc[asked["individual"] == "L02", "truth"]) <= {"L01", "L02"}
    assert set(asked.loc[asked["individual"] == "Ada", "truth"]) == {"L03"}


def test_that_nobody_can_tell_is_an_answer(survey, answered):
    known = crop_of(answered[0], "known")
    _, asked = named(survey, SURVEY, journal=line("cannot_tell", crops=[known["best_crop"]], reason="a tail"))
    row = asked[asked["unit"] == known["unit"]].iloc[0]
    assert row[["answer", "reason", "individual", "decided_by"]].tolist() == ["cannot_tell", "a tail", "", "ann"]


def test_people_cannot_make_one_animal_of_two_in_a_photo(survey):
    tables, split, pairs, truth = survey
    photo = tables["clean"].loc[tables["clean"]["encounter"] == "L08-0", "image_id"].iloc[0]
    more = {name: pd.concat([table, table[table["image_id"] == photo].assign(animal="1")])
            for name, table in tables.items() if name == "animals"}  # fmt: skip
    crop = tables["detections"][tables["detections"]["image_id"] == photo].assign(animal="1", crop_id=photo + "#1")
    more["detections"] = pd.concat([tables["detections"], crop])
    own = split[split["crop_id"] == photo + "#0"].assign(crop_id=photo + "#1")
    drawn = (tables | more, pd.concat([split, own]), pairs, truth)
    said = line("same", crops=[photo + "#0"], other_crops=[photo + "#1"])
    said += line("pin", crops=[photo + "#0"], other_crops=[photo + "#1"])
    result, _ = named(drawn, SURVEY, journal=said)
    assert len(result.told) == 1 and "must not" in result.told[0]
    label = dict(zip(result.graph.names, result.best, strict=True))
    unit = result.units.crops.set_index("crop_id")["unit"]
    assert label[unit[photo + "#0"]] != label[unit[photo + "#1"]]


def test_no_animal_is_at_two_places_at_once(survey):
    tables, split, pairs, truth = survey
    clean = tables["clean"].copy()
    moved = clean["encounter"].isin(["L08-0", "L08-1"])
    clean.loc[moved, "date"] = "2025-03-01T12:00:00"
    clean.loc[clean["encounter"] == "L08-0", "station"] = "S1"
    clean.loc[clean["encounter"] == "L08-1", "station"] = "S5"
    drawn = (tables | {"clean": clean}, split, pairs, truth)
    places = pd.DataFrame({"station": ["S1", "S5"], "latitude": [0.0, 0.0], "longitude": [0.0, 0.2]})  # 22 km apart
    for speed, together in ((None, True), (10.0, False), (50.0, True)):
        result, _ = named(drawn, SURVEY, speed_m_per_s=speed, places=places)
        label = dict(zip(result.graph.names, result.best, strict=True))
        assert (label["L08-0|left"] == label["L08-1|left"]) == together
        told = result.links.loc[result.links["kind"] == "cannot", "filters"]
        assert told.str.contains("22.2 km apart within 0 minutes").any() != together


def test_a_table_of_questions_names_units_and_what_is_open():
    result, _ = named(draw(8, known=8, new=5, practised=8, missed=0.2, alike=1.5), SURVEY)
    table = result.questions()
    assert len(table) > 3
    assert set(table["unit"]) | set(table["other"]) <= set(result.units.table["unit"])
    assert table["place"].tolist() == list(range(1, len(table) + 1))
    assert np.isfinite(table["probability"]).all()


def test_one_encounter_that_a_matcher_mistakes_makes_no_animal_of_two():
    tables, split, pairs, truth = draw(4, known=10, new=2, visits=6, practised=10, missed=0.0)
    encounter = tables["clean"].set_index("image_id")["encounter"]
    ends = [pairs[end].str.split("#").str[0].map(encounter) for end in ("query", "candidate")]
    both = [(ends[side] == "L10-0") & (ends[1 - side] == "L11-1") for side in (0, 1)]
    between = (pairs["protocol"] == SURVEY) & (both[0] | both[1])
    assert between.any()
    mistaken = pairs.assign(score=pairs["score"].where(~between, 0.9999))
    _, asked = named((tables, split, mistaken, truth), SURVEY)
    new = asked[asked["answer"] == "new"]
    assert (new.groupby("individual")["truth"].nunique() == 1).all() and set(new["truth"]) == {"L10", "L11"}


def test_who_resembles_nobody_was_compared_all_the_same():
    drawn = draw(5, known=10, new=1, visits=1, practised=10, missed=0.0)
    _, asked = named(drawn, SURVEY)
    alone = asked[asked["truth"] == "L10"]
    assert len(alone) and not alone["reason"].str.contains("could be compared").any()
    assert (alone["probability"] > 0.3).all()


def test_that_people_say_it_is_new_is_an_answer():
    drawn = draw(5, known=10, new=1, visits=1, practised=10, missed=0.0)
    _, before = named(drawn, SURVEY)
    assert set(before.loc[before["truth"] == "L10", "answer"]) == {"cannot_tell"}, "seen once, it may have been missed"
    crops = [f"{image}#0" for image, animal in drawn[3].items() if animal == "L10"]
    said = {"id": "1", "time": "2026-03-01T10:00:00Z", "reviewer": "Ana", "verb": "new", "crops": crops}
    _, after = named(drawn, SURVEY, journal=json.dumps(said) + "\n")
    assert set(after.loc[after["truth"] == "L10", "answer"]) == {"new"}
    assert set(after.loc[after["truth"] == "L10", "decided_by"]) == {"Ana"}


def test_a_single_voice_against_what_photos_say_is_told_and_asked_about_first(survey, answered):
    known = crop_of(answered[0], "known", likeliest="L03")
    said = line("is", crops=[known["best_crop"]], name="L05")
    tables, split, pairs, _ = survey
    units = units_of(seen_of(tables, split), NAMED, SURVEY)
    people = hear_people(parse_journal(said.encode()), units, tables["clean"])
    evidence = practise(units_of(seen_of(tables, split), GALLERY, PRACTICE), of(pairs, PRACTICE))
    result = name_animals(units, of(pairs, SURVEY), evidence, **SETTINGS, people=people)
    row = result.answers.set_index("unit").loc[known["unit"]]
    assert row[["answer", "individual", "decided_by"]].tolist() == ["cannot_tell", "", "ann"]
    assert row["reason"] == "contradicted: people say that this is, photos that it is not, L05"
    first = result.questions(people).iloc[0]
    whole = {unit for unit, node in result.nodes.of_unit.items() if node == result.nodes.of_unit[known["unit"]]}
    assert {first["unit"], first["other"]} & whole and "people say one thing" in first["why"]
    agreed = line("is", crops=[known["best_crop"]], name="L03")
    _, asked = named(survey, SURVEY, journal=agreed)
    now = asked.set_index("unit").loc[known["unit"]]
    assert now[["answer", "individual", "reason"]].tolist() == ["known", "L03", ""]


def test_that_it_is_another_one_than_photos_say_is_told(survey, answered):
    known = crop_of(answered[0], "known", likeliest="L03")
    result, asked = named(survey, SURVEY, journal=line("new", crops=[known["best_crop"]]))
    row = asked.set_index("unit").loc[known["unit"]]
    assert row["answer"] == "cannot_tell"
    assert row["reason"] == "contradicted: people say that this is not, photos that it is, L03"
    assert "people say one thing" in result.questions().iloc[0]["why"]
