"""Odd inputs that people have run into, drawn beside this checkout: each is read, or refused with words."""

from __future__ import annotations

import pytest

from pelage.common.errors import PelageError


def test_other_files_are_told(oddity, brought):
    data = brought(**oddity("01"))
    assert data.counts["photos"] == 13
    verdicts = data.files.set_index("path")["verdict"]
    assert verdicts["L2/V1/IMG_0901.jfif"] == "photo"
    told = {"IMG_0900.HEIC": "unsupported", "IMG_0902.MP4": "video", "IMG_0903.DNG": "unsupported"}
    for name, verdict in {**told, "IMG_0904.GIF": "unsupported"}.items():
        assert verdicts[verdicts.index.str.endswith(name)].tolist() == [verdict]


def test_deep_paths_are_photos(oddity, brought):
    data = brought(**oddity("08"))
    assert data.counts["photos"] == 12
    assert data.counts["unreadable"] == 0


def test_two_spellings_are_one_individual(oddity, brought):
    data = brought(**oddity("10"))
    assert data.counts["identities"] == 3
    assert data.counts["spellings"] == 1
    assert (data.rejected["reason"] == "spelling").sum() == 1


def test_the_same_names_in_many_folders(oddity, brought):
    assert brought(**oddity("12")).photos["image_id"].nunique() == 12


def test_words_for_nothing_are_nobody(oddity, brought):
    data = brought(**oddity("13"))
    assert (data.counts["identities"], data.counts["unknown"], data.counts["words_for_nothing"]) == (3, 4, 4)


def test_exif_tells_where_dates_are_blank(oddity, brought):
    assert brought(**oddity("15")).counts["without_date"] == 0


@pytest.mark.parametrize("number", ["17", "18", "19", "20"])
def test_tables_of_spreadsheets_are_read(oddity, brought, number):
    data = brought(**oddity(number))
    assert (data.counts["photos"], data.counts["identities"], data.counts["stations"]) == (12, 3, 2)
    assert data.counts["without_date"] == 0
    assert data.counts["rejected"] == {}


def test_boxes_in_shares_are_refused(oddity, brought):
    with pytest.raises(PelageError, match="shares of the photo's sides, not pixels"):
        brought(**oddity("21"))


@pytest.mark.parametrize(("number", "photos"), [("25", 8), ("26", 6), ("28", 7), ("32", 5), ("38", 6), ("39", 6)])
def test_camtrap_packages_are_read(oddity, brought, number, photos):
    data = brought(**oddity(number))
    assert (data.counts["photos"], data.counts["identities"]) == (photos, 3)


def test_copies_under_another_name_keep_what_they_claim(oddity, brought):
    data = brought(**oddity("35"))
    assert data.counts["photos"] == 18
    assert data.claims.set_index("image_id")["identity"].filter(like="exact-").eq("L3").all()
