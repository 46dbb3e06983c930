from pathlib import Path

from pelage.common.times import Cost, note
from pelage.report.times_page import PAGE, write_times_page


def test_each_stage_has_a_row_and_names_are_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path))
    note(Cost("detect", 200.0, 300.0, 0.5, {"detect": 640}, 40, 640))
    note(Cost("train@<b>", 9.0, 9.0))
    write_times_page()
    page = Path(PAGE).read_text(encoding="utf-8")
    assert "<td>640 detect</td><td>3.2</td><td>40 of 640</td>" in page
    assert "train@&lt;b&gt;" in page and "<b>" not in page.split("<main")[1]
    assert '<th scope="row">all together</th><td>209.0</td>' in page


def test_where_nothing_ran_the_page_says_so_in_zeros(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path))
    write_times_page()
    assert '<th scope="row">all together</th><td>0.0</td>' in Path(PAGE).read_text(encoding="utf-8")
