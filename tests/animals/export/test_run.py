"""`pelage export` in a project's folder: what is read, what must not leave, what is asked for."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import literal_readers as read
import pandas as pd
import pytest
from ruamel.yaml import YAML

from pelage.animals import histories
from pelage.animals.export import FORMATS, POPULATIONS
from pelage.animals.export.camtrap_package import check_package, read_package
from pelage.command import main
from pelage.common.tables import write_table

ROOT = Path(__file__).resolve().parents[3]
CAPTURES = pd.DataFrame(
    [
        ("L01", "S1", 1, "left", 1),
        ("L01", "S1", 1, "right", 1),
        ("L01", "S1", 5, "left", 1),
        ("new-001", "S2", 2, "left", 1),
        ("new-002", "S2", 2, "right", 2),
        ("new-003", "S2", 3, "left", 1),
    ],
    columns=["individual", "station", "occasion", "side", "encounters"],
)


@pytest.fixture
def project(tmp_path, monkeypatch, tables, make_photo):
    """Change to a project with the tables of the small survey, in which the photo b3 shows people."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "export.yaml"):
        shutil.copy(ROOT / name, ".")
    photos = tables["photos"].drop(columns="blank").assign(source="demo")
    for name, table in tables.items():
        if name != "photos":
            write_table(Path(f"data/{name}.csv"), table)
    write_table(Path("data/clean.csv"), photos)
    write_table(Path("data/captures.csv"), CAPTURES)
    days = [f"2026-03-{day:02}T12:00:00" for day in range(1, 11)]
    rows = [(place, n + 1, days[n], days[n + 1], n != 3) for place in ("S1", "S2") for n in range(9)]
    write_table(
        Path("data/occasions.csv"), pd.DataFrame(rows, columns=["station", "occasion", "start", "end", "operating"])
    )
    clocks = pd.DataFrame(columns=["station", "camera", "since", "until", "offset_s", "drift_s_per_day", "visits"])
    write_table(Path("data/clocks.csv"), clocks)
    rejected = ["image_id", "path", "reason", "detail"]
    write_table(Path("data/rejected/clean.csv"), pd.DataFrame([("x", "x.JPG", "near_duplicate", "")], columns=rejected))
    people = [("b3", "S2/b3.JPG", "people", ""), ("c1", "S3/c1.JPG", "people", "")]
    write_table(Path("data/rejected/detect.csv"), pd.DataFrame(people, columns=rejected))
    for path in photos["path"]:
        Path("data/photos", path).parent.mkdir(parents=True, exist_ok=True)
        Path("data/photos", path).write_bytes(make_photo())
    return tmp_path


def set_params(**changes) -> None:
    params = YAML().load(Path("params.yaml"))
    for key, value in changes.items():
        section, field = key.split("__")
        params[section][field] = value
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(params, file)


def export(*arguments: str) -> None:
    main(["export", *arguments])


def all_text(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.suffix in (".csv", ".txt", ".json", ".inp"))


def test_names_are_those_of_the_histories():
    assert POPULATIONS == histories.POPULATIONS


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_written_twice_with_the_same_bytes(project, monkeypatch, capsys, kind):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770000000")
    export(kind, "--to", "../out")
    first = all_text(project.parent / "out")
    assert f"\n{kind}: " in "\n" + capsys.readouterr().out
    export(kind, "--to", "../out")
    assert all_text(project.parent / "out") == first
    shutil.rmtree(project.parent / "out")


def test_secr_has_the_captures_of_a_population(project, capsys):
    def caught(*more: str) -> set[tuple[str, int, str]]:
        export("secr", "--to", "out", *more)
        text = (project / "out/captures.txt").read_text()
        return read.secr_captures(text, (project / "out/traps.txt").read_text(), noccasions=9)["demo"]

    l01 = {("L01", 1, "S1"), ("L01", 5, "S1")}
    assert caught("--population", "left") == l01 | {("new-001", 2, "S2"), ("new-003", 3, "S2")}
    assert "\n  1 individuals that are not in the population 'left'" in capsys.readouterr().out
    assert caught("--population", "right") == {("L01", 1, "S1"), ("new-002", 2, "S2")}
    assert caught() == l01 | {("new-001", 2, "S2"), ("new-003", 3, "S2")}  # of one flank: more animals by the left
    places, usage = read.secr_traps((project / "out/traps.txt").read_text())
    assert usage["S2"] == [1, 1, 1, 0, 1, 1, 1, 1, 1]
    east, north = (places["S2"][axis] - places["S1"][axis] for axis in (0, 1))
    assert (east**2 + north**2) ** 0.5 == pytest.approx(14160, rel=2e-3)  # .11 degrees east, .0765 south, at 22 south
    assert "EPSG:32736" in (project / "out/README.txt").read_text()


def test_spacecap_has_a_state_space_around_the_stations(project):
    set_params(datasets__demo={**YAML().load(Path("params.yaml"))["datasets"]["demo"], "habitat": 5000})
    export("spacecap", "--to", "out")
    tables = [(project / f"out/{name}.csv").read_text() for name in ("captures", "traps", "habitat")]
    caught, places, _, habitat = read.spacecap(*tables)
    assert len(caught) == 4 and list(places) == [1, 2]
    distance = [min(((x - a) ** 2 + (y - b) ** 2) ** 0.5 for a, b in places.values()) for x, y, _ in habitat]
    assert 4500 < max(distance) <= 5000.1
    area = float(re.search(r"square\s+kilometres\):\n  ([\d.]+)", (project / "out/README.txt").read_text())[1])
    assert len(habitat) * area == pytest.approx(2 * 3.14159 * 25, rel=0.05)  # of two circles that do not touch


def test_a_package_says_what_it_left_out(project, capsys):
    export("camtrap-dp", "--to", "out")
    told = capsys.readouterr().out
    package = read_package(project / "out")
    said, readme = check_package(project / "out"), (project / "out/README.txt").read_text()
    assert said in told and said in " ".join(readme.split())
    for line in (
        "2 photos that show people",
        "1 photos without a time",
        "1 photos set aside before detection (near duplicate)",
    ):
        assert f"\n  {line}\n" in told and f"\n  {line}\n" in readme
    assert package.descriptor["project"]["title"] == "Leopards that never were"
    assert package.tables["media"]["timestamp"].str.endswith("+02:00").all()


@pytest.mark.parametrize("kind", ["camtrap-dp", "wildlife-datasets"])
def test_photos_with_people_never_leave(project, kind):
    export(kind, "--to", "out", "--copy-photos")
    photos = {path.name for path in (project / "out").rglob("*.JPG")}
    assert {"a1.JPG", "b1.JPG"} <= photos and not {"b3.JPG", "c1.JPG"} & photos
    assert re.search(r"\ba3\b", all_text(project / "out")) and not re.search(r"\b(b3|c1)\b", all_text(project / "out"))


def test_photos_are_not_copied_where_nobody_looked_for_people(project):
    set_params(detect__people="keep")
    with pytest.raises(SystemExit, match=r"detect\.people of params.yaml is keep"):
        export("camtrap-dp", "--to", "out", "--copy-photos")
    assert not (project / "out").exists()


def test_where_nobody_looked_for_people_that_is_said(project, capsys):
    export("wildlife-datasets", "--to", "out")
    assert "people (" not in capsys.readouterr().out  # the demo is drawn
    set_params(datasets__demo={"source": "folder", "path": "../mine"})
    for kind in ("wildlife-datasets", "camtrap-dp"):
        export(kind, "--to", "out")
        said = "Nobody has looked for people (boxes: embedded does not see them): look yourself"
        assert said in capsys.readouterr().out and said in " ".join((project / "out/README.txt").read_text().split())
    export("mark", "--to", "mark")
    set_params(datasets__demo={"source": "folder", "path": "../mine", "boxes": "megadetector"})
    export("camtrap-dp", "--to", "out")
    assert "Nobody has looked" not in capsys.readouterr().out
    set_params(detect__people="keep")
    export("camtrap-dp", "--to", "out")
    assert "Nobody has looked for people (detect.people is keep)" in capsys.readouterr().out


def test_copies_tell_places_only_if_coordinates_do(project):
    export("camtrap-dp", "--to", "exact", "--copy-photos")
    export("camtrap-dp", "--to", "rounded", "--copy-photos", "--round-coordinates", "1")
    before, exact, rounded = (
        (project / folder / "S1A/a1.JPG").read_bytes() for folder in ("data/photos", "exact/media", "rounded/media")
    )
    assert before == exact != rounded
    assert check_package(project / "rounded")
    assert "22.12" not in all_text(project / "rounded") and "-22.1," in all_text(project / "rounded")


def test_rounded_coordinates_move_traps_and_say_so(project):
    export("secr", "--to", "exact")
    export("secr", "--to", "rounded", "--round-coordinates", "1")
    exact, rounded = (read.secr_traps((project / name / "traps.txt").read_text())[0] for name in ("exact", "rounded"))
    moved = max(((exact[s][0] - rounded[s][0]) ** 2 + (exact[s][1] - rounded[s][1]) ** 2) ** 0.5 for s in exact)
    told = int(re.search(r"up to (\d+) m", (project / "rounded/README.txt").read_text())[1])
    assert 2000 < moved < told == 7872
    export("secr", "--to", "rounder", "--round-coordinates", "0")
    assert "2 stations are at 1 places now" in " ".join((project / "rounder/README.txt").read_text().split())


@pytest.mark.parametrize("kind", ["secr", "oscr", "spacecap", "camtrap-dp"])
def test_formats_about_places_are_refused_without_them(project, kind):
    with pytest.raises(SystemExit, match=rf"{kind} cannot do without coordinates: .* mark or wildlife-datasets"):
        export(kind, "--to", "out", "--no-coordinates")
    assert not (project / "out").exists()


def test_formats_without_places_do_without(project):
    for kind in ("mark", "wildlife-datasets"):
        export(kind, "--to", kind, "--no-coordinates")
        assert "-22." not in all_text(project / kind) and "31.5" not in all_text(project / kind)


def test_a_zone_is_never_guessed(project):
    told = Path("export.yaml").read_text()
    Path("export.yaml").write_text(told.replace('  time_zone: "+02:00"\n', ""))
    with pytest.raises(SystemExit, match=r"--time-zone \+02:00, or time_zone of demo in export\.yaml"):
        export("camtrap-dp", "--to", "out")
    export("camtrap-dp", "--to", "out", "--time-zone", "Africa/Johannesburg")
    assert read_package(project / "out").tables["media"]["timestamp"][0] == "2026-03-01T06:00:00+02:00"
    with pytest.raises(SystemExit, match="'Africa/Joburg' is no time zone"):
        export("camtrap-dp", "--to", "out", "--time-zone", "Africa/Joburg")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_data_set_that_was_a_package_brings_its_zone_and_its_project(project, zipped):
    export("camtrap-dp", "--to", "first", "--time-zone=-03:00")
    path = project / "first"
    if zipped:
        path = project / "first.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in (project / "first").rglob("*"):
                archive.write(file, Path("inner") / file.relative_to(project / "first"))
    params = YAML().load(Path("params.yaml"))
    params["datasets"]["survey"] = {"source": "camtrap_dp", "path": str(path)}
    params["ingest"]["dataset"] = "survey"
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(params, file)
    export("camtrap-dp", "--to", "second")
    first, second = (read_package(project / name) for name in ("first", "second"))
    for name in first.tables:
        pd.testing.assert_frame_equal(first.tables[name], second.tables[name])
    assert {**first.descriptor, "created": ""} == {**second.descriptor, "created": ""}


@pytest.mark.parametrize("folder", ["data/photos/out", "data", "mine", "mine/out"])
def test_nothing_is_written_among_photos_or_what_the_pipeline_removes(project, folder):
    (project / "mine").mkdir()
    set_params(datasets__demo={"source": "folder", "path": str(project / "mine")})
    before = sorted(project.rglob("*"))
    with pytest.raises(SystemExit, match=r"which belongs to the pipeline\. Give a folder elsewhere"):
        export("mark", "--to", folder)
    assert sorted(project.rglob("*")) == before


def test_a_photo_that_is_not_there_is_named(project):
    (project / "data/photos/S2/b1.JPG").unlink()
    with pytest.raises(SystemExit, match=r"data/photos/S2/b1\.JPG is missing: `dvc checkout ingest` brings it back"):
        export("wildlife-datasets", "--to", "out", "--copy-photos")
    assert not (project / "out").exists()


def test_a_folder_of_the_users_is_left_alone(project):
    (project / "out").mkdir()
    (project / "out/thesis.docx").write_text("mine")
    with pytest.raises(SystemExit, match=r"out is not empty, and what is in it is no export of pelage \(thesis.docx\)"):
        export("mark", "--to", "out")
    assert [path.name for path in (project / "out").iterdir()] == ["thesis.docx"]


def test_wildlife_datasets_has_a_crop_a_row(project):
    export("wildlife-datasets", "--to", "out")
    table = pd.read_csv(project / "out/metadata.csv", dtype=str, keep_default_na=False)
    assert table["image_id"].is_unique
    told = {
        row["image_id"]: (row["identity"], json.loads(row["bbox"]), row["orientation"], row["path"])
        for row in table.to_dict("records")
    }
    assert told["a1#0"] == ("L01", [100, 50, 200, 100], "right", "S1A/a1.JPG")
    assert told["b1#1"] == ("unknown", [200, 10, 50, 50], "unknown", "S2/b1.JPG")
    assert told["b1#0"][0] == "new-001" and told["a3#1"][0] == "L01"  # the face of an animal known by its flank
    assert set(table.loc[table["image_id"].str.startswith("a3"), "part"]) == {"flank", "face"}
