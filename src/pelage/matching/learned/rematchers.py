"""Entries of section `rematchers` of the parameters: which learned matcher compares whose shortlists again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pelage.common.errors import PelageError
from pelage.common.params import choose, entry, merged
from pelage.model.weights import OwnWeight, Weight, read_weights

DEFAULTS = {
    "part": "flank",
    "features": "aliked",  # aliked | disk | superpoint (whose weights you fetch yourself)
    "network": None,  # whose LightGlue matches: the entry's own name, or that of a rematcher with equal features
    "local": None,  # a matcher, or another rematcher, whose first candidates are compared
    "global": None,  # a variant whose first candidates are, too
    "local_shortlist": 40,  # candidates of the former
    "global_shortlist": 40,  # candidates of the variant
    "own_shortlist": 0,  # candidates for whom its own keypoints speak (LNBNN), of all that may answer
    "same_side": True,  # a left flank is never compared with a right one
    "side": 600,  # pixels that a crop's longer side is scaled to
    "keypoints": 512,  # most keypoints of a crop, by strength
    "score": "matches",  # matches | inliers: of those, the ones that agree with a homography
    "confidence": 0.5,  # above which a match counts
    "adaptive": True,  # stop early, leave points out; False: 2 to 3 times as slow, more matches
    "give_up": 3,  # pairs with fewer confident matches at first glance, or after some layers, stop there; 0: none
    "glance": 192,  # most keypoints of a crop at first glance, by strength
    "half": True,  # half precision: twice as fast where the processor has it (AVX512-BF16, any GPU), slower elsewhere
    "batch": 8,  # pairs at a time; a GPU takes more
    "tuning": {},  # how LightGlue goes on learning from training individuals; see TUNING
}

TUNING = {
    "epochs": 0,  # of a round; 0: not at all
    "rounds": 1,  # before each round the network that has learnt so far says which pairs are verified, and look alike
    "pairs": 2000,  # most pairs of the same animal; there come as many of different ones
    "lookalikes": 4,  # animals of which the one that looks most like a crop is learnt to be another
    "keypoints": 256,  # most keypoints of a crop that are learnt from, the strongest ones
    "vary": False,  # draw these keypoints anew in each epoch, and turn, scale, stretch and move the crops a little
    "drawn_from": 0,  # most keypoints of a crop that `vary` draws from, by strength; 0: as many as are matched by
    "batch": 16,  # pairs of a step
    "lr": 5e-5,  # largest learning rate; it rises for a tenth of the steps and falls as a cosine
    "weight_decay": 0.0001,
    "candidates": 10,  # of each validation query, compared before the first and after each epoch
    "keep": "best",  # best | last: the network after the epoch that answers these queries best, or after the last one
    "seed": 1,
}

KEEP = ("best", "last")
"""Values of `tuning.keep`."""

WHOLE = {
    ("local_shortlist", "global_shortlist", "own_shortlist", "give_up", "tuning.epochs", "tuning.drawn_from"): 0,
    ("side", "keypoints", "glance", "batch"): 1,
    ("tuning.rounds", "tuning.pairs", "tuning.lookalikes", "tuning.keypoints", "tuning.batch", "tuning.candidates"): 1,
}
"""Fields that are whole numbers, and the least."""

SWITCHES = ("same_side", "adaptive", "half", "tuning.vary")
"""Fields that are true or false."""

NEEDED = {
    "aliked": ("aliked_n16.safetensors", "aliked_lightglue.safetensors"),
    "disk": ("disk_depth.safetensors", "disk_lightglue.safetensors"),
    "superpoint": ("superpoint_v1.safetensors", "superpoint_lightglue.safetensors"),
}

OWN = [
    OwnWeight(
        "superpoint_v1.safetensors",
        "superpoint_v1.pth",
        "its licence allows non-commercial research only",
        "https://github.com/magicleap/SuperPointPretrainedNetwork",
    ),
    OwnWeight(
        "superpoint_lightglue.safetensors",
        "superpoint_lightglue.pth",
        "no package of the Python index has it",
        "https://github.com/cvg/LightGlue/releases",
    ),
]


def read_rematcher(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of one rematcher, defaults filled in.

    Args:
        params: All parameters.
        name: A key of `rematchers`.

    Raises:
        PelageError: An unknown field or value, a shortlist of a method that there is not, of another part, or that
            needs this one's, or a network of other keypoints.
    """
    where = f"rematchers.{name}"
    wanted = merged(DEFAULTS, entry(params["rematchers"], name, "rematchers"), where)
    choose(wanted["features"], NEEDED, f"{where}.features")
    choose(wanted["score"], ("matches", "inliers"), f"{where}.score")
    wanted["tuning"] = merged(TUNING, wanted["tuning"], f"{where}.tuning")
    values = wanted | {f"tuning.{field}": value for field, value in wanted["tuning"].items()}
    for fields, least in WHOLE.items():
        for field in fields:
            if type(values[field]) is not int or values[field] < least:
                told = f"{where}.{field} is {values[field]!r}"
                raise PelageError(f"params.yaml: {told}; it must be a whole number from {least}.")
    for field in SWITCHES:
        if type(values[field]) is not bool:
            raise PelageError(f"params.yaml: {where}.{field} is {values[field]!r}; it must be true or false.")
    choose(wanted["tuning"]["keep"], KEEP, f"{where}.tuning.keep")
    if wanted["tuning"]["drawn_from"] and not wanted["tuning"]["vary"]:
        raise PelageError(
            f"params.yaml: {where}.tuning.drawn_from is {wanted['tuning']['drawn_from']}, but without vary no "
            "keypoints are drawn. Set tuning.vary to true, or take drawn_from away."
        )
    rematchers = {other: fields for other, fields in params["rematchers"].items() if isinstance(fields, Mapping)}
    _check_network(rematchers, name, wanted, where)
    before = {other: fields for other, fields in rematchers.items() if name not in stood_on(rematchers, other)}
    sources = {"local": params["matchers"] | before, "global": params["variants"]}
    for field, methods in sources.items():
        part = methods[choose(wanted[field], methods, f"{where}.{field}")].get("part", DEFAULTS["part"])
        if part != wanted["part"]:
            raise PelageError(
                f"params.yaml: {where} compares crops of the part {wanted['part']}, but its shortlist {wanted[field]} "
                f"ranks those of the part {part}. Name a method of the same part."
            )
    return wanted


def _check_network(rematchers: Mapping[str, Any], name: str, wanted: Mapping[str, Any], where: str) -> None:
    """Say what is wrong with `network`, which is another rematcher's only if that one has one of its own."""
    whose = choose(wanted["network"], rematchers, f"{where}.network")
    if whose == name:
        return
    if wanted["tuning"]["epochs"]:
        raise PelageError(
            f"params.yaml: {where} matches by the network of {whose}, so its own tuning would be of no use. Take "
            f"{where}.tuning away, or set {where}.network to {name}."
        )
    other = rematchers[whose]
    if other.get("network") != whose:
        raise PelageError(
            f"params.yaml: {where}.network is {whose}, which itself matches by the network of {other.get('network')}. "
            "Name that one."
        )
    if other.get("features", DEFAULTS["features"]) != wanted["features"]:
        raise PelageError(
            f"params.yaml: {where} has {wanted['features']} keypoints, which the network of {whose} does not know. Set "
            "both features to the same."
        )


def stood_on(rematchers: Mapping[str, Any], name: str) -> list[str]:
    """Return the rematcher `name`, the method whose shortlist it compares, that one's if it is a rematcher, and so on.

    Args:
        rematchers: That section of the parameters, right or not.
        name: A key of it, or another method, which stands on none.
    """
    names = [name]
    while isinstance(fields := rematchers.get(name), Mapping):
        name = fields.get("local")
        if not isinstance(name, str) or name in names:
            break
        names.append(name)
    return names


def needed_weights(features: str) -> list[Weight | OwnWeight]:
    """Return the weights of a detector and of its LightGlue."""
    listed = {weight.name: weight for weight in (*read_weights(Path(__file__).with_name("weights.yaml")), *OWN)}
    return [listed[name] for name in NEEDED[features]]
