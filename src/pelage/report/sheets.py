"""Sheets of photos: crops through every view, ranked matches, detections. Plain pixels, drawn with Pillow.

A sheet is a grid of tiles with captions; a frame in blue-green with a tick is right, one in vermilion with a cross is
wrong, so that neither colour vision nor a grey printout loses the meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
from PIL import Image, ImageDraw, ImageFont

from pelage.common.errors import PelageError
from pelage.common.images import read_image, to_rgb
from pelage.common.packs import Packs
from pelage.common.seeds import generator
from pelage.common.tables import UNKNOWN, crop_file

INK, SOFT, PAPER, EMPTY = "#1f2328", "#6b7280", "#ffffff", "#f3f4f6"
RIGHT, WRONG, QUERY = "#009e73", "#d55e00", "#1f2328"
FOUND, TRUE = "#e69f00", "#56b4e9"
EDGE_COLOUR = (0, 255, 208)
BOX = dict.fromkeys(["x", "y", "w", "h"], float)
FACE = dict.fromkeys(["face_x", "face_y", "face_w", "face_h"], float)
VIEWS = ("crop", "nobg", "crop_edge", "nobg_edge")
WIDTH = 1100
GAP, MARGIN, LINE = 10, 14, 16
PHOTO = (350, 250)
PAIRS, PAIR_HEIGHT, LINES, FINER = 2, 150, 40, 2
"""Candidates explained, pixels of a pair's picture, matches drawn at most, and how much finer they are drawn."""

MAX_BYTES = 380_000


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet: RGB or None, lines of caption (the first in bold), and the colour of its frame."""

    image: np.ndarray | None
    lines: tuple[str, ...] = ()
    frame: str | None = None


@cache
def _font(bold: bool, size: int) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(folder / name, size, layout_engine=ImageFont.Layout.BASIC)


def compose(rows: Sequence[Sequence[Tile]], height: int, titles: Sequence[str] = (), width: int = WIDTH) -> Image.Image:
    """Lay tiles out as a grid.

    Args:
        rows: Tiles, row by row; shorter rows leave their end empty.
        height: Pixels of a picture; pictures keep their shape inside `height` and their column.
        titles: Headings of the columns.
        width: Pixels of the sheet.
    """
    columns = max([len(row) for row in rows] + [len(titles), 1])
    tile = (width - 2 * MARGIN - GAP * (columns - 1)) // columns
    tops, top = [], MARGIN + (26 if titles else 0)
    for row in rows:
        tops.append(top)
        top += height + 4 + LINE * max((len(cell.lines) for cell in row), default=0) + GAP
    sheet = Image.new("RGB", (width, max(top - GAP + MARGIN, 60)), PAPER)
    draw = ImageDraw.Draw(sheet)
    if not rows:
        draw.text((MARGIN, 22), "no photos", fill=SOFT, font=_font(False, 14))
    for column, title in enumerate(titles):
        left = MARGIN + column * (tile + GAP)
        draw.text((left, MARGIN), _fit(title, tile, True, 13), fill=INK, font=_font(True, 13))
    for row, top in zip(rows, tops, strict=True):
        for column, cell in enumerate(row):
            _paste(sheet, draw, cell, MARGIN + column * (tile + GAP), top, tile, height)
    return sheet


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Tile, left: int, top: int, w: int, h: int) -> None:
    draw.rectangle((left, top, left + w - 1, top + h - 1), fill=EMPTY)
    if cell.image is None:
        draw.text((left + 8, top + h // 2 - 8), "no picture", fill=SOFT, font=_font(False, 12))
    else:
        picture = scaled(to_rgb(cell.image), w, h)
        offset = (left + (w - picture.shape[1]) // 2, top + (h - picture.shape[0]) // 2)
        sheet.paste(Image.fromarray(picture), offset)
    if cell.frame:
        draw.rectangle((left - 3, top - 3, left + w + 2, top + h + 2), outline=cell.frame, width=4)
    for index, line in enumerate(cell.lines):
        bold = index == 0
        size, colour = (12, cell.frame or INK) if bold else (11, SOFT)
        draw.text((left, top + h + 5 + LINE * index), _fit(line, w, bold, size), fill=colour, font=_font(bold, size))


def scaled(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return `image` in its own shape, as large as fits into `width` x `height`."""
    factor = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def _fit(text: str, width: int, bold: bool, size: int) -> str:
    font = _font(bold, size)
    if font.getlength(text) <= width:
        return text
    keep = len(text) - 1
    while keep > 1 and font.getlength(text[: keep - keep // 2] + "…" + text[-(keep // 2) :]) > width:
        keep -= 1
    return text[: keep - keep // 2] + "…" + text[-(keep // 2) :]


def to_png(sheet: Image.Image, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a sheet as PNG bytes with a palette, with fewer colours and then fewer pixels until it is small enough."""
    for colours, share in [(256, 1), (128, 1), (64, 1), (64, 0.85), (64, 0.7), (48, 0.55), (32, 0.4)]:
        size = (round(sheet.width * share), round(sheet.height * share))
        smaller = sheet if share == 1 else sheet.resize(size, Image.Resampling.LANCZOS)
        buffer = BytesIO()
        smaller.quantize(colours, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= max_bytes:
            break
    return buffer.getvalue()


def picture(path: Path) -> np.ndarray | None:
    """Read a picture, or None if it is not there or broken: one bad photo never stops a sheet."""
    try:
        return read_image(path)
    except PelageError:
        return None


def crop_picture(crops: Packs, crop_id: str) -> np.ndarray | None:
    """Read a crop, or None as `picture` does."""
    try:
        return crops.image(crop_file(crop_id))
    except PelageError:
        return None


def edges_drawn(image: np.ndarray | None) -> np.ndarray | None:
    """Return an RGBA view `(H, W, 4)` as RGB with the edge map of its fourth channel painted over it."""
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return image
    alpha = image[:, :, 3:].astype(np.float32) / 255
    return (image[:, :, :3] * (1 - alpha) + np.array(EDGE_COLOUR, np.float32) * alpha).round().astype(np.uint8)


def edge_map(image: np.ndarray | None) -> np.ndarray | None:
    """Return the fourth channel of an RGBA view as a grey picture, dark lines on white."""
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return None
    return 255 - image[:, :, 3]


def pick(table: pd.DataFrame, count: int, seed: int, name: str) -> pd.DataFrame:
    """Draw `count` rows, of as many identities as there are, in an order that only `seed`, `name` and ids decide."""
    place = table["crop_id"].reset_index(drop=True).sort_values().index.to_numpy()
    place = place[generator(seed, "report", name).permutation(len(place))]
    identity = pd.Series(pd.factorize(table["identity"])[0][place])
    again = identity.groupby(identity).cumcount().to_numpy()
    return table.iloc[place[np.argsort(again, kind="stable")[:count]]]


def places(texts: pd.Series, among: pd.Series) -> np.ndarray:
    """Return where each of N texts stands among others, `(N,)`, -1 where it does not, with no object for each text."""
    texts, among = (pa.array(values.astype(str), pa.string()) for values in (texts, among))
    return compute.index_in(texts, value_set=among).fill_null(-1).to_numpy()


def rows_of(split: pd.DataFrame, *crop_ids: pd.Series) -> pd.DataFrame:
    """Return the rows of `data/split.csv` of some crops, with `crop_id` as index, too."""
    rows = split[places(split["crop_id"], pd.concat(crop_ids)) >= 0]
    return rows.set_index("crop_id", drop=False).rename_axis(None)


def views_sheet(
    views: Mapping[str, Mapping[str, Packs]], split: pd.DataFrame, parts: Sequence[str], count: int, seed: int
) -> bytes:
    """Show example crops of each part through every view.

    Args:
        views: Crops by part and `VIEWS`.
        split: Rows of `data/split.csv`; unknown individuals are left out.
        parts: Parts, each with at least one row if it has crops.
        count: Rows of the sheet.
        seed: Chooses the crops.
    """
    told_apart = split["identity"] != UNKNOWN
    crops = {part: split.loc[told_apart & (split["part"] == part), ["crop_id", "identity"]] for part in parts}
    there = [part for part in parts if len(crops[part])]
    rows = []
    for index, part in enumerate(there):
        share = count // len(there) + (index < count % len(there))
        for _, crop in split.loc[pick(crops[part], share, seed, f"views {part}").index].iterrows():
            crop_view, nobg, crop_edge, nobg_edge = (crop_picture(views[part][view], crop["crop_id"]) for view in VIEWS)
            tiles = [crop_view, nobg, edge_map(nobg_edge), edges_drawn(crop_edge), edges_drawn(nobg_edge)]
            rows.append([Tile(tiles[0], (named(crop), part)), *map(Tile, tiles[1:])])
    return to_png(compose(rows, 122, ["crop", "nobg", "edge map", "crop_edge", "nobg_edge"]))


def named(crop: Mapping[str, str]) -> str:
    """Return the individual of a crop, and the side that it shows where that is told."""
    told = crop["orientation"] not in ("", UNKNOWN)
    return f"{crop['identity']}, {crop['orientation']}" if told else crop["identity"]


def place_and_time(crop: Mapping[str, str]) -> str:
    """Return camera (or station) and date of a crop, as far as they are told."""
    date = crop["date"][:16].replace("T", " ") or "no date"
    return f"{crop['camera'] or crop['station'] or 'no camera'} · {date}"


def matches_sheet(
    crops: Packs, ranking: pd.DataFrame, split: pd.DataFrame, count: int, candidates: int, seed: int
) -> bytes:
    """Show queries with their best candidates: first queries that are answered at rank 1, then ones that are not.

    Args:
        crops: Of the part.
        ranking: Rows of one method and protocol: query, candidate, rank.
        split: Rows of `data/split.csv`.
        count: Queries; half of them hits, as far as there are.
        candidates: Ranks shown.
        seed: Chooses the queries.
    """
    known = rows_of(split, ranking["query"], ranking["candidate"])
    shown, first = _hits_and_misses(ranking, known, count, seed)
    ranking = ranking[ranking["query"].isin(shown["crop_id"])].sort_values(["query", "rank"])
    rows = []
    for _, query in shown.iterrows():
        best = ranking[ranking["query"] == query["crop_id"]].head(candidates)
        told = f"answered at rank {first[query['crop_id']]}"
        tiles = [_match_tile(crops, query, "", QUERY, told)]
        for candidate in best["candidate"]:
            hit = known.at[candidate, "identity"] == query["identity"]
            sign, colour = ("✓ ", RIGHT) if hit else ("✗ ", WRONG)
            tiles.append(_match_tile(crops, known.loc[candidate], sign, colour))
        rows.append(tiles)
    return to_png(compose(rows, 92, ["query", *(f"rank {rank}" for rank in range(1, candidates + 1))]))


def _hits_and_misses(
    ranking: pd.DataFrame, known: pd.DataFrame, count: int, seed: int
) -> tuple[pd.DataFrame, pd.Series]:
    """Draw queries, hits before misses, half of each as far as there are; return each query's first right rank too."""
    right = known["identity"].loc[ranking["query"]].to_numpy() == known["identity"].loc[ranking["candidate"]].to_numpy()
    first = ranking[right].groupby("query")["rank"].min()
    queries = known.loc[ranking["query"].unique()]
    hits = pick(queries[queries["crop_id"].map(first).eq(1)], count, seed, "hits")
    misses = pick(queries[queries["crop_id"].map(first).gt(1)], count, seed, "misses")
    half = max(count - len(misses), (count + 1) // 2)
    return pd.concat([hits.head(half), misses.head(count - len(hits.head(half)))]), first


def explained_sheet(
    crops: Packs,
    ranking: pd.DataFrame,
    matches: pd.DataFrame,
    fused: pd.DataFrame,
    split: pd.DataFrame,
    count: int,
    seed: int,
) -> bytes:
    """Show queries beside their first candidates, with the keypoints that matched and agree on one placement.

    Args:
        crops: Of the part.
        ranking: Rows of one local method and protocol: query, candidate, rank, score.
        matches: Rows of `data/matches/METHOD.parquet` of that protocol.
        fused: Rows of `data/fused.parquet` of that protocol, whose score is the probability of the same animal; may be
            empty.
        split: Rows of `data/split.csv`.
        count: Queries; half of them hits, as far as there are. As many rows as there are, if 0.
        seed: Chooses the queries.
    """
    known = rows_of(split, ranking["query"], ranking["candidate"])
    shown, _ = _hits_and_misses(ranking, known, count or ranking["query"].nunique(), seed)
    ranking, fused, matches = (table[table["query"].isin(shown["crop_id"])] for table in (ranking, fused, matches))
    ranking = ranking.sort_values(["query", "rank"])
    probability = fused.set_index(["query", "candidate"])["score"].to_dict()
    ends = dict(tuple(matches.groupby(["query", "candidate"], sort=False)))
    rows = []
    for _, query in shown.iterrows():
        rows.append([])
        for answer in ranking[ranking["query"] == query["crop_id"]].head(PAIRS).itertuples():
            pair, candidate = (answer.query, answer.candidate), known.loc[answer.candidate]
            found = ends.get(pair, matches.head(0))
            hit = candidate["identity"] == query["identity"]
            sign, colour = ("✓", RIGHT) if hit else ("✗", WRONG)
            told = f"{len(found)} matches, score {answer.score:.2f}"
            told += f", same animal: {percent(probability[pair])}" if pair in probability else ""
            lines = (
                f"{named(query)}  {sign}  {named(candidate)}: {told}",
                f"{place_and_time(query)} · {query['encounter']}",
                f"{place_and_time(candidate)} · {candidate['encounter']}",
            )
            pictures = [crop_picture(crops, crop["crop_id"]) for crop in (query, candidate)]
            rows[-1].append(Tile(joined_by_lines(*pictures, found, colour), lines, colour))
    return to_png(compose(rows, PAIR_HEIGHT, [f"query and rank {rank}" for rank in range(1, PAIRS + 1)]))


def percent(probability: float) -> str:
    """Return a probability in words that claim no certainty, such as `> 99%`."""
    if probability > 0.99:
        return "> 99%"
    return "< 1%" if probability < 0.01 else f"{probability:.0%}"


def joined_by_lines(
    query: np.ndarray | None, candidate: np.ndarray | None, matches: pd.DataFrame, colour: str
) -> np.ndarray | None:
    """Draw two crops side by side with a line for each of the `LINES` strongest matches; None if one is missing.

    Args:
        query: `(H, W, C)`.
        candidate: `(H, W, C)`.
        matches: Positions `query_x`, `query_y`, `candidate_x`, `candidate_y` as shares of a crop, and `score`.
        colour: Of the lines.
    """
    if query is None or candidate is None:
        return None
    size = (WIDTH // PAIRS - GAP) // 2 - GAP, PAIR_HEIGHT
    sides = [scaled(to_rgb(image), size[0] * FINER, size[1] * FINER) for image in (query, candidate)]
    left = [0, sides[0].shape[1] + GAP * FINER]
    canvas = np.full((max(side.shape[0] for side in sides), left[1] + sides[1].shape[1], 3), 255, np.uint8)
    for start, side in zip(left, sides, strict=True):
        canvas[: side.shape[0], start : start + side.shape[1]] = side
    drawn = Image.fromarray(canvas)
    draw = ImageDraw.Draw(drawn)
    best = matches.sort_values("score", ascending=False, kind="stable").head(LINES)
    for match in best.itertuples():
        shares = ((match.query_x, match.query_y), (match.candidate_x, match.candidate_y))
        points = [
            (start + x * side.shape[1], y * side.shape[0])
            for start, side, (x, y) in zip(left, sides, shares, strict=True)
        ]
        draw.line(points, fill=colour, width=FINER)
        for x, y in points:
            draw.ellipse((x - 2 * FINER, y - 2 * FINER, x + 2 * FINER, y + 2 * FINER), outline=FOUND, width=FINER)
    return np.asarray(drawn)


def _match_tile(crops: Packs, crop: Mapping[str, str], sign: str, colour: str, note: str = "") -> Tile:
    lines = (sign + named(crop), place_and_time(crop), crop["encounter"])
    return Tile(crop_picture(crops, crop["crop_id"]), lines + ((note,) if note else ()), colour)


def detections_sheet(
    photos: Path,
    clean: pd.DataFrame,
    animals: pd.DataFrame,
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    count: int,
    seed: int,
) -> bytes:
    """Show photos with the animals and parts that were found and, where they are known, the true animals and faces.

    Args:
        photos: Folder that `clean["path"]` is relative to.
        clean: Rows of `data/clean.csv`.
        animals: Rows of `data/animals.csv`; numbers may be text.
        detections: Rows of `data/detections.csv`; numbers may be text.
        truth: Rows of `data/truth/truth.csv`, with numbers; may be empty.
        count: Photos; one with several animals and one with an animal that was missed come first, if there are such.
        seed: Chooses the photos.
    """
    order = generator(seed, "report", "detections").permutation(len(clean))
    found, true = (_animals_of(clean["image_id"], boxes)[order] for boxes in (animals, truth))
    several, missed = np.flatnonzero(np.maximum(found, true) > 1)[:1], np.flatnonzero(true > found)[:1]
    chosen = dict.fromkeys([*several, *missed, *np.flatnonzero(found > 0)[: count + 2]])
    shown = clean.iloc[order[list(chosen)[:count]]]
    tiles = [_detection_tile(photos, photo, animals, detections, truth) for _, photo in shown.iterrows()]
    rows = [tiles[start : start + 3] for start in range(0, len(tiles), 3)]
    titles = ["orange: animal and face found, thin: flank"] + (["blue: true animal and face"] if len(truth) else [])
    return to_png(compose(rows, PHOTO[1], titles))


def _animals_of(ids: pd.Series, boxes: pd.DataFrame) -> np.ndarray:
    """Return how many boxes each of some photos has, `(N,)`; `boxes` may be of other photos, too."""
    place = places(boxes["image_id"], ids)
    return np.bincount(place[place >= 0], minlength=len(ids))


def _detection_tile(
    photos: Path, photo: pd.Series, animals: pd.DataFrame, detections: pd.DataFrame, truth: pd.DataFrame
) -> Tile:
    found, mine = (table[table["image_id"] == photo["image_id"]] for table in (animals, detections))
    real = truth[truth["image_id"] == photo["image_id"]]
    image = picture(photos / photo["path"])
    lines = (photo["image_id"], f"{len(found)} found" + (f", {len(real)} there" if len(truth) else ""))
    tile = Tile(image, (lines[0], f"{lines[1]} · {place_and_time(photo)}"))
    if image is None:
        return tile
    image = to_rgb(image)
    factor = scaled(image, *PHOTO).shape[1] / image.shape[1]
    drawn = Image.fromarray(scaled(image, *PHOTO))
    draw = ImageDraw.Draw(drawn)
    faces, flanks = mine[mine["part"] == "face"], mine[mine["part"] == "flank"]
    boxes = [(box, TRUE, 2) for box in real[[*BOX]].to_numpy(float)]
    boxes += [(box, TRUE, 2) for box in real[[*FACE]].dropna().to_numpy(float)]
    boxes += [(box, FOUND, 2) for box in found[[*BOX]].astype(float).to_numpy()]
    boxes += [(box, FOUND, 2) for box in faces[[*BOX]].astype(float).to_numpy()]
    boxes += [(box, FOUND, 1) for box in flanks[[*BOX]].astype(float).to_numpy()]
    for (x, y, w, h), colour, width in boxes:
        corners = [x * factor, y * factor, (x + w) * factor, (y + h) * factor]
        draw.rectangle([c + o for c, o in zip(corners, (-1, -1, 1, 1), strict=True)], outline=INK, width=1)
        draw.rectangle(corners, outline=colour, width=width)
    return replace(tile, image=np.asarray(drawn))
