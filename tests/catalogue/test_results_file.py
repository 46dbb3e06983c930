"""Results files of other programs, made from their formats' documentation: every entry is used, or listed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.catalogue.data_set import to_look_at
from pelage.catalogue.results_file import COLUMNS, READ, _Finder, read_entries, read_results, species_word
from pelage.common.errors import PelageError

BOX = [0.1, 0.2, 0.3, 0.4]
CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}
FOX = "e4d1e892-0e4b-475a-a8ac-b5c3502e0d55;mammalia;carnivora;canidae;vulpes;vulpes;red fox"


def seen(category: str = "1", conf: float = 0.9, bbox=BOX, **more) -> dict:
    return {"category": category, "conf": conf, "bbox": bbox, **more}


def megadetector(*images: dict, version="1.4", **more) -> dict:
    return {"info": {"format_version": version}, "detection_categories": CATEGORIES, "images": list(images), **more}


def image(file: str, *detections: dict, **more) -> dict:
    return {"file": file, "detections": list(detections), **more}


@pytest.fixture
def read(tmp_path):
    """Return a function that reads results of photos with some paths below the folder `survey`."""

    def run(told, photos=("S01/a.jpg", "S01/b.jpg", "S02/a.jpg"), root="/data/survey", name="results.json"):
        files = {}
        for number, one in enumerate(told if isinstance(told, list) else [told]):
            file = tmp_path / f"{number}{name}"
            file.write_bytes(one if isinstance(one, bytes) else json.dumps(one).encode())
            files[file.name] = file
        table = pd.DataFrame({"image_id": [path.replace("/", "-")[:-4] for path in photos], "path": list(photos)})
        return read_results(files, table, list(photos), [Path(root) / path for path in photos])

    return run


def rows(results) -> list[tuple]:
    return [tuple("" if one != one else one for one in row) for row in results.boxes.itertuples(index=False)]


def reasons(results) -> list[tuple[str, str]]:
    return [(image_id, reason) for image_id, _, reason, _ in results.rejected]


def test_megadetector_with_a_classifier(read):
    """The example of the format's documentation, with absolute paths, a failure and a film."""
    told = megadetector(
        image(
            "S01/a.jpg",
            seen(
                conf=0.926,
                bbox=[0.0, 0.2762, 0.1539, 0.2825],
                classifications=[["3", 0.901], ["1", 0.071], ["4", 0.02]],
            ),
            seen(conf=0.061, bbox=[0.0451, 0.1849, 0.3642, 0.4636]),
            seen("2", 0.871),
        ),
        image("S01/b.jpg", failure=None),
        {"file": "S02/a.jpg", "failure": "Failure image access", "detections": None},
        {"file": "S02/film.mp4", "frame_rate": 20, "detections": [seen("2", 0.871, frame_number=0)]},
        version="1.6",
        classification_categories={"0": "fox", "1": "elk", "2": "wolf", "3": "bear", "4": "moose"},
        classification_category_descriptions={"3": "animalia;chordata;mammalia;carnivora;ursidae;ursusamericanus"},
    )
    results = read(told)
    assert tuple(results.boxes.columns) == COLUMNS
    assert rows(results) == [
        ("S01-a", "animal", "bear", 0.901, 0.926, 0.0, 0.2762, 0.1539, 0.2825, "images[0].detections[0]"),
        ("S01-a", "animal", "", "", 0.061, 0.0451, 0.1849, 0.3642, 0.4636, "images[0].detections[1]"),
        ("S01-a", "person", "", "", 0.871, 0.1, 0.2, 0.3, 0.4, "images[0].detections[2]"),
        ("S01-b", "none", "", "", "", "", "", "", "", "images[1]"),
    ]
    assert reasons(results) == [("S02-a", "failure"), ("", "video")]
    assert "Failure image access" in results.rejected[0][3] and "Take frames out" in results.rejected[1][3]
    assert results.without == 1


def test_speciesnet_predictions(read):
    """As its README describes them: absolute paths, labels of seven parts, one species a photo, failed components."""
    told = {
        "predictions": [
            {
                "filepath": "c:\\Photos\\survey\\S01\\a.jpg",
                "country": "USA",
                "classifications": {"classes": [FOX, "f1856211;;;;;;blank"], "scores": [0.8, 0.1]},
                "detections": [
                    {
                        "category": "1",
                        "label": "animal",
                        "conf": 0.9352,
                        "bbox": [0.7041015625, 0.4765625, 0.11, 0.125],
                    },
                    {"category": "2", "label": "human", "conf": 0.02, "bbox": BOX},
                ],
                "prediction": "b1352069;mammalia;carnivora;canidae;;;canidae family",
                "prediction_score": 0.85,
                "prediction_source": "classifier+rollup_to_family",
                "model_version": "4.0.1a",
            },
            {
                "filepath": "c:\\Photos\\survey\\S01\\b.jpg",
                "failures": ["CLASSIFIER", "DETECTOR"],
                "model_version": "x",
            },
            {
                "filepath": "c:\\Photos\\survey\\S02\\a.jpg",
                "failures": ["GEOLOCATION"],
                "classifications": {"classes": [FOX], "scores": [0.7]},
                "detections": [{"category": "1", "label": "animal", "conf": 0.5, "bbox": BOX}],
            },
        ]
    }
    results = read(told)
    assert [row[:5] for row in rows(results)] == [
        ("S01-a", "animal", "canidae family", 0.85, 0.9352),
        ("S01-a", "person", "", "", 0.02),
        ("S02-a", "animal", "red fox", 0.7, 0.5),
    ]
    assert rows(results)[0][5:] == (0.704102, 0.476562, 0.11, 0.125, "predictions[0].detections[0]")
    assert reasons(results) == [("S01-b", "failure")] and "CLASSIFIER, DETECTOR" in results.rejected[0][3]


def test_addaxai_with_a_detector_of_its_own(read):
    """Its metadata stand in `info`, without a format_version in old files; a custom model's categories are species."""
    told = {
        "images": [image("S01\\a.jpg", seen("1"), seen("2", 0.4)), image("S01\\b.jpg", seen("0"))],
        "detection_categories": {"0": "Empty", "1": "Leopard", "2": "person"},
        "info": {"ecoassist_metadata": {"version": "5.14", "custom_model": True, "custom_model_info": {}}},
    }
    results = read(told)
    assert [row[:5] for row in rows(results)] == [
        ("S01-a", "animal", "Leopard", "", 0.9),
        ("S01-a", "person", "", "", 0.4),
        ("S01-b", "none", "", "", ""),
    ]
    assert reasons(results) == [("S01-b", "category")] and results.without == 1


@pytest.mark.parametrize("version", ["1.0", "1.3", "1.6", 1.4, 1])
def test_versions_that_are_read(read, version):
    assert len(rows(read(megadetector(image("S01/a.jpg", seen(), max_detection_conf=0.9), version=version)))) == 1


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (megadetector(image("S01/a.jpg"), version="2.0"), "is of format_version '2.0', which is not read"),
        (megadetector(image("S01/a.jpg"), version="soon"), "is of format_version 'soon', which is not read"),
        (b"{'images': []}", "is no whole JSON file: .*line 1 column 2"),
        (json.dumps(megadetector(image("S01/a.jpg"))).encode()[:-9], "is no whole JSON file"),
        (b"[" * 100_000, "nested deeper|no whole JSON"),
        ('{"images": ["\u00e9"]}'.encode("latin-1"), "is no results file in UTF-8"),
        ({"images": [], "annotations": [], "categories": []}, "COCO"),
        ({"photos": []}, "neither a list `images` nor `predictions`"),
        ({"images": {}}, "neither a list `images` nor `predictions`"),
        (b'[{"file": "a.jpg", "detections": []}]', "PyTorch-Wildlife"),
        (megadetector(image("S01/a.jpg"), classification_categories=["fox"]), "classification_categories is"),
    ],
)
def test_other_files_are_refused_with_what_is_read(read, told, said):
    with pytest.raises(PelageError, match=said) as error:
        read(told)
    assert "0results.json" in str(error.value) and READ in str(error.value)


def test_a_file_of_other_photos_or_of_none(read):
    with pytest.raises(
        PelageError, match=r"none of its 1 entries is of a photo .* 'X/z.jpg', photos are called 'S01/a.jpg'"
    ):
        read(megadetector(image("X/z.jpg")))
    with pytest.raises(PelageError, match="has no entries"):
        read(megadetector())
    with pytest.raises(PelageError, match=r"nowhere\.json cannot be read: No such file"):
        list(read_entries(Path("nowhere.json")))


@pytest.mark.parametrize(
    "path",
    [
        "S01/a.jpg",
        "./S01/a.jpg",
        "S01\\a.jpg",
        "s01/A.JPG",
        "C:\\Users\\me\\photos\\S01\\a.jpg",
        "/mnt/disk/other/S01/a.jpg",
        "\\\\server\\share\\S01\\a.jpg",
        "file:///mnt/S01/a.jpg",
        "../photos/S01//a.jpg",
        " S01/a.jpg ",
    ],
)
def test_paths_that_differ_in_their_root_are_matched(read, path):
    results = read(megadetector(image(path, seen())))
    assert [row[0] for row in rows(results)] == ["S01-a"] and not results.rejected and results.without == 2


def test_photos_of_another_folder_and_of_several_are_listed(read):
    told = megadetector(*(image(path, seen()) for path in ("S03/a.jpg", "S01/z.jpg", "b.jpg", "a.jpg")))
    results = read(told)
    assert [row[0] for row in rows(results)] == ["S01-b"]
    assert reasons(results) == [("", "missing"), ("", "missing"), ("", "ambiguous")]
    assert "photos of that file name lie in other folders" in results.rejected[0][3]
    assert "several photos end in 'a.jpg'" in results.rejected[2][3]
    assert [path for _, path, _, _ in results.rejected] == ["S03/a.jpg", "S01/z.jpg", "a.jpg"]


def test_results_of_a_whole_survey_for_the_photos_of_one_station(read):
    """The photos lie in .../survey/S01, so that their paths are names alone; S02 has photos of these names, too."""
    told = megadetector(*(image(path, seen("2" if "S02" in path else "1")) for path in ("S02/a.jpg", "S01/a.jpg")))
    results = read(told, photos=("a.jpg", "b.jpg"), root="/data/survey/S01")
    assert [row[:2] for row in rows(results)] == [("a", "animal")]
    assert reasons(results) == [("", "missing")] and "'S01/a.jpg' fits that better" in results.rejected[0][3]


def test_names_that_differ_in_case_only(read):
    photos = ("S01/a.jpg", "s01/a.jpg")
    results = read(megadetector(image("D:/s01/a.jpg", seen()), image("D:/S01/A.jpg", seen())), photos=photos)
    assert [row[0] for row in rows(results)] == ["s01-a"]
    assert reasons(results) == [("", "ambiguous")] and "may be any of 2 photos" in results.rejected[0][3]
    photos = ("Gepa\u0301rd/a.jpg",)
    assert rows(read(megadetector(image("GEP\u00c1RD/a.jpg", seen())), photos=photos))


def test_two_entries_of_a_photo(read):
    told = megadetector(
        image("S01/a.jpg", seen()),
        image("D:/x/S01/a.jpg", seen()),
        image("S01/b.jpg", seen()),
        image("D:/x/S01/b.jpg"),
        {"file": "S02/a.jpg", "failure": "no"},
        image("S02/a.jpg", seen()),
    )
    results = read(told)
    assert [row[0] for row in rows(results)] == ["S01-a", "S02-a"]
    told = {("S01-a", "repeated"): 1, ("S01-b", "conflict"): 2, ("S02-a", "failure"): 1}
    assert {one: reasons(results).count(one) for one in reasons(results)} == told
    assert results.without == 1


def test_several_files_are_one(read):
    results = read([megadetector(image("S01/a.jpg", seen())), megadetector(image("S01/b.jpg"), image("z.jpg"))])
    assert [row[-1] for row in rows(results)] == ["0results.json: images[0].detections[0]", "1results.json: images[0]"]
    assert results.rejected[0][3].startswith("1results.json: images[1]: no photo is called 'z.jpg'")


@pytest.mark.parametrize(
    ("bbox", "kept"),
    [
        ([-0.01, 0.2, 0.3, 0.4], (0.0, 0.2, 0.29, 0.4)),
        ([0.8, 0.7, 0.24, 0.31], (0.8, 0.7, 0.2, 0.3)),
        ([0, 0, 1, 1], (0.0, 0.0, 1.0, 1.0)),
        ([-0.2, 0.2, 0.3, 0.4], "by more than a little"),
        ([0.2, 0.2, 300, 0.4], "by more than a little"),
        ([1.2, 0.2, 0.3, 0.4], "outside"),
        ([102.4, 88.1, 540.7, 470.2], "outside"),
        ([0.2, 0.2, 0, 0.4], "no area"),
        ([0.2, 0.2, -0.1, 0.4], "no area"),
        ([0.2, 0.2, 1e-9, 0.4], "no area"),
        ([math.nan, 0.2, 0.3, 0.4], "four finite"),
        ([0.2, math.inf, 0.3, 0.4], "four finite"),
        ([0.2, 0.2, 0.3], "four finite"),
        ([0.2, 0.2, "0.3", 0.4], "four finite"),
        ([10**400, 0.2, 0.3, 0.4], "four finite"),
        (None, "four finite"),
    ],
)
def test_boxes_that_leave_the_photo(read, bbox, kept):
    results = read(megadetector(image("S01/a.jpg", seen(bbox=bbox)), image("S01/b.jpg", seen(), seen(bbox=bbox))))
    if isinstance(kept, tuple):
        assert [row[5:9] for row in rows(results) if row[0] == "S01-a"] == [pytest.approx(kept)]
        assert not results.rejected
    else:
        assert [(row[0], row[-1]) for row in rows(results)] == [("S01-b", "images[1].detections[0]")]
        assert reasons(results) == [("S01-a", "box"), ("S01-b", "box")] and kept in results.rejected[0][3]
        assert results.without == 2  # something was seen, so that it is not a photo without an animal


def test_a_person_counts_wherever_it_is_and_however_sure(read):
    results = read(
        megadetector(image("S01/a.jpg", seen("2", bbox=[7, 7, 1, 1])), image("S01/b.jpg", seen("2", conf="x")))
    )
    assert [row[:2] + row[4:9] for row in rows(results)] == [
        ("S01-a", "person", 0.9, 0.0, 0.0, 1.0, 1.0),
        ("S01-b", "person", 1.0, *BOX),
    ]
    assert reasons(results) == [("S01-a", "box"), ("S01-b", "score")]


def test_what_a_classifier_takes_for_a_person_is_one(read):
    names = {"0": "human", "1": "leopard", "2": "blank", "3": "vehicle", "4": "animal"}
    told = [
        [["0", 0.8], ["1", 0.1]],
        [["0", 0.4], ["1", 0.3]],
        [["2", 0.9]],
        [["3", 0.9]],
        [["4", 0.9]],
        [["1", 0.2], ["0", 0.2]],
    ]
    listed = [seen(classifications=one) for one in told]
    results = read(megadetector(image("S01/a.jpg", *listed), classification_categories=names))
    assert [row[1:4] for row in rows(results)] == [
        ("person", "", ""),
        ("animal", "", ""),
        ("animal", "", ""),
        ("vehicle", "", ""),
        ("animal", "", ""),
        ("animal", "leopard", 0.2),
    ]


def test_odd_entries_cost_themselves(read):
    told = megadetector(
        image("S01/a.jpg", seen("7"), seen(), "x", seen(conf=1.5), seen(conf=True)),
        image("S01/b.jpg", seen(classifications=[["9", 0.5], "x", ["0", None], ["0", 0.6]])),
        {"file": "S02/a.jpg"},
        {"detections": []},
        {"file": "  ", "detections": []},
        None,
        image("S01/\ud800\n.jpg"),
        classification_categories={"0": "fox"},
    )
    results = read(told)
    assert [row[:4] for row in rows(results)] == [("S01-a", "animal", "", ""), ("S01-b", "animal", "fox", 0.6)]
    assert reasons(results) == [
        *[("S01-a", reason) for reason in ("category", "entry", "score", "score")],
        *[("S01-b", "category")] * 3,
        *[("S02-a", "entry"), ("", "entry"), ("", "entry"), ("", "entry"), ("", "missing")],
    ]
    assert results.rejected[-1][1] == "S01/\\ud800\\n.jpg"
    for row in results.rejected:
        "".join(row).encode()


def test_words_for_species():
    assert species_word(FOX) == "red fox"
    assert species_word("uuid;mammalia;carnivora;felidae;panthera;pardus;") == "panthera pardus"
    assert species_word("uuid;mammalia;carnivora;felidae;;;") == "felidae"
    assert species_word("uuid;;;;;;") == ""
    assert species_word("animalia;chordata;mammalia;carnivora;canidae;vulpesvulpes") == "vulpesvulpes"
    assert species_word(" Plains  zebra ") == "Plains zebra"


NAMES = st.sampled_from(
    ["a.jpg", "b.jpg", "S01/a.jpg", "S01/b.jpg", "S02/a.jpg", "x/S01/a.jpg", "D:\\S02\\A.JPG", "z", ""]
)
NUMBERS = st.one_of(st.floats(-0.5, 1.5), st.just(math.nan), st.just(None), st.just(0.5))
SEEN = st.fixed_dictionaries(
    {
        "category": st.sampled_from(["1", "2", "3", "4", 1, None]),
        "conf": NUMBERS,
        "bbox": st.one_of(st.lists(NUMBERS, min_size=3, max_size=4), st.just(BOX)),
    }
)
ENTRIES = st.one_of(
    st.fixed_dictionaries({"file": NAMES, "detections": st.one_of(st.none(), st.lists(SEEN, max_size=3))}),
    st.fixed_dictionaries({"file": NAMES, "failure": st.just("it failed")}),
    st.just({}),
    st.just("x"),
)


@given(st.lists(ENTRIES, max_size=8))
def test_every_entry_is_used_or_listed(tmp_path_factory, entries):
    """And every detection of an entry that is used; what is used lies in its photo."""
    file = tmp_path_factory.mktemp("results") / "r.json"
    file.write_text(json.dumps(megadetector(image("S01/a.jpg"), *entries)))
    photos = ["S01/a.jpg", "S01/b.jpg", "S02/a.jpg"]
    table = pd.DataFrame({"image_id": photos, "path": photos})
    results = read_results({"r.json": file}, table, photos, [Path("/d") / photo for photo in photos])
    used = set(results.boxes["row"])
    listed = [detail.split(": ")[0] for _, _, _, detail in results.rejected]
    for number, entry in enumerate([image("S01/a.jpg"), *entries]):
        row = f"images[{number}]"
        assert row in used | set(listed) or any(one.startswith(row + ".") for one in used | set(listed)), entry
        detections = entry.get("detections") if isinstance(entry, dict) else None
        if row not in listed:
            for i in range(len(detections or [])):
                assert f"{row}.detections[{i}]" in used | set(listed)
    boxes = results.boxes.dropna()
    assert ((boxes[["x", "y"]] >= 0).all(axis=None) and (boxes[["w", "h"]] > 0).all(axis=None)) or boxes.empty
    assert (boxes["x"] + boxes["w"] <= 1 + 1e-5).all() and (boxes["y"] + boxes["h"] <= 1 + 1e-5).all()
    assert results.without == len(photos) - results.boxes["image_id"].nunique()
    assert results.boxes["image_id"].is_monotonic_increasing


def test_many_photos_and_many_entries_of_few_names():
    """A thousand folders with the same hundred names each: no entry is compared with all of them."""
    photos = [f"S{folder:04}/100RECNX/IMG_{number:04}.JPG" for folder in range(1000) for number in range(100)]
    finder = _Finder(photos, [Path("/data") / photo for photo in photos[:1]] * len(photos), photos)
    found = finder.find(["E:\\old\\" + photo.replace("/", "\\") for photo in photos])
    assert found == list(range(len(photos)))
    bare = finder.find([f"IMG_{number % 100:04}.JPG" for number in range(20_000)])
    assert all(reason == "ambiguous" for reason, _ in bare)


def test_a_data_set_with_a_results_file_among_its_photos(photo_folder, brought, tmp_path):
    root = photo_folder(["L1/a.jpg", "L2/b.jpg", "L2/c.jpg"])
    told = megadetector(image("L1/a.jpg", seen(), seen("2")), image("L2/b.jpg"), image("L3/x.jpg", seen()))
    (root / "md.json").write_text(json.dumps(told))
    data = brought(root, boxes="megadetector", results=str(root / "md.json"))
    assert data.boxes["image_id"].tolist() == ["L1-a", "L1-a", "L2-b"]
    assert data.counts["boxes"] == {"animal": 1, "person": 1, "vehicle": 0, "none": 1, "no_result": 1}
    assert data.counts["rejected"] == {"missing": 1}
    assert data.files.set_index("path").loc["md.json"].tolist() == ["mine", "table", ""]
    assert "1 photos have no entry in the results file that can be used" in to_look_at(data)
    plain = brought(root, boxes="megadetector")
    assert plain.boxes.empty and tuple(plain.boxes.columns) == COLUMNS
    assert plain.counts["boxes"] == dict.fromkeys(("animal", "person", "vehicle", "none", "no_result"), 0)


def test_results_of_several_sources(photo_folder, brought, tmp_path):
    photo_folder(["L1/a.jpg", "L2/b.jpg"], "old")
    photo_folder(["L1/a.jpg", "L3/c.jpg"], "new")
    told = megadetector(*(image(path, seen()) for path in ("old/L1/a.jpg", "new/L1/a.jpg", "L3/c.jpg", "L1/a.jpg")))
    (tmp_path / "md.json").write_text(json.dumps(told))
    listed = [{"name": f"of-{name}", "source": "folder", "path": str(tmp_path / name)} for name in ("old", "new")]
    data = brought(sources=listed, boxes="megadetector", results=[str(tmp_path / "md.json")])
    assert data.boxes["image_id"].tolist() == ["of-new-L1-a", "of-new-L3-c", "of-old-L1-a"]
    assert data.boxes["row"].tolist() == [f"images[{number}].detections[0]" for number in (1, 2, 0)]
    assert data.rejected["reason"].tolist() == ["ambiguous"]
