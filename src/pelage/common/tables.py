"""Tables: CSV for people, Parquet for rankings and embeddings; one key a table, written atomically.

Text columns are strings and empty text means missing, so that an identity `007` stays `007` and a table read
and written again has the same bytes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from pelage.common.errors import PelageError
from pelage.common.files import sha256_bytes, write_bytes, write_text

PARTS = ("flank", "face")
"""Parts of an animal by which it is known."""

UNKNOWN = "unknown"
"""Identity or orientation that nobody has told."""

REJECTED_COLUMNS = ["image_id", "path", "reason", "detail"]
"""Columns of every stage's table of rejected rows: `reason` is one of a few words, `detail` is a sentence."""

ROWS = 2**20
"""Rows of a part of a Parquet file."""

LONGEST_NAME = 200
"""Bytes that the name of a crop's file stays below."""


@dataclass(frozen=True)
class Rows:
    """A table that somebody else has written, row by row.

    Attributes:
        table: What its rows say, all text; missing is the empty string.
        numbers: Which row of the file each is, as a text editor or spreadsheet numbers rows (the header is row 1).
        longer: Rows with more cells than the header, which are no rows of `table`: their number and text.
        blank: How many rows were left out because all their cells are empty.
        shorter: How many rows end before the header does.
    """

    table: pd.DataFrame
    numbers: list[int]
    longer: list[tuple[int, str]]
    blank: int
    shorter: int


def read_table(
    path: Path,
    numbers: Mapping[str, type] | None = None,
    required: Iterable[str] = (),
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a CSV table with text columns as strings (missing is the empty string).

    Args:
        path: CSV file, UTF-8, with a header; what spreadsheets do to one (`read_rows`) is undone.
        numbers: Columns that are not text, as `{"x": int, "score": float, "known": bool}`; absent ones are skipped.
        required: Columns that must be there.
        columns: Columns that are wanted, and must be there; all by default.

    Raises:
        PelageError: The file is missing, empty or malformed, lacks a column, or a number is none (with its row).
    """
    table = _plain(path, columns)
    if table is None:
        rows = read_rows(path)
        if rows.longer:
            number, said = rows.longer[0]
            raise PelageError(f"{path}, row {number}: there are more cells than columns: {said[:80]!r}. Mend the row.")
        table = rows.table
    require_columns(table, [*required, *(columns or ())], path)
    table = table if columns is None else table[list(columns)]
    for column, kind in (numbers or {}).items():
        if column in table:
            table[column] = _numbers(table[column], kind, path)
    return table


def _plain(path: Path, columns: Sequence[str] | None) -> pd.DataFrame | None:
    """Read a table of which each row has as many cells as the header; None of any other, which `read_rows` reads.

    Where `columns` are wanted and there, it is these alone.

    Arrow's reader takes a fifth of the time of that of pandas, and the bytes of the file as they are.
    """
    try:
        data = path.read_bytes()
        first = data[: data.find(b"\n") + 1].decode()
    except (OSError, UnicodeDecodeError):
        return None
    quotes = data.count(b'"')
    if _separator(first) != "," or first.startswith(("sep=", "\ufeff")) or quotes % 2:
        return None
    header = next(csv.reader(StringIO(first)), [])
    if not header or len(set(header)) < len(header) or not all(map(str.strip, header)):
        return None
    wanted = header if columns is None or not set(columns) <= set(header) else list(columns)
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False, include_columns=wanted
    )
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=quotes > 0),  # which takes away half of the speed
            convert_options=convert,
        )
    except pa.ArrowInvalid:
        return None
    return table.to_pandas()


def read_rows(path: Path) -> Rows:
    """Read a CSV table as spreadsheets and people leave it; one odd row stops nothing.

    The header tells what separates columns: commas, or where it has none semicolons or tabs. A byte order mark, a line
    `sep=;`, cells beyond the header that are empty, rows of empty cells and rows that end early are all understood.

    Raises:
        PelageError: The file is missing or empty, is not UTF-8, or a quotation mark is never closed.
    """
    text = _text(path)
    told = re.match(r"sep=(.)\r?\n", text)
    separator = told.group(1) if told else _separator(text)
    if told:
        text = text[told.end() :]
    lines = _records(text, separator, path)
    start = next((i for i, cells in enumerate(lines) if any(cell.strip() for cell in cells)), None)
    if start is None:
        raise PelageError(f"{path} is empty. Give a table with a header.")
    header = _header(lines[start])
    numbers, kept, longer, blank, shorter = [], [], [], 0, 0
    for number, cells in enumerate(lines[start + 1 :], start + 2 + bool(told)):
        if not any(cells) or not any(cell.strip() for cell in cells):
            blank += bool(cells)
            continue
        extra = len(cells) - len(header)
        if extra > 0 and any(cell.strip() for cell in cells[len(header) :]):
            longer.append((number, separator.join(cells)))
            continue
        shorter += extra < 0
        kept.append(cells[: len(header)] + [""] * -extra if extra else cells)
        numbers.append(number)
    table = pd.DataFrame(kept, columns=header, dtype=object)
    nameless = [name for name in header if name.startswith("column ") and not (table[name] != "").any()]
    return Rows(table.drop(columns=nameless), numbers, longer, blank, shorter)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise PelageError(f"{path} is missing: run the stage that writes it, or give the right path.") from error
    except OSError as error:
        raise PelageError(f"{path} cannot be read: {error.strerror}.") from error
    if data.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise PelageError(f"{path} is a workbook, not a table of text. Save the sheet as 'CSV UTF-8'.")
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise UnicodeError("UTF-16, as 'Unicode text' is saved")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        said = f"row {row} holds {data[error.start : error.start + 1]!r}, as older exports in Latin-1 do"
    except UnicodeError as error:
        said = f"it is {error}"
    raise PelageError(f"{path} is not a readable UTF-8 CSV table: {said}. Save it again as 'CSV UTF-8'.")


def _separator(text: str) -> str:
    """Return what separates columns, from the first line that says something, quoted cells aside."""
    header = next((line for line in text.splitlines() if line.strip(' ,;\t"')), "") if text[:1] in "\r\n ,;\t" else ""
    header = re.sub(r'"[^"]*"', "", header or text.split("\n", 1)[0])
    return next((mark for mark in ",;\t" if mark in header), ",")


def _records(text: str, separator: str, path: Path) -> list[list[str]]:
    try:
        return list(csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        if "unexpected end" not in str(error):  # a blank after a closing quotation mark and the like
            with suppress(csv.Error):
                return list(csv.reader(StringIO(text, newline=""), delimiter=separator))
    lines = 0
    try:
        for record in csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True):
            lines += 1 + sum(cell.count("\n") for cell in record)
    except csv.Error as error:
        said = error
    raise PelageError(
        f"{path}: from line {lines + 1} on it is no CSV table ({said}): a quotation mark is not closed. Mend it."
    )


def _header(cells: list[str]) -> list[str]:
    names: list[str] = []
    for position, cell in enumerate(cells, 1):
        name = cell.strip() or f"column {position}"
        names.append(name if name not in names else f"{name}.{position}")
    return names


def _numbers(column: pd.Series, kind: type, path: Path) -> pd.Series:
    if kind is bool:
        place, words = pd.factorize(column)
        told = pd.Series(words, dtype=str).str.strip().str.lower()
        told = told.map({"true": True, "false": False, "1": True, "0": False}).to_numpy(object)
        values = pd.Series(told[place], column.index, name=column.name)
    elif (values := _cast(column, kind)) is None:
        values = pd.to_numeric(column, errors="coerce")
        if kind is float:
            values = values.where(column != "", float("nan"))
    bad = values.isna() & ((column != "") | (kind is not float))
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise PelageError(
            f"{path}, row {row + 2}: column {column.name!r} holds {column.iloc[row]!r}, which is no {kind.__name__}."
        )
    return values.astype(kind)


def _cast(column: pd.Series, kind: type) -> pd.Series | None:
    """Return text as numbers; None where a cell is no plain number."""
    try:
        values = compute.cast(pa.array(column, pa.string()), pa.float64() if kind is float else pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return None if np.isnan(values).any() else pd.Series(values, column.index, name=column.name)


def require_columns(table: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Raise `PelageError` naming the first of `columns` that `table` lacks."""
    for column in columns:
        if column not in table:
            raise PelageError(
                f"{path} has no column {column!r} (it has {', '.join(map(str, table.columns))}). Add or rename it."
            )


def require_unique(table: pd.DataFrame, column: str, path: Path) -> None:
    """Raise `PelageError` naming the first two rows of `table` that share a value of `column`."""
    repeated = table[column].duplicated(keep=False)
    if repeated.any():
        value = table.loc[repeated, column].iloc[0]
        rows = [str(i + 2) for i, v in enumerate(table[column]) if v == value]
        raise PelageError(
            f"{path}, rows {', '.join(rows[:5])}: {column} {value!r} occurs more than once. Make it unique."
        )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV table atomically, numbers as they are (round them first), missing as empty text."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def rejected_table(rows: Iterable[tuple[str, str, str, str]]) -> pd.DataFrame:
    """Make a table of rejected rows from `(image_id, path, reason, detail)`."""
    return pd.DataFrame(list(rows), columns=REJECTED_COLUMNS, dtype=str)


def read_parquet(
    path: Path,
    categories: Iterable[str] = (),
    where: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a Parquet table; text columns named in `categories` become categorical, which saves time and memory.

    Args:
        path: Parquet file.
        categories: Names of columns.
        where: Values that columns have in the rows that are wanted; all rows by default.
        columns: Columns that are wanted; all by default.
    """
    wanted = [(column, "==", value) for column, value in (where or {}).items()] or None
    try:
        return pd.read_parquet(path, columns=columns, read_dictionary=list(categories), filters=wanted)
    except FileNotFoundError as error:
        raise PelageError(f"{path} is missing: run the stage that writes it.") from error


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet table atomically, with the same bytes for the same table; categories are written as text."""
    texts = {name: str for name, kind in table.dtypes.items() if isinstance(kind, pd.CategoricalDtype)}

    def as_text(start: int) -> pa.Table:  # in parts: text of many rows takes ten times the memory of categories
        return pa.Table.from_pandas(table.iloc[start : start + ROWS].astype(texts), preserve_index=False)

    first = as_text(0)
    buffer = BytesIO()
    with pq.ParquetWriter(buffer, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for start in range(ROWS, len(table), ROWS):
            writer.write_table(as_text(start))
    write_bytes(path, buffer.getvalue())


def crop_file(crop_id: str) -> str:
    """Return the file name of a crop in any folder of crops, masks or views: the id, made safe, and `.png`.

    `crop_id` is `image_id#n`; what is not a letter, digit or one of `_.-~` is percent-encoded, except that `#`
    becomes `~` (and `~` itself is encoded), so different ids have different files. A name of 200 bytes or more gives
    its middle for `=` and a hash of the id, for file systems end at 255; no other name has a `=`.
    """
    name = quote(crop_id, safe="#").replace("~", "%7E").replace("#", "~") + ".png"
    if len(name) < LONGEST_NAME:
        return name
    return f"{name[:100]}={sha256_bytes(crop_id.encode())[:32]}{name[-40:]}"
