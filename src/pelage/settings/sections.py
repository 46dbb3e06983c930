"""Sections of params.yaml, a model each; what their fields mean stands in params.yaml itself.

Names that a room implements (losses, views, ...) are repeated here so that a check needs no library; tests hold both
together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, Strict, model_validator

from pelage.common.tables import PARTS
from pelage.settings.kinds import (
    BELOW_ONE,
    COUNT,
    FRACTION,
    FROM_ZERO,
    MAYBE_TEXT,
    POSITIVE,
    SEED,
    SHARE,
    TEXT,
    UP_TO_ONE,
    YES_OR_NO,
    Section,
    check_section,
    number,
    one_of,
    refuse,
    whole,
    worded,
)

BOXES = ("embedded", "megadetector", "columns", "whole", "saliency")
"""How animals are found; `saliency` is the former name of `embedded`."""

VIEWS = ("crop", "nobg", "crop_edge", "nobg_edge")
SEGMENTERS = (
    *("u2netp", "u2net", "u2net_human_seg", "silueta", "isnet-general-use", "isnet-anime", "bria-rmbg"),
    *("birefnet-general", "birefnet-general-lite", "birefnet-portrait", "birefnet-dis"),
    *("birefnet-hrsod", "birefnet-cod", "birefnet-massive"),
)
PAIR_LOSSES = ("contrastive", "triplet", "circle")
LOSSES = (*PAIR_LOSSES, "arcface", "subcenter_arcface", "cosface", "adaptive_cosface", "softmax")
MINERS = ("all", "easy", "semihard", "hard", "batch_hard", "one_semihard", "none")
MARGIN_MINERS = ("all", "easy", "semihard", "one_semihard")
MARGIN_UNITS = {
    "circle": "a cosine", "cosface": "a cosine", "adaptive_cosface": "a cosine",
    "arcface": "an angle in radians", "subcenter_arcface": "an angle in radians",
}  # fmt: skip
"""What the margin of a loss is; that of contrastive and triplet is a distance, softmax has none."""

NONE = (None, "none")
"""How a second loss is left out."""

SOURCES = {
    "synthetic": ("seed", "individuals", "stations", "days", "photos"),
    "folder": ("path",),
    "git": ("url", "commit"),
    "camtrap_dp": ("path",),
}
"""Sources of photos, and the keys that each needs."""

PART = one_of(*PARTS)
VIEW = one_of(*VIEWS)
DROP_OR_KEEP = one_of("drop", "keep")
BITS = whole(0, 64)


def different(values: list[Any]) -> list[Any]:
    """Return a list whose values all differ.

    Raises:
        ValueError: Two are the same.
    """
    if len(values) > len(set(values)):
        raise ValueError("two are the same")
    return values


def list_of(kind: Any, words: str, *checks: Any) -> Any:
    """Return the type of lists of at least one value of a kind."""
    return worded(Annotated[list[kind], Field(min_length=1), *checks], words)


ALL_PARTS = list_of(PART, f"a list of different parts, of {', '.join(PARTS)}", AfterValidator(different))
SEEDS = list_of(SEED, "a list of different whole numbers from 0, such as [1, 2, 3]", AfterValidator(different))
COUNTS = list_of(COUNT, "a list of whole numbers from 1")
WORD = Annotated[str, Strict(), Field(pattern=r"\S")]
SPECIES = list_of(WORD, "a list of words, such as [leopard]") | None
RESULTS = worded(
    WORD | Annotated[list[WORD], Field(min_length=1)] | None, "the path of a results file, or a list of paths"
)
SHA256 = worded(
    Annotated[str, Strict(), Field(pattern=r"^[0-9a-fA-F]{64}$")] | None, "64 hexadecimal digits, or nothing"
)
DAY = Annotated[str, Strict(), AfterValidator(date.fromisoformat)]
HABITAT = worded(POSITIVE | TEXT | None, "metres above 0 around the stations, or the path of a GeoJSON or CSV file")


class Ingest(Section):
    """Section `ingest`."""

    dataset: Any  # checked with the names of data sets
    photos: one_of("copy", "reflink")


class Source(Section):
    """Where photos come from; keys of other kinds of sources may stay, so that one override redirects an entry."""

    source: one_of(*SOURCES) | None = None
    seed: SEED = 0
    individuals: COUNT = 1
    stations: COUNT = 1
    days: COUNT = 1
    photos: COUNT = 1
    path: MAYBE_TEXT = None
    metadata: MAYBE_TEXT = None
    deployments: MAYBE_TEXT = None
    path_pattern: MAYBE_TEXT = None
    identity_level: worded(SEED | one_of("none") | None, "a whole number from 0, or none") = None
    date_order: one_of("dmy", "mdy") | None = None
    url: MAYBE_TEXT = None
    commit: MAYBE_TEXT = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name in SOURCES.get(self.source, ()):
            if name not in self.model_fields_set or getattr(self, name) in (None, ""):
                raise refuse(f"{name} is missing, which the source {self.source} needs. Add it.")
        if self.source == "git" and not re.fullmatch(r"[0-9a-f]{40}", self.commit):
            raise refuse(f"commit is {self.commit!r}; it must be the commit's 40 hexadecimal digits.")
        if self.source != "git" and "://" in (self.path or ""):
            raise refuse(
                f"path is {self.path!r}, an address. Photos are read from folders: mount the bucket (rclone mount, "
                "mount-s3, gcsfuse), read-only, and give the path of the mount."
            )
        if self.path_pattern:
            _check_pattern(self.path_pattern)
        return self


def _check_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise refuse(f"path_pattern is no regular expression: {error} in {pattern!r}. Mend it.") from None
    if not groups or "path" in groups:
        raise refuse(
            f"path_pattern is {pattern!r}; it needs named groups such as (?P<identity>...), and none called path."
        )


class NamedSource(Source):
    """An entry of a data set's `sources`."""

    name: Any  # checked with the other names

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.source is None:
            raise refuse(f"source is missing; it must be one of {', '.join(SOURCES)}.")
        return self


class Dataset(Source):
    """An entry of `datasets`: one source, or several `sources`."""

    sources: list[NamedSource] | None = None
    boxes: one_of(*BOXES) = "embedded"
    habitat: HABITAT = None
    results: RESULTS = None
    species: SPECIES = None
    part: PART | None = None
    parts: ALL_PARTS = Field(default_factory=lambda: list(PARTS))
    curated: YES_OR_NO = False
    one_animal: YES_OR_NO = False
    split_column: MAYBE_TEXT = None
    published_leaks: YES_OR_NO = False

    @model_validator(mode="after")
    def _has_sources_and_a_part(self) -> Self:
        if self.source is None and not self.sources:
            raise refuse(f"source is missing; it must be one of {', '.join(SOURCES)}; or give several as `sources`.")
        if self.source is not None and self.sources:
            raise refuse("sources stands beside `source`. Keep one of them; `source` can be an entry of `sources`.")
        if self.results is not None and self.boxes != "megadetector":
            raise refuse(
                f"results names the boxes of a detector, but boxes is {self.boxes!r}. Set boxes to megadetector, or "
                "take results away."
            )
        if self.boxes in ("columns", "whole") and self.part is None:
            raise refuse(f"part is missing, which boxes {self.boxes!r} need: say what they show, {' or '.join(PARTS)}.")
        return self


class Clean(Section):
    """Section `clean`."""

    min_side: whole(0)
    min_sharpness: FROM_ZERO
    max_overexposed: SHARE
    max_underexposed: SHARE
    duplicates: DROP_OR_KEEP
    near_duplicates: DROP_OR_KEEP
    near_duplicate_bits: BITS
    near_duplicate_change: SHARE


class MegaDetector(Section):
    """Section `detect.megadetector`."""

    model: TEXT
    sha256: SHA256
    min_score: SHARE


class Detect(Section):
    """Section `detect`."""

    backend: one_of("auto", *BOXES)
    threshold: SHARE
    min_score: SHARE
    min_area: SHARE
    shared_score: SHARE
    median_background_from: whole(0)
    people: one_of("set_aside", "keep")
    people_score: SHARE
    megadetector: MegaDetector


class Crop(Section):
    """Section `crop`."""

    padding: FROM_ZERO
    max_side: COUNT


class Background(Section):
    """Section `background`."""

    model: one_of(*SEGMENTERS)
    reference: MAYBE_TEXT
    fill: one_of("black", "grey", "white", "alpha")
    min_cover: SHARE
    max_cover: SHARE
    min_coat: SHARE

    @model_validator(mode="after")
    def _covers_are_in_order(self) -> Self:
        if self.min_cover > self.max_cover:
            raise refuse(
                f"min_cover is {self.min_cover:g}; it must be at most background.max_cover ({self.max_cover:g})."
            )
        return self


class Edges(Section):
    """Section `edges`."""

    method: one_of("canny", "hed")
    low: FROM_ZERO
    high: FROM_ZERO
    automatic: YES_OR_NO

    @model_validator(mode="after")
    def _thresholds_are_in_order(self) -> Self:
        if self.low > self.high:
            raise refuse(f"low is {self.low:g}; it must be at most edges.high ({self.high:g}).")
        return self


class Split(Section):
    """Section `split`."""

    source: one_of("drawn", "column")
    seed: SEED
    burst_gap_s: FROM_ZERO
    revisit_gap_s: FROM_ZERO
    shared: DROP_OR_KEEP
    novel: SHARE
    val_novel: SHARE
    val: SHARE
    test: SHARE

    @model_validator(mode="after")
    def _shares_leave_something(self) -> Self:
        for one, two, whose in (("novel", "val_novel", "individuals"), ("val", "test", "encounters")):
            if getattr(self, one) + getattr(self, two) > 1:
                raise refuse(
                    f"{one} and split.{two} are {getattr(self, one)} and {getattr(self, two)} of all {whose}; together "
                    "they must be at most 1."
                )
        return self


class CheckLeakage(Section):
    """Section `check_leakage`."""

    near_duplicate_bits: BITS
    max_resting_on_nothing: SHARE


class Model(Section):
    """Section `model`."""

    backbone: TEXT
    weights: TEXT
    rename: worded(dict[str, str], "beginnings of names and what they become, such as {encoder.body.: stages.}")
    normalise: one_of("imagenet", "half", "backbone")
    edge_filters: one_of("zeros", "red") = "zeros"
    stride: worded(COUNT | one_of("none"), "a whole number from 1, or none")
    pooling: one_of("avg", "gem", "grid", "cls")
    grid: worded(Annotated[list[COUNT], Field(min_length=2, max_length=2)], "rows and columns, such as [2, 4]")
    dim: COUNT
    depth: whole(0)
    hidden: COUNT
    dropout: BELOW_ONE
    batch_norm: YES_OR_NO
    width: COUNT | None
    height: COUNT | None


class LossTerm(Section):
    """A loss, alone or one of two that are added."""

    name: one_of(*LOSSES)
    margin: number("a number from 0 to 2", ge=0, le=2)
    scale: POSITIVE
    miner: one_of(*MINERS)
    miner_margin: worded(number("", ge=0, le=2) | one_of("same"), "a number from 0 to 2, or same") = "same"
    random_epochs: whole(0) = 0
    miner_weights: YES_OR_NO = False
    centres: one_of("learnt", "fixed") = "learnt"
    distance: one_of("l2", "l2_squared", "cosine") = "l2"
    form: one_of("margin", "soft_margin", "smooth") = "margin"
    sub_centers: COUNT = 3
    normalized: YES_OR_NO = True

    @model_validator(mode="after")
    def _teaches_something(self) -> Self:
        if (self.name, self.form, self.miner) == ("triplet", "margin", "easy"):
            raise refuse(
                "miner is 'easy', but easy triplets keep the margin already and teach nothing. Choose another miner, "
                "or the form soft_margin or smooth."
            )
        if self._takes_its_margin() and self.name in MARGIN_UNITS:
            raise refuse(
                f"miner_margin is 'same', but the margin of {self.name} is {MARGIN_UNITS[self.name]}, and that of the "
                f"miner {self.miner} a distance ({self.distance}). Give miner_margin a number, such as 0.2."
            )
        return self

    def _takes_its_margin(self) -> bool:
        mined = self.name in PAIR_LOSSES or self.miner_weights
        return mined and self.miner in MARGIN_MINERS and self.miner_margin == "same"

    def margin_unit(self) -> str | None:
        """Return what `margin` is, or None if it says nothing."""
        soft = (self.name, self.form) == ("triplet", "soft_margin") and not self._takes_its_margin()
        if self.name == "softmax" or soft:
            return None
        return MARGIN_UNITS.get(self.name, f"a distance ({self.distance})")

    def inherits_a_margin(self, other: LossTerm) -> str:
        """Return what is wrong with taking over `other`'s margin; nothing if both have the same unit."""
        unit = self.margin_unit()
        if unit in (None, other.margin_unit()):
            return ""
        was = other.margin_unit() or "of no meaning"
        return (
            f"margin is missing: {other.margin:g}, that of {other.name}, is {was}, and the margin of {self.name} is "
            f"{unit}. Add it."
        )


class SecondLoss(LossTerm):
    """A loss that is added, with its factor."""

    weight: POSITIVE = 1.0


class Loss(LossTerm):
    """Section `loss`."""

    plus: Any = "none"

    @model_validator(mode="after")
    def _adds_a_loss(self) -> Self:
        if self.plus in NONE:
            return self
        if not isinstance(self.plus, Mapping):
            raise refuse(
                f"plus is {self.plus!r}; it must be none or fields of a second loss, such as "
                "{name: triplet, weight: 0.5, miner: batch_hard, margin: 0.3}."
            )
        if faults := check_section(SecondLoss, self.second(), "plus"):
            raise refuse(" ".join(sentence for _, sentence in faults))
        if "margin" not in self.plus and (fault := SecondLoss(**self.second()).inherits_a_margin(self)):
            raise refuse(f"plus.{fault}")
        return self

    def second(self) -> dict[str, Any]:
        """Return the fields of the second loss; what it leaves out is the first one's, save the name."""
        return {**self.model_dump(exclude={"name", "plus"}), "name": None, **self.plus}

    def comparing(self) -> list[str]:
        """Return the names of those losses that teach nothing unless two photos of an individual meet."""
        terms = [self, *([] if self.plus in NONE else [SecondLoss(**self.second())])]
        mined = [term for term in terms if term.name in PAIR_LOSSES or (term.miner_weights and term.miner != "none")]
        return [term.name for term in mined]


class Train(Section):
    """Section `train`."""

    seeds: SEEDS
    epochs: whole(0)
    patience: COUNT
    validate_every: COUNT
    umap_every: whole(0)
    sampler: one_of("balanced", "exhaustive", "shuffled")
    min_photos: COUNT
    identities_per_batch: whole(2)
    photos_per_identity: COUNT
    accumulate: COUNT
    optimizer: one_of("adamw", "adam", "sgd")
    momentum: BELOW_ONE
    lr: POSITIVE
    backbone_lr_ratio: FROM_ZERO
    layer_decay: UP_TO_ONE
    weight_decay: FROM_ZERO
    schedule: one_of("constant", "cosine", "one_cycle", "plateau")
    warmup: SHARE
    plateau_factor: FRACTION
    plateau_patience: whole(0)
    clip_norm: FROM_ZERO
    ema: BELOW_ONE
    freeze_backbone: whole(0)
    freeze_norm: YES_OR_NO
    precision: one_of("auto", "fp32", "bf16", "fp16")
    channels_last: YES_OR_NO
    compile: YES_OR_NO
    processes: COUNT
    workers: whole(0)

    @model_validator(mode="after")
    def _validates_in_time(self) -> Self:
        if self.patience < self.validate_every:
            raise refuse(
                f"patience is {self.patience}; it must be at least train.validate_every ({self.validate_every}), or "
                "training stops before anything is validated."
            )
        return self


class Augment(Section):
    """Section `augment`."""

    rotation: number("a number of degrees from 0 to 180", ge=0, le=180)
    perspective: BELOW_ONE
    crop: BELOW_ONE
    colour: SHARE
    grey: SHARE
    blur: SHARE
    background: SHARE
    erase: SHARE
    flip: one_of("auto", "others", "always", "never")


class Embed(Section):
    """Section `embed`."""

    batch: COUNT
    tta: one_of("none", "flips", "reflections", "multi_crop")
    precision: one_of("float32", "float16")
    format: one_of("parquet", "safetensors")


class Compute(Section):
    """Section `compute`."""

    device: one_of("auto", "cpu", "cuda")
    threads: whole(0)
    backend: one_of("local", "dask")
    scheduler: MAYBE_TEXT


class Search(Section):
    """Section `search`."""

    depth: COUNT
    whole: whole(0)
    same_side: YES_OR_NO = False
    index: one_of("auto", "flat", "hnsw", "ivf_pq") = "auto"
    expansion: whole(0) = 0
    alpha: FROM_ZERO = 3.0
    rerank: whole(0) = 0
    rerank_depth: COUNT = 100
    rerank_mean: COUNT = 6
    rerank_mix: SHARE = 0.3
    aggregate: one_of("max", "mean", "nsum") = "max"
    neighbours: COUNT = 20

    @model_validator(mode="after")
    def _ranks_what_it_looks_at(self) -> Self:
        ranked = self.rerank_depth if self.rerank else self.depth
        if self.aggregate != "max" and self.neighbours > ranked:
            raise refuse(f"neighbours is {self.neighbours}; only {ranked} candidates are ranked. Lower it.")
        if self.rerank and self.rerank_depth <= max(self.rerank, self.rerank_mean):
            raise refuse(
                f"rerank_depth is {self.rerank_depth}; it must be more than search.rerank and search.rerank_mean "
                f"({self.rerank} and {self.rerank_mean})."
            )
        return self


class Fusion(Section):
    """Section `fusion`."""

    methods: worded(
        Annotated[list[str], Field(min_length=2), AfterValidator(different)], "a list of two or more methods, each once"
    )
    rule: one_of("auto", "pool", "placed", "listwise", "mean")
    calibration: one_of("logistic", "isotonic", "pchip")
    shortlist: COUNT
    photos: COUNT


class Individuals(Section):
    """Section `individuals`."""

    probability: FRACTION
    draws: COUNT
    speed_m_per_s: worded(POSITIVE | None, "a number above 0, or nothing")
    seed: SEED


class Mlp(Section):
    """Section `mlp`."""

    part: PART
    view: VIEW
    side: COUNT
    hidden: list_of(list[COUNT], "a list of networks, each a list of whole numbers from 1, such as [[16], [64, 64]]")
    rates: list_of(POSITIVE, "a list of numbers above 0")
    batches: COUNTS
    epochs: COUNT
    patience: COUNT
    folds: whole(2)
    seed: SEED


class Pairs(Section):
    """Section `pairs`."""

    part: PART
    side: COUNT
    keypoints: COUNT
    rounds: COUNT
    patience: COUNT
    learning_rate: POSITIVE
    num_leaves: whole(2)
    min_data_in_leaf: whole(0)
    seed: SEED


class Naive(Section):
    """Section `naive`."""

    part: PART
    seed: SEED


class Evaluate(Section):
    """Section `evaluate`."""

    confidence: FRACTION
    false_match_rate: FRACTION


class Count(Section):
    """Section `count`."""

    occasion_days: COUNT
    first: worded(DAY | None, 'a day in quotation marks, such as "2025-03-01", or nothing')
    last: worded(DAY | None, 'a day in quotation marks, such as "2025-03-01", or nothing')
    detection: one_of("half_normal", "exponential", "hazard_half_normal")
    ghosts: SHARE


class Insight(Section):
    """Section `insight`."""

    variant: Any  # checked with the names of variants
    queries: whole(0)
    classes: whole(0)
    steps: COUNT
    rate: FROM_ZERO
    tv: FROM_ZERO
    l2: FROM_ZERO
    jitter: whole(0)
    blur: FROM_ZERO
    seed: SEED


class Report(Section):
    """Section `report`."""

    seed: SEED
    examples: COUNT
    candidates: COUNT


class Variant(Section):
    """An entry of `variants`; its sections are checked when they lie over the others."""

    part: PART
    view: VIEW
    model: Any = None
    loss: Any = None
    train: Any = None
    augment: Any = None


class Params(Section):
    """All of params.yaml; entries that have a name are checked one by one."""

    ingest: Ingest
    datasets: Any
    clean: Clean
    detect: Detect
    crop: Crop
    background: Background
    edges: Edges
    parts: ALL_PARTS
    split: Split
    check_leakage: CheckLeakage
    model: Model
    loss: Loss
    train: Train
    augment: Augment
    embed: Embed
    compute: Compute
    search: Search
    variants: Any
    matchers: Any
    rematchers: Any
    fusion: Fusion
    individuals: Individuals
    mlp: Mlp
    pairs: Pairs
    naive: Naive
    evaluate: Evaluate
    count: Count
    insight: Insight
    report: Report
