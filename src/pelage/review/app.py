"""The page: what each address answers. What is true is told by `animals`; here it is only shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pelage.common.errors import PelageError
from pelage.common.tables import UNKNOWN
from pelage.review.desk import Desk, Question, State
from pelage.review.guard import Guard
from pelage.review.pictures import Pictures
from pelage.review.run import Photo

STRIP = 24
"""Most photos of a side of the pair; a link leads to all."""

A_PAGE = 60
"""Rows of a list."""

CANDIDATES = 30

KEYS = (
    ("s", "same animal"), ("d", "different animals"), ("n", "new: nobody known"), ("i", "is …, by name"),
    ("c", "cannot tell, with the reason"), ("k", "skip: next, ask me no more"),
    ("p", "pin your last word on this pair"), ("t", "note"),
    ("z", "undo your last decision"), ("← →", "photos of the left side"), ("↑ ↓", "photos of the right side"),
    ("+ - 0", "zoom, and back; drag to pan"), ("l", "matches on and off"), ("h", "heat of matches"), ("e", "edge map"),
    ("b", "without background"), ("m", "mirror the right side"), ("[ ]", "contrast"), ("( )", "brightness"),
    ("r g", "on an animal's page: rename, merge"), ("?", "these keys"),
)  # fmt: skip

VERBS = {
    "same": "same animal",
    "different": "different animals",
    "is": "is",
    "new": "a new animal",
    "cannot_tell": "cannot tell",
}


class Page:
    """Routes, with the desk that they ask.

    Args:
        desk: The state and the journal.
        pictures: Of crops.
        read_only: Nothing may be decided.
    """

    def __init__(self, desk: Desk, pictures: Pictures, read_only: bool) -> None:
        self.desk, self.pictures, self.read_only = desk, pictures, read_only
        self.templates = Environment(
            loader=PackageLoader("pelage.review", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.routes = [
            Route("/", self.next),
            Route("/pair", self.pair),
            Route("/individuals", self.individuals),
            Route("/individual", self.individual),
            Route("/suspects", self.suspects),
            Route("/history", self.history),
            Route("/picture", self.picture),
            Route("/lines", self.lines),
            Route("/state", self.state),
            Route("/decide", self.decide, methods=["POST"]),
            Mount("/static", StaticFiles(packages=[("pelage.review", "static")])),
        ]

    # ---- pages -------------------------------------------------------------------------------------------------------

    def next(self, request: Request) -> Response:
        """The question that is most open."""
        state = self.desk.look()
        reviewer = request.query_params.get("reviewer", "")
        asked = state.questions(reviewer)
        if not asked:
            rest = len(state.questions())
            ended = "No answer could change an animal any more." if not rest else f"You skipped what is left ({rest})."
            return self._show("pair.html", state, "pair", pair=None, ended=ended)
        return self._show("pair.html", state, "pair", pair=self._pair(state, asked[0], {}, True), ended="")

    def pair(self, request: Request) -> Response:
        """Any two units, and the other candidates of the first."""
        state, given = self.desk.look(), request.query_params
        unit, other = given.get("unit", ""), given.get("other", "")
        if unit not in state.nodes.member or (other and other not in state.nodes.member):
            return PlainTextResponse("There is no such encounter in this run.\n", HTTPStatus.NOT_FOUND)
        filters = {name: given.get(name, "") for name in ("who", "station")}
        if not other:
            found = self._filtered(state, unit, filters)
            question = found[0] if found else None
            if question is None:
                return self._show("pair.html", state, "pair", pair=None, ended="No candidate passes these filters.")
        else:
            question = state.question(unit, other)
        return self._show("pair.html", state, "pair", pair=self._pair(state, question, filters, False), ended="")

    def individuals(self, request: Request) -> Response:
        """Everybody, by name."""
        state, q = self.desk.look(), request.query_params.get("q", "").strip()
        names = sorted(name for name in state.members if q.casefold() in name.casefold())
        start = _number(request.query_params.get("from", ""))
        rows = []
        for name in names[start : start + A_PAGE]:
            units = state.members[name]
            crop = self._best(state, units)
            dates = sorted(date[:10] for unit in units if (date := self.desk.run.row[unit]["date"]))
            seen = f"{dates[0]} to {dates[-1]}" if dates else "no date"
            told = f"{_many(len(units), 'sighting')}, {seen}"
            rows.append(
                {
                    "name": name,
                    "link": _link("/individual", name=name),
                    "picture": self._address(crop, "small"),
                    "told": told,
                }
            )
        listed = {
            "rows": rows,
            "q": q,
            "total": len(state.members),
            **_pages("/individuals", {"q": q}, start, len(names)),
        }
        return self._show("individuals.html", state, "individuals", **listed)

    def individual(self, request: Request) -> Response:
        """All photos of one animal by flank and date, and its weakest link."""
        state, run, name = self.desk.look(), self.desk.run, request.query_params.get("name", "")
        units = state.members.get(name)
        if units is None:
            return PlainTextResponse("Nobody is called so (any more).\n", HTTPStatus.NOT_FOUND)
        weakest = self._weakest(state, units)
        weak = set(weakest["units"]) if weakest else set()
        flanks: dict[str, list[dict[str, Any]]] = {}
        for unit in units:
            row, crop = run.row[unit], self._best(state, [unit])
            flanks.setdefault(row["side"], []).append(
                {
                    "link": _link("/pair", unit=unit),
                    "small": self._address(crop, "small"),
                    "alt": f"{name}, {row['date']}",
                    "date": row["date"].replace("T", " ")[:16] or "no date",
                    "station": row["station"],
                    "crops": [crop] if crop else [],
                    "best": bool(crop) and state.decisions.best.get(unit) == crop,
                    "weak": unit in weak,
                }
            )
        order = sorted(flanks.items(), key=lambda one: (one[0] == UNKNOWN, one[0]))
        crops = [photo.crop for photo in run.of_unit.get(units[0], [])]
        by_source = any(unit in run.named for unit in units)
        told = f"{_many(len(units), 'sighting')}; {'named' if by_source else 'not named'} by the source"
        return self._show(
            "individual.html",
            state,
            "individuals",
            name=name,
            told=told,
            flanks=order,
            weakest=weakest,
            crops=crops,
            names=sorted(state.members),
        )

    def suspects(self, request: Request) -> Response:
        """Names of the source that its photos do not bear out."""
        state, run = self.desk.look(), self.desk.run
        rows = []
        for found in run.suspects.head(A_PAGE).to_dict("records"):
            chance = "" if found["probability"] != found["probability"] else f"{found['probability']:.0%}"
            rows.append(
                {
                    "what": found["why"],
                    "left": f"{found['identity']}, {run.row[found['unit']]['date'][:16]}",
                    "right": f"{found['other_identity']}, {run.row[found['other']]['date'][:16]}",
                    "chance": chance,
                    "link": _link("/pair", unit=found["unit"], other=found["other"]),
                }
            )
        return self._show("suspects.html", state, "suspects", rows=rows)

    def history(self, request: Request) -> Response:
        """The journal."""
        state = self.desk.look()
        entries = state.journal.entries[::-1]
        start = _number(request.query_params.get("from", ""))
        undone = {entry.undoes for entry in entries if entry.verb == "undo"}
        rows = []
        for entry in entries[start : start + A_PAGE]:
            sides = [self._whose(state, crops) for crops in (entry.crops, entry.other_crops)]
            what = " ".join(
                filter(
                    None,
                    [
                        sides[0],
                        VERBS.get(entry.verb, entry.verb.replace("_", " ")),
                        sides[1],
                        entry.name,
                        entry.to and f"to {entry.to}",
                        entry.reason and f"({entry.reason})",
                    ],
                )
            )
            rows.append(
                {
                    "id": entry.id,
                    "time": entry.time.replace("T", " ")[:19],
                    "reviewer": entry.reviewer,
                    "verb": entry.verb,
                    "what": what,
                    "undone": entry.id in undone,
                }
            )
        listed = _pages("/history", {}, start, len(entries))
        return self._show("history.html", state, "history", rows=rows, journal=str(self.desk.path), **listed)

    # ---- what pages ask for ------------------------------------------------------------------------------------------

    def picture(self, request: Request) -> Response:
        """A crop as JPEG."""
        given = request.query_params
        crop = given.get("crop", "")
        data = self.pictures.jpeg(crop, given.get("view", "crop"), given.get("size", "small"))
        if data is None:
            return PlainTextResponse("There is no such picture.\n", HTTPStatus.NOT_FOUND)
        kept = bool(given.get("v")) and given["v"] == self.pictures.version(crop)
        headers = {"Cache-Control": "private, max-age=604800, immutable" if kept else "no-store"}
        return Response(data, media_type="image/jpeg", headers=headers)

    def lines(self, request: Request) -> Response:
        """Matched keypoints of two crops."""
        query, candidate = (request.query_params.get(name, "") for name in ("query", "candidate"))
        return JSONResponse({"matches": self.desk.run.lines(query, candidate)})

    def state(self, request: Request) -> Response:
        """The clusters, once they hold all of the journal: for scripts."""
        state = self.desk.settle()
        asked = [
            {
                "unit": one.unit,
                "other": one.other,
                "query": one.query,
                "candidate": one.candidate,
                "probability": one.probability,
                "together": one.together,
            }
            for one in state.questions(request.query_params.get("reviewer", ""))
        ]
        return JSONResponse(
            {"progress": self._progress(state), "members": state.members, "questions": asked, "told": state.told}
        )

    async def decide(self, request: Request) -> Response:
        """Write a decision and say where to go on."""
        try:
            said = json.loads(await request.body())
        except ValueError:
            return JSONResponse({"error": "the decision is no JSON."}, HTTPStatus.BAD_REQUEST)
        if not isinstance(said, dict) or not isinstance(said.get("id"), str):
            return JSONResponse({"error": "the decision has no id."}, HTTPStatus.BAD_REQUEST)
        wanted = ("id", "time", "reviewer", "verb", "crops", "other_crops", "name", "to", "reason", "shown", "undoes")
        fields = {key: said[key] for key in wanted if key in said}
        try:
            entry = await run_in_threadpool(self.desk.decide, fields)
        except PelageError as error:
            return JSONResponse({"error": str(error)}, HTTPStatus.CONFLICT)
        return JSONResponse({"id": entry.id, "next": _onward(said)})

    # ---- pieces ------------------------------------------------------------------------------------------------------

    def _show(self, template: str, state: State, page: str, **values: Any) -> Response:
        notices = state.told[:5] + [f"and {len(state.told) - 5} more such lines"] * (len(state.told) > 5)
        if page == "pair" and state.inquiry.rest.reached:
            notices.append("It is enough: the last answers changed no animal, and the next will hardly change one.")
        if self.desk.busy:
            notices.append("The clusters are being built anew; what you see is a moment old.")
        common = {
            "page": page,
            "reviewer": "",
            "read_only": self.read_only,
            "progress": self._progress(state),
            "notices": notices,
            "keys": KEYS,
            "names": sorted(state.members)[:2000],
            "journal": str(self.desk.path),
        }
        return HTMLResponse(self.templates.get_template(template).render(**{**common, **values}))

    def _progress(self, state: State) -> dict[str, int | bool]:
        decisions = sum(entry.verb != "undo" for entry in state.journal.entries)
        return {
            "remaining": len(state.open_questions()),
            "enough": state.inquiry.rest.reached,
            "individuals": state.individuals,
            "individuals_before": self.desk.before,
            "decisions": decisions,
        }

    def _address(self, crop: str, size: str, view: str = "crop") -> str:
        version = self.pictures.version(crop)
        return _link("/picture", crop=crop, view=view, size=size, v=version) if version else ""

    def _best(self, state: State, units: Sequence[str]) -> str:
        chosen = next((state.decisions.best[unit] for unit in units if unit in state.decisions.best), "")
        return chosen or next((crop for unit in units if (crop := self.desk.run.row[unit]["best_crop"])), "")

    def _whose(self, state: State, crops: Sequence[str]) -> str:
        photo = self.desk.run.photos.get(crops[0]) if crops else None
        return state.name_of.get(photo.unit, photo.unit) if photo else ""

    def _filtered(self, state: State, unit: str, filters: Mapping[str, str]) -> list[Question]:
        run, found = self.desk.run, []
        for one in state.candidates(unit):
            other = one.other if state.nodes.member[one.unit] == state.nodes.member[unit] else one.unit
            named = other in run.named
            if (filters.get("who") == "named" and not named) or (filters.get("who") == "unnamed" and named):
                continue
            if filters.get("station") == "same" and run.row[other]["station"] != run.row[unit]["station"]:
                continue
            if filters.get("station") == "other" and run.row[other]["station"] == run.row[unit]["station"]:
                continue
            found.append(one)
        return found[:CANDIDATES]

    def _weakest(self, state: State, units: Sequence[str]) -> dict[str, Any] | None:
        question = state.weakest(units)
        if question is None:
            return None
        sides = [
            [photo.crop for photo in self.desk.run.of_unit.get(unit, [])] for unit in (question.unit, question.other)
        ]
        return {
            "units": [question.unit, question.other],
            "link": _link("/pair", unit=question.unit, other=question.other),
            "left": self._told(question.unit),
            "right": self._told(question.other),
            "chance": f"{question.probability:.0%}",
            "crops": sides[0],
            "other_crops": sides[1],
        }

    def _told(self, unit: str) -> str:
        row = self.desk.run.row[unit]
        return f"{row['station']} {row['date'].replace('T', ' ')[:16]}".strip()

    def _pane(self, state: State, unit: str, crop: str, name: str, title: str) -> dict[str, Any]:
        run = self.desk.run
        own = run.of_unit.get(unit, [])
        photos: list[Photo] = sorted(own, key=lambda photo: photo.crop != crop)
        if unit in run.named:
            side = run.row[unit]["side"]
            others = [
                other
                for other in state.members.get(name, [])
                if other != unit and run.row[other]["side"] in (side, "unknown")
            ]
            photos += [photo for other in others for photo in run.of_unit.get(other, [])]
        shown = photos[:STRIP] or [Photo(crop, unit, "", "", "")]
        return {
            "unit": unit,
            "individual": name,
            "title": title,
            "subtitle": self._told(unit),
            "crops": [photo.crop for photo in own],
            "alt": f"{title}: {shown[0].date}",
            "more": max(len(photos) - len(shown), 0),
            "link": _link("/individual", name=name),
            "photos": [
                {
                    "crop": photo.crop,
                    "version": self.pictures.version(photo.crop),
                    "small": self._address(photo.crop, "small"),
                    "full": self._address(photo.crop, "full"),
                    "alt": f"{photo.camera} {photo.date.replace('T', ' ')}".strip() or photo.crop,
                    "width": 4,
                    "height": 3,
                }
                for photo in shown
            ],
        }

    def _pair(self, state: State, question: Question, filters: Mapping[str, str], listed: bool) -> dict[str, Any]:
        run = self.desk.run
        names = [state.name_of[unit] for unit in (question.unit, question.other)]
        left = self._pane(
            state,
            question.unit,
            question.query,
            names[0],
            "Who is this?" if question.unit not in run.named else names[0],
        )
        right = self._pane(state, question.other, question.candidate, names[1], names[1])
        rows = [run.row[question.unit], run.row[question.other]]
        away, days = run.apart(question.unit, question.other)
        facts = [
            ("Taken for", names[0], names[1]),
            ("Flank", rows[0]["side"], rows[1]["side"]),
            ("Station", rows[0]["station"] or "?", rows[1]["station"] or "?"),
            ("Camera", rows[0]["camera"] or "?", rows[1]["camera"] or "?"),
            ("When", *(row["date"].replace("T", " ") or "?" for row in rows)),
            ("Photos", rows[0]["photos"], rows[1]["photos"]),
            ("Apart", "?" if away is None else f"{away:.1f} km", "?" if days is None else f"{days:.1f} days"),
        ]
        methods = [
            {"method": method, "rank": "–" if rank is None else rank, "score": "–" if score is None else f"{score:.3g}"}
            for method, rank, score in run.scores(question.query, question.candidate)
        ]
        options = {
            "who": ("Who", [("", "everybody"), ("named", "named animals"), ("unnamed", "animals without a name")]),
            "station": ("Station", [("", "any"), ("same", "the same"), ("other", "another")]),
        }
        shown_filters = [
            {"name": name, "label": label, "options": values, "value": filters.get(name, "")}
            for name, (label, values) in options.items()
        ]
        candidates = []
        for one in self._filtered(state, question.unit, filters):
            other = one.other if state.nodes.member[one.unit] == state.nodes.member[question.unit] else one.unit
            link = _link(
                "/pair", unit=question.unit, other=other, **{key: value for key, value in filters.items() if value}
            )
            current = state.nodes.member[other] == state.nodes.member[question.other]
            candidates.append(
                {
                    "link": link,
                    "title": f"{state.name_of[other]}, {self._told(other)}",
                    "chance": f"{one.probability:.0%}",
                    "current": current,
                }
            )
        said = "Now taken for one animal" if question.together else "Now taken for two animals"
        why = f"{said}; your answer may change that." if listed else f"{said}."
        why = f"{said}, but people said otherwise: what do you say?" if question.disputed else why
        words = ", ".join(f"{name}={value}" for name, value in filters.items() if value)
        return {
            "question": "One animal, or two?",
            "left": left,
            "right": right,
            "facts": facts,
            "methods": methods,
            "filters": shown_filters,
            "candidates": candidates,
            "chance": f"{question.probability:.0%}",
            "why": why,
            "lines": run.lines(question.query, question.candidate),
            "shown": {
                "probability": round(question.probability, 4),
                "filters": words or ("question list" if listed else ""),
                "version": run.version,
            },
        }


def build_app(desk: Desk, pictures: Pictures, port: int, token: str, read_only: bool = False) -> Guard:
    """Return the page, guarded.

    Args:
        desk, pictures: What it shows.
        port: That it is served on.
        token: Secret of this start.
        read_only: Nothing may be decided.
    """
    return Guard(Starlette(routes=Page(desk, pictures, read_only).routes), port, token, read_only)


def _onward(said: Mapping[str, Any]) -> str:
    """Return the page after a decision: the next question, or the page that it was taken on."""
    page = said.get("page")
    stays = (
        isinstance(page, str)
        and page.startswith(("/individual", "/history", "/suspects"))
        and not page.startswith("//")
    )
    return page if stays and said.get("verb") not in ("rename", "merge") else "/"


def _link(path: str, **given: str) -> str:
    return f"{path}?{urlencode(given)}"


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _pages(path: str, given: Mapping[str, str], start: int, total: int) -> dict[str, Any]:
    kept = {key: value for key, value in given.items() if value}

    def page(first: int) -> str:
        return _link(path, **kept, **{"from": str(first)})

    return {
        "before": page(max(start - A_PAGE, 0)) if start else None,
        "after": page(start + A_PAGE) if start + A_PAGE < total else None,
        "place": f"{min(start + 1, total)} to {min(start + A_PAGE, total)} of {total}",
    }
