"""`pelage review` from the command line, in a folder with the tables of a small survey."""

import json
from pathlib import Path

import pytest

from pelage.animals.journal import JOURNAL, read_journal
from pelage.command import main

TABLES = {
    "units": "unit,scope,identity,best_crop\nEa,survey,unknown,a#0\nEb,survey,unknown,b 1#0\nEg,named,L1,g#0\n"
    "Er,rehearsal,L1,r#0\n",
    "unit_crops": "unit,scope,crop_id\nEa,survey,a#0\nEa,survey,a2#0\nEb,survey,b 1#0\nEg,named,g#0\n"
    "Er,rehearsal,r#0\n",
    "clean": "image_id,sha256\na,AA\na2,A2\nb 1,BB\ng,GG\n",
    "questions": "place,scope,unit,other,individual,probability,delta,together,why\n"
    "1,survey,Ea,Eb,new-001,0.6,-0.5,False,apart\n2,survey,Eb,Eg,L1,0.3,-1.2,False,apart\n",
}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("")
    (tmp_path / "data").mkdir()
    for name, text in TABLES.items():
        (tmp_path / f"data/{name}.csv").write_text(text)


def run(capsys, *arguments):
    """Return what a command prints, and how it ends."""
    try:
        main(["review", *arguments])
        ended = 0
    except SystemExit as error:
        ended = error.code
    return capsys.readouterr().out, ended


def test_what_was_decided_is_asked_no_more(capsys):
    told, _ = run(capsys, "list")
    assert "2 questions." in told and told.index("a#0") < told.index("g#0")
    told, ended = run(capsys, "decide", "same", "a2#0", "b 1#0", "--reviewer", "Ana")
    assert ended == 0 and "review/journal.jsonl: same, id " in told
    entry = json.loads(JOURNAL.read_text())
    assert (entry["crops"], entry["other_crops"], entry["hashes"]) == (
        ["a2#0"],
        ["b 1#0"],
        {"a2#0": "A2", "b 1#0": "BB"},
    )
    told, _ = run(capsys, "list", "--most", "1")
    assert "1 questions, 1 more were answered since the last run." in told and "new-001" not in told
    run(capsys, "decide", "different", "a#0", "b 1#0", "--reviewer", "Ben")
    assert "2 questions." in run(capsys, "list")[0]  # they disagree: a third one is asked
    told, ended = run(capsys, "check")
    assert "Reviewers disagree about 'Ea' and 'Eb'" in told and ended == 0


def test_a_decision_by_hand_with_a_typo_is_refused(capsys):
    for arguments, why in (
        (["smae", "a#0", "b 1#0"], "Did you mean 'same'"),
        (["same", "a#0", "b1#0"], "Did you mean 'b 1#0'"),
        (["same", "a#0"], "Same needs crops and other_crops. Nothing was decided."),
        (["new", "r#0"], "There is no crop 'r#0'"),
    ):
        assert why in run(capsys, "decide", *arguments, "--reviewer", "Ana")[1]
    assert not JOURNAL.exists()


def test_several_crops_are_one_side_where_there_is_one(capsys):
    run(capsys, "decide", "is", "a#0", "a2#0", "--name", "L1", "--reviewer", "Ana")
    assert read_journal().entries[0].crops == ("a#0", "a2#0")
    told, _ = run(capsys, "decide", "is", "g#0", "--name", "L2", "--reviewer", "Ana")
    assert "but unit 'Eg' is 'L2' here and 'L1' in the source." in told


def test_a_table_is_imported_once_and_its_bad_rows_are_told(capsys):
    Path("t.csv").write_text(
        "verb;crop;other_crop;name;reviewr;reviewer\nsame;a#0;b 1#0;;;\n;;;;;\nis;a#0; ;L1;;Ben\n"
        "nwe;a#0;;;;\nnew;z#0;;;;\n"
    )
    told, ended = run(capsys, "import", "t.csv", "--reviewer", "Ana")
    assert "nothing is read from column 'reviewr' Did you mean 'reviewer'?" in told
    assert "t.csv, row 5: the verb 'nwe' is none of" in told and "t.csv, row 6: there is no crop 'z#0'" in told
    assert "2 decisions written, 0 not new, 2 rows left out" in told and ended == 1
    assert [(entry.verb, entry.reviewer) for entry in read_journal().entries] == [("same", "Ana"), ("is", "Ben")]
    assert "0 decisions written, 2 not new" in run(capsys, "import", "t.csv", "--reviewer", "Ana")[0]


def test_a_table_without_verbs_is_refused(capsys):
    Path("t.csv").write_text("decision,crop\nsame,a#0\n")
    assert "no column 'verb'" in run(capsys, "import", "t.csv")[1]


def test_check_tells_garbled_lines_and_photos_that_are_gone(capsys):
    run(capsys, "decide", "new", "a#0", "--reviewer", "Ana")
    with JOURNAL.open("a") as file:
        file.write("oops\n")
    run(capsys, "decide", "new", "b 1#0", "--reviewer", "Ana")
    Path("data/unit_crops.csv").write_text("unit,scope,crop_id\nEa,survey,renamed#0\n")
    Path("data/clean.csv").write_text("image_id,sha256\nrenamed,AA\n")
    told, ended = run(capsys, "check")
    assert "review/journal.jsonl, line 2: it is no JSON" in told
    assert "line 3: crop 'b 1#0' is gone" in told and "line 1:" not in told
    assert "2 decisions, 2 that do not fit" in told and ended == 1


def test_without_a_run_it_says_what_to_do(capsys):
    Path("data/units.csv").unlink()
    assert "`dvc repro individuals` makes it" in run(capsys, "list")[1]
