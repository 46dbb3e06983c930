"""Readers of other tools' files, written from the descriptions of their formats, line by line and without mercy.

Each returns plain Python: what the tool would have after reading, or raises ValueError where it would stop.
"""

from __future__ import annotations

import re


def fields(text: str) -> list[list[str]]:
    """Return the fields of each line as R's read.table finds them: blanks separate, `#` begins a comment."""
    rows = []
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        if line:
            if "'" in line or '"' in line:
                raise ValueError(f"a quotation mark opens a field: {line}")
            rows.append(line.split())
    return rows


def secr_traps(text: str) -> tuple[dict[str, tuple[float, float]], dict[str, list[int]]]:
    """Return coordinates and usage by detector, as `read.traps` of secr with `binary.usage = TRUE` reads them."""
    places, usage = {}, {}
    for row in fields(text):
        if len(row) < 3:
            raise ValueError("requires 3 fields (detectorID, x, y)")
        name, x, y, rest = row[0], float(row[1]), float(row[2]), " ".join(row[3:])
        if name in places:
            raise ValueError("duplicate 'row.names' are not allowed")
        if re.search(r"[,_]", name):
            raise ValueError(f"an id of a detector has no {name}")
        places[name] = (x, y)
        used = re.sub(r"[ ,]", "", rest.split("/")[0])
        if not re.fullmatch("[01]+", used):
            raise ValueError(f"usage is 0 and 1, not {used}")
        usage[name] = [int(one) for one in used]
    if len({len(row) for row in usage.values()}) != 1:
        raise ValueError("'usage' fields suggest varying number of occasions")
    if any(abs(x) <= 180 and abs(y) <= 90 for x, y in places.values()) and len(places) > 1:
        raise ValueError("degrees, where metres are wanted")
    return places, usage


def secr_captures(text: str, traps: str, noccasions: int) -> dict[str, set[tuple[str, int, str]]]:
    """Return captures `(individual, occasion, detector)` by session, as `read.capthist` reads `fmt = "trapID"`."""
    places, usage = secr_traps(traps)
    sessions: dict[str, set[tuple[str, int, str]]] = {}
    for row in fields(text):
        if len(row) != 4:
            raise ValueError(f"4 fields are wanted: {row}")
        session, animal, occasion, trap = row[0], row[1], int(row[2]), row[3]
        if "NA" in row:
            raise ValueError("missing values not allowed")
        if not 1 <= occasion <= noccasions:
            raise ValueError("occasion outside 1 to noccasions")
        if trap not in places:
            raise ValueError(f"failed to match capture locations to detector sites: {trap}")
        if len(usage[trap]) != noccasions or not usage[trap][occasion - 1]:
            raise ValueError("verify: detection at a detector that was not used")
        seen = sessions.setdefault(session, set())
        if (animal, occasion, trap) in seen:
            raise ValueError("verify: more than one detection per detector per occasion at proximity detector")
        seen.add((animal, occasion, trap))
    return sessions


def comma_table(text: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table whose cells are never quoted."""
    lines = text.splitlines()
    rows = [line.split(",") for line in lines]
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("rows differ in length")
    return rows[0], rows[1:]


def oscr(edf: str, tdf: str, occasions: int, ntraps: int, separator: str = "/"):
    """Return captures, coordinates, operation and covariates as `data2oscr` takes them from columns by number."""
    _, caught = comma_table(edf)
    header, traps = comma_table(tdf)
    if header[1:3] != ["X", "Y"]:
        raise ValueError("the second and third columns are X and Y")
    names = [row[0] for row in traps]
    if len(set(names)) != ntraps or len(traps) != ntraps:
        raise ValueError("ntraps")
    rest = [row[3:] for row in traps]
    where = rest[0].index(separator)
    if any(row[where] != separator for row in rest) or where + 1 >= len(header) - 3:
        raise ValueError("a separator in each row, and covariates behind it")
    if where != occasions:
        raise ValueError("as many columns of operation as occasions")
    operating = {name: [int(one) for one in row[:where]] for name, row in zip(names, rest, strict=True)}
    if not {one for row in operating.values() for one in row} <= {0, 1}:
        raise ValueError("operation is 0 or 1")
    captures = set()
    for session, animal, occasion, trap in caught:
        if trap not in names:
            raise ValueError("some trap names in EDF not in TDF")
        if not 1 <= int(occasion) <= occasions or session != "1":
            raise ValueError("some occassion names in EDF not in TDF")
        captures.add((animal, int(occasion), trap))
    places = {row[0]: (float(row[1]), float(row[2])) for row in traps}
    covariates = {row[0]: dict(zip(header[3 + where + 1 :], row[3 + where + 1 :], strict=True)) for row in traps}
    return captures, places, operating, covariates


def spacecap(captures: str, traps: str, habitat: str):
    """Return captures `(location, animal, occasion)`, coordinates and operation by location, and cells of habitat."""
    header, caught = comma_table(captures)
    if header != ["LOC_ID", "ANIMAL_ID", "SO"]:
        raise ValueError("header of captures")
    header, deployed = comma_table(traps)
    occasions = len(header) - 3
    if header != ["LOC_ID", "X_COORD", "Y_COORD", *(str(n + 1) for n in range(occasions))]:
        raise ValueError("header of traps")
    header, cells = comma_table(habitat)
    if header != ["X_COORD", "Y_COORD", "HABITAT"]:
        raise ValueError("header of habitat")
    rows = [tuple(int(cell) for cell in row) for row in caught]
    places = {int(row[0]): (float(row[1]), float(row[2])) for row in deployed}
    operating = {int(row[0]): [int(cell) for cell in row[3:]] for row in deployed}
    for numbers in (set(places), {animal for _, animal, _ in rows}):
        if numbers != set(range(1, len(numbers) + 1)):
            raise ValueError("ids run from 1 without a gap")
    if len(deployed) != len(places) or {one for row in operating.values() for one in row} - {0, 1}:
        raise ValueError("a location a row, operation 0 or 1")
    for location, _, occasion in rows:
        if not operating[location][occasion - 1]:
            raise ValueError(f"caught at {location} on {occasion}, when it did not operate")
    lived = [(float(x), float(y), int(one)) for x, y, one in cells]
    if {one for *_, one in lived} - {0, 1}:
        raise ValueError("habitat is 0 or 1")
    return rows, places, operating, lived


def mark(text: str) -> list[tuple[str, str, list[int]]]:
    """Return `(comment, history, frequencies)` of each record of a MARK input file: a record ends with a semicolon."""
    rows = []
    *records, end = text.split(";")
    if end.strip():
        raise ValueError(f"no semicolon at the end of {end}")
    for record in records:
        comments, told = (
            re.findall(r"/\*(.*?)\*/", record, re.DOTALL),
            re.sub(r"/\*.*?\*/", " ", record, flags=re.DOTALL),
        )
        found = re.fullmatch(r"\s*([01.]+)((?:[ \t]+-?\d+)+)\s*", told)
        if not found:
            raise ValueError(f"no history: {told}")
        rows.append((comments[-1].strip() if comments else "", found[1], [int(one) for one in found[2].split()]))
    if len({len(history) for _, history, _ in rows}) > 1:
        raise ValueError("histories differ in length")
    return rows
