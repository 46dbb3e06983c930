"""Kinds of values, and how pydantic's findings become sentences that name the key, what it is, and what it may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from pelage.common.params import nearest


class Section(BaseModel):
    """A mapping of params.yaml whose fields are all known; nothing is converted, for stages read the file itself."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


def _worded(words: str) -> WrapValidator:
    """Replace whatever pydantic says of a value by what it must be."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("words", "{words}", {"words": words}) from None

    return WrapValidator(check)


def whole(least: int, most: int | None = None) -> Any:
    """Return the type of whole numbers from `least` (to `most`); true and 2.0 are none."""
    words = f"a whole number from {least}" + (f" to {most}" if most is not None else "")
    return Annotated[int, Strict(), Field(ge=least, le=most), _worded(words)]


def number(words: str, **bounds: float) -> Any:
    """Return the type of finite numbers within pydantic's `ge`, `gt`, `le` and `lt`; `words` say so."""
    return Annotated[float, Strict(), Field(allow_inf_nan=False, **bounds), _worded(words)]


def one_of(*names: str) -> Any:
    """Return the type of one of a few words."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            known = ", ".join(names)
            words = f"one of {known}.{nearest(value, names)}" if len(names) > 1 else known
            raise PydanticCustomError("words", "{words}", {"words": words}) from None

    return Annotated[Literal[names], WrapValidator(check)]


def worded(kind: Any, words: str) -> Any:
    """Return a type of which only `words` are said when a value is none."""
    return Annotated[kind, _worded(words)]


POSITIVE = number("a number above 0", gt=0)
FROM_ZERO = number("a number from 0", ge=0)
SHARE = number("a number from 0 to 1", ge=0, le=1)
BELOW_ONE = number("a number from 0 to below 1", ge=0, lt=1)
FRACTION = number("a number between 0 and 1", gt=0, lt=1)
UP_TO_ONE = number("a number above 0, at most 1", gt=0, le=1)
YES_OR_NO = worded(Annotated[bool, Strict()], "true or false")
TEXT = worded(Annotated[str, Strict(), Field(min_length=1)], "a text")
MAYBE_TEXT = worded(Annotated[str, Strict()] | None, "a text, or nothing")
SEED = whole(0)
COUNT = whole(1)


def refuse(said: str) -> PydanticCustomError:
    """Return the error of a check across fields: `said` goes on after the section's name and a dot."""
    return PydanticCustomError("across", "{said}", {"said": said})


def sentences(error: ValidationError, model: type[BaseModel], where: str) -> list[tuple[tuple, str]]:
    """Return the place and the sentence of each thing that pydantic found in the section `where` (empty: all)."""
    found = []
    for fault in error.errors(include_url=False):
        place, value = fault["loc"], fault["input"]
        key, said = _key(where, place), fault.get("ctx", {})
        section, what = (_key(where, place[:-1]), "field") if where or place[1:] else ("it", "section")
        if fault["type"] == "across":
            sentence = f"{key}.{said['said']}"
        elif fault["type"] == "extra_forbidden":
            known = _fields(model, place[:-1])
            sentence = f"{section} has the unknown {what} {place[-1]!r}; known are {', '.join(known)}."
            sentence += nearest(place[-1], known)
        elif fault["type"] == "missing":
            sentence = f"{section} lacks the {what} {place[-1]!r}. Add it."
        elif fault["type"] in ("model_type", "model_attributes_type", "dict_type"):
            sentence = f"{key} is {value!r}; it must be fields and values, of {', '.join(_fields(model, place))}."
        elif fault["type"] == "words":
            sentence = f"{key} is {value!r}; it must be {said['words']}" + "." * (said["words"][-1] not in ".?")
            sentence += _unquoted(value)
        else:
            sentence = f"{key} is {value!r}: {fault['msg']}."
        found.append((place, sentence))
    return found


def _unquoted(value: Any) -> str:
    """Return what to do about a number that is written as a text."""
    if not isinstance(value, str):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return " It is a text: take its quotation marks away."


def _key(where: str, place: tuple) -> str:
    key = where
    for part in place:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


def _fields(model: type[BaseModel], place: tuple) -> list[str]:
    """Return the names that a section, or a section inside it, may have."""
    for part in place:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def check_section(model: type[BaseModel], values: Any, where: str) -> list[tuple[tuple, str]]:
    """Return place and sentence of each fault of a section; none if it is right."""
    try:
        model.model_validate(dict(values) if isinstance(values, Mapping) else values)
    except ValidationError as error:
        return sentences(error, model, where)
    return []
