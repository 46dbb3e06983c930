"""Encounter and trap deployment tables of the R package oSCR (Sutherland, Royle and Linden), read by `data2oscr`."""

from __future__ import annotations

from pelage.animals.export.captures import Captures, located
from pelage.animals.export.files import IDS, Export, csv_text, ids_table

EDF, TDF = "edf.csv", "tdf.csv"
SEPARATOR = "/"


def oscr(captures: Captures) -> Export:
    """Return `edf` (session, individual, occasion, trap) and `tdf` (trap, X, Y, an occasion each, `/`, cameras).

    `data2oscr` looks for covariates behind a separator, and finds none right where there are none; so the number of
    cameras of a station stands there.

    Raises:
        PelageError: No station that caught an animal has coordinates.
    """
    captures, left = located(captures, "oSCR")
    animals, stations = captures.ids()
    occasions = len(captures.occasions)
    edf = [(1, animals[who], time + 1, stations[where]) for who, where, time in captures.caught]
    tdf = [
        (station, f"{x:.1f}", f"{y:.1f}", *works.astype(int), SEPARATOR, cameras)
        for station, (x, y), works, cameras in zip(
            stations, captures.places, captures.operating, captures.cameras, strict=True
        )
    ]
    header = ["trap", "X", "Y", *(f"operating.{time + 1}" for time in range(occasions)), "sep", "cameras"]
    about = [
        f"{EDF}: session, individual, occasion, trap. {TDF}: trap, east and north in metres ({captures.crs}), for "
        f"each of the {occasions} occasions whether the station operated, a separator, and its cameras. Occasions run "
        f"from {captures.occasions[0]} to {captures.occasions[-1]}; {IDS} tells the name behind each id.",
        "Read them in R:",
        "  library(oSCR)\n"
        f'  data <- data2oscr(edf = read.csv("{EDF}", colClasses = c(individual = "character", trap = "character")),\n'
        "                    sess.col = 1, id.col = 2, occ.col = 3, trap.col = 4,\n"
        f'                    tdf = list(read.csv("{TDF}", colClasses = c(trap = "character"))),\n'
        f'                    K = {occasions}, ntraps = {len(stations)}, tdf.sep = "{SEPARATOR}")\n'
        "  fit <- oSCR.fit(list(D ~ 1, p0 ~ 1, sig ~ 1), data$scrFrame, make.ssDF(data$scrFrame, BUFFER, RESOLUTION))",
    ]
    files = {
        EDF: csv_text(["session", "individual", "occasion", "trap"], edf),
        TDF: csv_text(header, tdf),
        IDS: ids_table(individual=(captures.individuals, animals), station=(captures.stations, stations),
                       occasion=(captures.occasions, range(1, occasions + 1))),
    }  # fmt: skip
    return Export(files, about, left)
