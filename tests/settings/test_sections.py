"""Sections: what is not right is named, with what it may be and the nearest right word."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pelage import presets
from pelage.animals import spatial
from pelage.common import workers
from pelage.common.params import read_params
from pelage.losses import registry
from pelage.losses.mining import DISTANCES, MARGIN_MINERS, MINERS
from pelage.matching.search import names as aggregates
from pelage.matching.search import vector_index
from pelage.model import backbone, compute, crops, embedder, embeddings, pooling
from pelage.preprocess import background, detect
from pelage.preprocess.detectors import wanted
from pelage.settings import sections
from pelage.settings.check import find_faults
from pelage.settings.sections import Params
from pelage.training import augment, optimisation, sampler, schedule

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


def test_the_projects_own_parameters_are_right(params):
    assert list(find_faults(params)) == []


@pytest.mark.parametrize("name", presets.preset_names(ROOT / "presets"))
def test_the_parameters_of_every_preset_are_right(name):
    assert list(find_faults(presets.laid_over(TEXT, presets.read_preset(name, ROOT / "presets")))) == []


def test_every_section_and_every_field_has_a_model(params):
    assert set(params) == set(Params.model_fields)
    for name, section in params.items():
        model = Params.model_fields[name].annotation
        if isinstance(section, dict) and model is not Any:
            assert set(section) <= set(model.model_fields), name


def allowed(model: type, field: str) -> set[str]:
    """Words that a field of a model may be, from its schema."""
    return set(model.model_json_schema()["properties"][field]["enum"])


def test_words_are_those_that_the_rooms_know():
    assert sections.LOSSES == registry.LOSSES and tuple(registry.PAIR_LOSSES) == sections.PAIR_LOSSES
    assert sections.MINERS == MINERS and sections.MARGIN_MINERS == MARGIN_MINERS
    assert set(sections.LOSSES) == {*sections.MARGIN_UNITS, *registry.DISTANCE_LOSSES, "softmax"}
    assert tuple(crops.VIEWS) == sections.VIEWS
    assert (*wanted.BACKENDS, *wanted.OLD_NAMES) == sections.BOXES and sections.PARTS == detect.PARTS
    assert ("u2netp", *background.OTHER_MODELS) == sections.SEGMENTERS
    for model, field, words in (
        (sections.LossTerm, "distance", DISTANCES),
        (sections.LossTerm, "form", registry.FORMS),
        (sections.Count, "detection", spatial.KERNELS),
        (sections.LossTerm, "centres", registry.CENTRES),
        (sections.Background, "fill", background.FILLS),
        (sections.Model, "edge_filters", backbone.EDGE_FILTERS),
        (sections.Model, "pooling", pooling.POOLINGS),
        (sections.Model, "normalise", embedder.NORMALISATIONS),
        (sections.Train, "optimizer", optimisation.OPTIMIZERS),
        (sections.Train, "sampler", sampler.SAMPLERS),
        (sections.Train, "precision", optimisation.PRECISIONS),
        (sections.Train, "schedule", schedule.SCHEDULES),
        (sections.Augment, "flip", augment.FLIPS),
        (sections.Embed, "tta", embeddings.AUGMENTATIONS),
        (sections.Embed, "precision", embeddings.PRECISIONS),
        (sections.Embed, "format", embeddings.FORMATS),
        (sections.Compute, "device", compute.DEVICES),
        (sections.Compute, "backend", workers.BACKENDS),
        (sections.Search, "index", ("auto", *vector_index.KINDS)),
        (sections.Search, "aggregate", aggregates.AGGREGATES),
    ):
        assert allowed(model, field) == set(words), field


MISSPELT = [
    ("datasets.demo.boxes", "embeded", "embedded"),
    ("datasets.demo.source", "sinthetic", "synthetic"),
    ("datasets.demo.date_order", "ddmy", "dmy"),
    ("clean.duplicates", "dropp", "drop"),
    ("clean.near_duplicates", "kep", "keep"),
    ("ingest.photos", "copi", "copy"),
    ("ingest.dataset", "dmeo", "demo"),
    ("edges.method", "cany", "canny"),
    ("split.source", "drwan", "drawn"),
    ("split.shared", "droop", "drop"),
    ("background.fill", "blakc", "black"),
    ("background.model", "u2-net", "u2net"),
    ("detect.backend", "Megadetektor", "megadetector"),
    ("model.pooling", "grd", "grid"),
    ("model.normalise", "imagnet", "imagenet"),
    ("loss.name", "arcfaze", "arcface"),
    ("loss.miner", "semi_hard", "semihard"),
    ("train.optimizer", "adamW", "adamw"),
    ("train.schedule", "cosin", "cosine"),
    ("augment.flip", "allways", "always"),
    ("embed.format", "parket", "parquet"),
    ("compute.backend", "dsk", "dask"),
    ("search.index", "flatt", "flat"),
    ("fusion.calibration", "logistik", "logistic"),
    ("fusion.methods", ["sift_lnbn", "cosface"], "sift_lnbnn"),
    ("mlp.view", "nobgg", "nobg"),
    ("pairs.part", "flnak", "flank"),
    ("insight.variant", "cosfacce", "cosface"),
    ("variants.triplet.view", "crop_egde", "crop_edge"),
    ("variants.triplet.loss.name", "tripet", "triplet"),
    ("variants.triplet.train.optimizer", "sdg", "sgd"),
    ("matchers.sift_lnbnn.kind", "sift_lnbn", "sift_lnbnn"),
    ("matchers.hotspotter_fast.preset", "fsat", "fast"),
]


@pytest.mark.parametrize(("key", "value", "right"), MISSPELT)
def test_a_misspelt_value_is_named_with_the_nearest_right_one(faults, key, value, right):
    (told,) = faults((key, value))
    assert key in told and f"Did you mean {right!r}?" in told


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("trian", "train"),
        ("train.lrr", "lr"),
        ("model.dropuot", "dropout"),
        ("detect.megadetector.modell", "model"),
        ("datasets.demo.indivduals", "individuals"),
        ("variants.triplet.trian", "train"),
        ("variants.triplet.loss.margn", "margin"),
        ("matchers.sift_lnbnn.keypoint", "keypoints"),
        ("clean.minside", "min_side"),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_right_one(faults, key, right):
    (told,) = faults((key, 1))
    assert f"{key.split('.')[-1]!r}; known are " in told and f"Did you mean {right!r}?" in told


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.epochs", -1, "a whole number from 0"),
        ("train.epochs", 2.5, "a whole number from 0"),
        ("train.identities_per_batch", 1, "a whole number from 2"),
        ("train.accumulate", True, "a whole number from 1"),
        ("train.momentum", 1.0, "a number from 0 to below 1"),
        ("train.lr", 0, "a number above 0"),
        ("train.lr", math.nan, "a number above 0"),
        ("train.lr", True, "a number above 0"),
        ("train.layer_decay", 0, "a number above 0, at most 1"),
        ("train.warmup", 1.1, "a number from 0 to 1"),
        ("train.plateau_factor", 1, "a number between 0 and 1"),
        ("train.channels_last", "yes", "true or false"),
        ("train.seeds", 2, "a list of different whole numbers from 0, such as [1, 2, 3]"),
        ("train.seeds", [], "a list of different whole numbers from 0, such as [1, 2, 3]"),
        ("train.seeds", [1, 2, 1], "a list of different whole numbers from 0, such as [1, 2, 3]"),
        ("train.seeds", [True], "a list of different whole numbers from 0, such as [1, 2, 3]"),
        ("loss.margin", 28.6, "a number from 0 to 2"),
        ("loss.normalized", "no", "true or false"),
        ("loss.sub_centers", 1.5, "a whole number from 1"),
        ("insight.steps", 0, "a whole number from 1"),
        ("insight.classes", True, "a whole number from 0"),
        ("insight.blur", math.nan, "a number from 0"),
        ("search.expansion", -1, "a whole number from 0"),
        ("fusion.methods", ["cosface"], "a list of two or more methods, each once"),
        ("fusion.methods", ["cosface", "cosface"], "a list of two or more methods, each once"),
        ("fusion.photos", 0, "a whole number from 1"),
        ("clean.max_overexposed", 15, "a number from 0 to 1"),
        ("clean.near_duplicate_bits", 65, "a whole number from 0 to 64"),
        ("check_leakage.max_resting_on_nothing", -0.1, "a number from 0 to 1"),
        ("split.revisit_gap_s", -1, "a number from 0"),
        ("parts", ["flank", "flank"], "a list of different parts, of flank, face"),
        ("datasets.demo.parts", None, "a list of different parts, of flank, face"),
        ("parts", ["tail"], "a list of different parts, of flank, face"),
        ("model.grid", [2], "rows and columns, such as [2, 4]"),
        ("model.stride", "all", "a whole number from 1, or none"),
        ("mlp.hidden", [16], "a list of networks, each a list of whole numbers from 1, such as [[16], [64, 64]]"),
        ("datasets.demo.identity_level", "outer", "a whole number from 0, or none"),
        ("datasets.demo.path", 2024, "a text, or nothing"),
        ("compute.scheduler", 3, "a text, or nothing"),
    ],
)
def test_what_does_not_fit_is_told_with_what_does(faults, key, value, words):
    (told,) = faults((key, value))
    assert told == f"{key} is {value!r}; it must be {words}."


def test_a_number_in_quotation_marks_is_told(faults, tmp_path):
    assert faults(("train.lr", 2e-05)) == []
    (told,) = faults(("train.lr", "2e-05"))
    assert told == "train.lr is '2e-05'; it must be a number above 0. It is a text: take its quotation marks away."
    (tmp_path / "params.yaml").write_text(TEXT.replace("lr: 0.002 ", "lr: 2e-05 "))
    assert read_params(tmp_path / "params.yaml")["train"]["lr"] == 2e-05
    assert list(find_faults(read_params(tmp_path / "params.yaml"))) == []


def test_what_is_missing_is_told(faults, params):
    assert faults(("train", ...)) == ["it lacks the section 'train'. Add it."]
    assert faults(("train.lr", ...)) == ["train lacks the field 'lr'. Add it."]
    assert faults(("variants.triplet.view", ...)) == ["variants.triplet lacks the field 'view'. Add it."]
    (told,) = faults(("train", 3))
    assert told.startswith("train is 3; it must be fields and values, of seeds, epochs, ")
    (told,) = faults(("variants", ["a"]))
    assert told == "variants is ['a']; it must be names and their fields."
    (told,) = find_faults(None)
    assert told.startswith("it holds None; it must have the sections ingest, ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("train.patience", 3)], "train.patience is 3; it must be at least train.validate_every (4), or training"),
        ([("split.novel", 0.7), ("split.val_novel", 0.4)], "split.novel and split.val_novel are 0.7 and 0.4 of all "),
        ([("split.val", 0.9)], "split.val and split.test are 0.9 and 0.2 of all encounters; together they must be"),
        ([("background.min_cover", 0.99)], "background.min_cover is 0.99; it must be at most background.max_cover"),
        ([("edges.low", 200)], "edges.low is 200; it must be at most edges.high (160)"),
        ([("search.rerank", 100)], "search.rerank_depth is 100; it must be more than search.rerank and"),
        ([("search.aggregate", "mean"), ("search.neighbours", 3000)], "search.neighbours is 3000; only 200 candid"),
        ([("loss.name", "triplet"), ("loss.miner", "easy")], "loss.miner is 'easy', but easy triplets keep"),
        ([("loss.plus", "triplet")], "loss.plus is 'triplet'; it must be none or fields of a second loss"),
        ([("loss.plus", {"name": "tripled"})], "loss.plus.name is 'tripled'; it must be one of contrastive"),
        ([("loss.plus", {"weight": 1})], "loss.plus.name is None; it must be one of"),
        ([("loss.plus", {"name": "triplet", "weight": 0})], "loss.plus.weight is 0; it must be a number above 0."),
        ([("loss.plus", {"name": "triplet", "margn": 1})], "loss.plus has the unknown field 'margn'; known are"),
    ],
)
def test_what_fields_ask_of_each_other(faults, changes, words):
    (told,) = faults(*changes)
    assert told.startswith(words)
    assert faults(("loss.plus", {"name": "triplet", "weight": 0.5, "margin": 0.3})) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("loss.plus", {"name": "triplet"})], "loss.plus.margin is missing: 0.28, that of adaptive_cosface, is a "),
        ([("variants.cosface.loss", {"name": "arcface"})], "variants.cosface.loss.margin is missing: 0.28, that of "
         "adaptive_cosface, is a cosine, and the margin of arcface is an angle in radians. Add it."),
        ([("variants.triplet.loss.margin", ...)], "variants.triplet.loss.margin is missing: 0.28, that of"),
        ([("loss.name", "softmax")], "variants.cosface.loss.margin is missing: 0.28, that of softmax, is of no"),
        ([("variants.cosface.loss.miner_weights", True)], "variants.cosface.loss.miner_margin is 'same', but the "
         "margin of cosface is a cosine, and that of the miner semihard a distance (l2). Give miner_margin a number"),
        ([("variants.cosface.loss.name", "circle")], "variants.cosface.loss.miner_margin is 'same', but the margin of"),
        ([("loss.miner_margin", 3)], "loss.miner_margin is 3; it must be a number from 0 to 2, or same."),
    ],
)  # fmt: skip
def test_a_margin_is_never_taken_for_one_of_another_unit(faults, changes, words):
    told = faults(*changes)
    assert any(sentence.startswith(words) for sentence in told), told


def test_margins_of_the_same_unit_are_inherited(faults):
    for loss in (
        {"name": "cosface"},
        {"name": "circle", "miner": "none"},
        {"name": "circle", "miner_margin": 0.2},
        {"name": "softmax"},
        {"name": "triplet", "form": "soft_margin", "miner_margin": 0.2},
        {"name": "arcface", "margin": 0.5, "miner_weights": True, "miner": "hard"},
    ):
        assert faults(("variants.cosface.loss", loss)) == []


def test_losses_that_compare_photos_are_those_of_the_registry(params):
    for config in (
        *({**params["loss"], "name": name, "miner_margin": 0.2} for name in sections.LOSSES),
        {**params["loss"], "plus": {"name": "triplet", "miner": "batch_hard", "margin": 0.3}},
        {**params["loss"], "miner_weights": True, "miner_margin": 0.2},
        {**params["loss"], "miner_weights": True, "miner": "none"},
    ):
        assert sections.Loss(**config).comparing() == registry.comparing(config)


FOLDER = {"source": "folder", "path": "../photos"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "datasets.mine.source is missing; it must be one of synthetic, folder, git, camtrap_dp; or give several"),
        ({"source": "folder"}, "datasets.mine.path is missing, which the source folder needs. Add it."),
        ({"source": "folder", "path": ""}, "datasets.mine.path is missing, which the source folder needs."),
        ({"source": "folder", "path": "s3://photos/2024"}, "datasets.mine.path is 's3://photos/2024', an address. Pho"),
        ({"source": "git", "url": "u"}, "datasets.mine.commit is missing, which the source git needs."),
        ({"source": "git", "url": "u", "commit": "abc"}, "datasets.mine.commit is 'abc'; it must be the commit's 40"),
        ({**FOLDER, "boxes": "whole"}, "datasets.mine.part is missing, which boxes 'whole' need: say what they show"),
        (
            {**FOLDER, "results": "md.json"},
            "datasets.mine.results names the boxes of a detector, but boxes is 'embedded'",
        ),
        ({**FOLDER, "boxes": "megadetector", "results": []}, "datasets.mine.results is []; it must be the path of a"),
        (
            {**FOLDER, "boxes": "megadetector", "results": 3},
            "datasets.mine.results is 3; it must be the path of a results",
        ),
        ({**FOLDER, "species": "leopard"}, "datasets.mine.species is 'leopard'; it must be a list of words, such as"),
        ({**FOLDER, "species": ["a", " "]}, "datasets.mine.species is ['a', ' ']; it must be a list of words"),
        ({**FOLDER, "path_pattern": "(?P<identity>"}, "datasets.mine.path_pattern is no regular expression: "),
        ({**FOLDER, "path_pattern": "(a)"}, "datasets.mine.path_pattern is '(a)'; it needs named groups such as"),
        ({**FOLDER, "path_pattern": "(?P<path>a)"}, "datasets.mine.path_pattern is '(?P<path>a)'; it needs named"),
        ({**FOLDER, "sources": [{"name": "a", **FOLDER}]}, "datasets.mine.sources stands beside `source`."),
        ({"sources": [{"name": "a"}]}, "datasets.mine.sources[0].source is missing; it must be one of synthetic"),
        ({"sources": [{**FOLDER}]}, "datasets.mine.sources[0] lacks the field 'name'. Add it."),
        ({"sources": [{"name": "a", **FOLDER, "pth": 1}]}, "datasets.mine.sources[0] has the unknown field 'pth'"),
        ("../photos", "datasets.mine is '../photos'; it must be fields and values, of source, "),
    ],
)
def test_a_data_set_is_complete(faults, entry, words):
    (told,) = faults(("datasets.mine", entry))
    assert told.startswith(words)


def test_boxes_of_others_are_named_and_checked(faults):
    entry = {**FOLDER, "boxes": "megadetector", "results": "../md.json", "species": ["leopard", "cat family"]}
    assert faults(("datasets.mine", entry)) == []
    assert faults(("datasets.mine", {**entry, "results": ["a.json", "b.json"]})) == []
    assert faults(("datasets.mine", {**FOLDER, "boxes": "saliency"}), ("detect.backend", "saliency")) == []
    assert faults(("detect.megadetector.sha256", "A" * 64)) == []
    (told,) = faults(("detect.megadetector.sha256", "abc"))
    assert told == "detect.megadetector.sha256 is 'abc'; it must be 64 hexadecimal digits, or nothing."
    (told,) = faults(("detect.people", "hide"))
    assert told.startswith("detect.people is 'hide'; it must be one of set_aside, keep.")


def test_data_sets_of_all_kinds_are_right(faults):
    several = [
        {"name": "catalogue", **FOLDER, "identity_level": 1, "date_order": "dmy"},
        {"name": "survey", **FOLDER, "identity_level": "none"},
        {"name": "package", "source": "camtrap_dp", "path": "../package.zip"},
    ]
    redirected = {"source": "folder", "path": "../photos", "url": "u", "commit": "abc", "seed": 3}
    assert faults(("datasets.mine", {"sources": several}), ("datasets.other", redirected)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("split.source", "column")], "split.source is 'column', but datasets.demo.split_column does not say which."),
        ([("detect.backend", "whole")], "detect.backend is 'whole', but datasets.demo.part does not say what"),
        ([("datasets.demo.parts", ["face"]), ("parts", ["flank"])], "parts is ['flank'], of which datasets.demo.parts"),
        ([("variants.adaptive_cosface_face.part", "flank"), ("parts", ["face"])],
         "parts is ['face'], but every method is for flank. Change one."),
        ([("fusion.methods", ["cosface", "adaptive_cosface_face"])], "fusion.methods rank crops of face and flank."),
        ([("variants.cosface.train", {"photos_per_identity": 1}),
          ("variants.cosface.loss", {"name": "circle", "miner": "none"})],
         "variants.cosface.train.photos_per_identity is 1, but its loss circle compares two photos"),
        ([("variants.cosface.train", {"epochs": 0})], "variants.cosface.train.epochs is 0, so that its head would"),
        ([("variants.cosface.train", {"patience": 1})], "variants.cosface.train.patience is 1; it must be at least"),
        ([("variants.cosface.loss", "triplet")], "variants.cosface.loss is 'triplet'; it must be fields and"),
        ([("variants.cosface", None)], "variants.cosface is None; it must be fields and values, of part, view, "),
        ([("matchers.sift_lnbnn", None)], "matchers.sift_lnbnn is None; it must be fields and values."),
        ([("rematchers.r", {"network": "r", "local": "sift_lnbn"})], "rematchers.r.local is 'sift_lnbn'; it must be"),
        ([("rematchers.r", {"local": "sift_lnbnn"})], "rematchers.r.network is None; it must be one of r."),
    ],
)  # fmt: skip
def test_what_sections_ask_of_each_other(faults, changes, words):
    told = faults(*changes)
    assert told and any(sentence.startswith(words) for sentence in told), told


def test_a_faulty_default_is_told_once(faults):
    assert faults(("train.lr", 0)) == ["train.lr is 0; it must be a number above 0."]
    told = faults(("train.lr", 0), ("variants.triplet.train", {"ema": 2}))
    assert told[1:] == ["variants.triplet.train.ema is 2; it must be a number from 0 to below 1."]
