"""All parameters at once: sections, names, entries, and what one of them asks of another; every fault is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pelage.common.errors import PelageError
from pelage.common.params import nearest
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.local.matchers import read_matcher
from pelage.settings.kinds import check_section
from pelage.settings.names import METHODS, name_faults
from pelage.settings.sections import PARTS, Augment, Dataset, Loss, Model, Params, Train, Variant

OVERRIDES = {"model": Model, "loss": Loss, "train": Train, "augment": Augment}
"""Sections that a variant may lay its own values over."""

ENTRIES = ("datasets", *METHODS)
TOLD = 10
"""Faults that are told at once."""


def check_params(params: Any, references: bool = True) -> None:
    """Check all parameters.

    Args:
        params: What params.yaml holds.
        references: Whether `fusion` and `insight` have to name methods that there are.

    Raises:
        PelageError: A section, a field, a value or a name is wrong; one sentence each, with the key, what it is, what
            it may be, and the nearest right word.
    """
    faults = list(dict.fromkeys(find_faults(params, references)))
    if faults:
        more = f" And {len(faults) - TOLD} more." if len(faults) > TOLD else ""
        raise PelageError("params.yaml: " + " ".join(faults[:TOLD]) + more)


def find_faults(params: Any, references: bool = True) -> Iterator[str]:
    """Give a sentence for each fault; what depends on a faulty section is left for the next time."""
    if not isinstance(params, Mapping):
        yield f"it holds {params!r}; it must have the sections {', '.join(Params.model_fields)}."
        return
    faults = check_section(Params, params, "")
    wrong = {place[0] for place, _ in faults}
    yield from (sentence for _, sentence in faults)
    if any(place[0] in Params.model_fields and place[0] not in params for place, _ in faults):
        return
    unread = [name for name in ENTRIES if not isinstance(params[name], Mapping)]
    yield from (f"{name} is {params[name]!r}; it must be names and their fields." for name in unread)
    named = list(name_faults(params))
    yield from named
    if unread or named:
        return
    yield from dataset_faults(params, wrong)
    variants = [fault for name in params["variants"] for fault in variant_faults(params, name, wrong)]
    yield from variants
    if "parts" not in wrong:
        yield from part_faults(params)
        methods = [] if variants else list(method_faults(params))
        yield from methods
        if references and not variants and not methods and "fusion" not in wrong:
            yield from fusion_faults(params)
    if references and "insight" not in wrong:
        yield from _unknown(params["insight"]["variant"], params["variants"], "insight.variant", "variants")


def dataset_faults(params: Mapping[str, Any], wrong: set[str]) -> Iterator[str]:
    """Give the faults of `datasets`, and of what is asked of the one in use."""
    datasets = params["datasets"]
    faulty = set()
    for name, entry in datasets.items():
        for _, sentence in check_section(Dataset, entry, f"datasets.{name}"):
            faulty.add(name)
            yield sentence
    if "ingest" in wrong:
        return
    name = params["ingest"]["dataset"]
    if unknown := list(_unknown(name, datasets, "ingest.dataset", "datasets")):
        yield from unknown
        return
    if name in faulty:
        return
    dataset = datasets[name]
    if "split" not in wrong and params["split"]["source"] == "column" and not dataset.get("split_column"):
        yield (
            f"split.source is 'column', but datasets.{name}.split_column does not say which. Name the column that "
            "has the split, or set split.source to drawn."
        )
    if "detect" not in wrong and params["detect"]["backend"] in ("columns", "whole") and not dataset.get("part"):
        yield (
            f"detect.backend is {params['detect']['backend']!r}, but datasets.{name}.part does not say what the boxes "
            "show. Add it."
        )
    if "parts" not in wrong and dataset.get("parts") and not set(dataset["parts"]) & set(params["parts"]):
        yield f"parts is {params['parts']}, of which datasets.{name}.parts has none: {dataset['parts']}. Change one."


def variant_faults(params: Mapping[str, Any], name: str, wrong: set[str]) -> Iterator[str]:
    """Give the faults of one variant: its own fields, and its values laid over the sections of all variants."""
    own, where = params["variants"][name], f"variants.{name}"
    if faults := check_section(Variant, own, where):
        yield from (sentence for _, sentence in faults)
        return
    laid, right = {}, not wrong & set(OVERRIDES)
    for section, model in OVERRIDES.items():
        values = own.get(section)
        if values is not None and not isinstance(values, Mapping):
            known = ", ".join(model.model_fields)
            yield f"{where}.{section} is {values!r}; it must be fields and values, of {known}."
            right = False
            continue
        default = params[section] if isinstance(params[section], Mapping) else {}
        laid[section] = {**default, **(values or {})}
        for place, sentence in check_section(model, laid[section], f"{where}.{section}"):
            right = False
            if section not in wrong or (place and place[0] in (values or {})):
                yield sentence
    if not right:
        return
    loss, told = Loss(**laid["loss"]), own.get("loss") or {}
    if "margin" not in told and (fault := loss.inherits_a_margin(Loss(**params["loss"]))):
        yield f"{where}.loss.{fault}"
    losses = loss.comparing()
    if laid["train"]["photos_per_identity"] == 1 and losses:
        yield (
            f"{where}.train.photos_per_identity is 1, but its loss {' and '.join(losses)} compares two photos of an "
            "individual. Set it to 2 or more, or choose a loss of classes without miner_weights."
        )
    if laid["train"]["epochs"] == 0 and laid["model"]["depth"] != 0:
        yield (
            f"{where}.train.epochs is 0, so that its head would stay as random as it starts. Set {where}.model.depth "
            "to 0 to take the backbone's own features, or let it learn."
        )


def methods_by_part(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give each method's key and the part that it ranks crops of; what does not say its part is left out."""
    sections = [(f"{kind}.{name}", entry) for kind in METHODS for name, entry in params[kind].items()]
    sections += [(name, params[name]) for name in ("mlp", "pairs", "naive")]
    for where, entry in sections:
        part = entry.get("part") if isinstance(entry, Mapping) else None
        if part in PARTS:
            yield where, part


def left_out(params: Mapping[str, Any]) -> list[str]:
    """Return the methods of parts that are not among `parts`: they find no crop, and no table shows them."""
    return [where for where, part in methods_by_part(params) if part not in params["parts"]]


def part_faults(params: Mapping[str, Any]) -> Iterator[str]:
    """Give the parts that no method is for."""
    served = {part for _, part in methods_by_part(params)}
    if not served & set(params["parts"]):
        yield f"parts is {params['parts']}, but every method is for {' or '.join(sorted(served))}. Change one."


def method_faults(params: Mapping[str, Any]) -> Iterator[str]:
    """Give the faults of matchers and rematchers, as their own readers tell them; variants are right."""
    for section, read in (("matchers", read_matcher), ("rematchers", read_rematcher)):
        right = True
        for name, entry in params[section].items():
            try:
                if not isinstance(entry, Mapping):
                    raise PelageError(f"{section}.{name} is {entry!r}; it must be fields and values.")
                read(params, name)
            except PelageError as error:
                right = False
                yield str(error).removeprefix("params.yaml: ")
        if not right:
            return  # rematchers ask matchers for their part


def fusion_faults(params: Mapping[str, Any]) -> Iterator[str]:
    """Give the faults of the methods that are fused; all methods are right."""
    known = {name: entry.get("part", "flank") for section in METHODS for name, entry in params[section].items()}
    methods = params["fusion"]["methods"]
    unknown = [fault for name in methods for fault in _unknown(name, known, "fusion.methods", "methods")]
    yield from unknown
    parts = sorted({known[name] for name in methods if name in known})
    if not unknown and len(parts) > 1:
        yield f"fusion.methods rank crops of {' and '.join(parts)}. Fuse methods of one part."


def _unknown(name: Any, known: Mapping[str, Any], key: str, where: str) -> Iterator[str]:
    if not isinstance(name, str) or name not in known:
        yield f"{key} names {name!r}; {where} has {', '.join(map(str, known)) or 'none'}.{nearest(name, list(known))}"
