"""Tables: CSV for people, Parquet for rankings and embeddings; one key a table, written atomically.

Text columns are strings and empty text means missing, so that an identity `007` stays `007` and a table read
and written again has the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import sha256_bytes, write_bytes, write_text

UNKNOWN = "unknown"
"""Identity or orientation that nobody has told."""

REJECTED_COLUMNS = ["image_id", "path", "reason", "detail"]
"""Columns of every stage's table of rejected rows: `reason` is one of a few words, `detail` is a sentence."""

LONGEST_NAME = 200
"""Bytes that the name of a crop's file stays below."""


def read_table(path: Path, numbers: Mapping[str, type] | None = None, required: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV table with text columns as strings (missing is the empty string).

    Args:
        path: CSV file, UTF-8, with a header.
        numbers: Columns that are not text, as `{"x": int, "score": float, "known": bool}`; absent ones are skipped.
        required: Columns that must be there.

    Raises:
        PelageError: The file is missing, empty or malformed, lacks a column, or a number is none (with its row).
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise PelageError(f"{path} is missing: run the stage that writes it, or give the right path.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise PelageError(f"{path} is not a readable UTF-8 CSV table with a header: {error}") from error
    require_columns(table, required, path)
    for column, kind in (numbers or {}).items():
        if column in table:
            table[column] = _numbers(table[column], kind, path)
    return table


def _numbers(column: pd.Series, kind: type, path: Path) -> pd.Series:
    if kind is bool:
        values = column.map({"True": True, "False": False, "true": True, "false": False})
    else:
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


def read_parquet(path: Path, categories: Iterable[str] = ()) -> pd.DataFrame:
    """Read a Parquet table; text columns named in `categories` become categorical, which saves time and memory."""
    try:
        return pd.read_parquet(path, read_dictionary=list(categories))
    except FileNotFoundError as error:
        raise PelageError(f"{path} is missing: run the stage that writes it.") from error


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet table atomically, with the same bytes for the same table."""
    buffer = BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
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
