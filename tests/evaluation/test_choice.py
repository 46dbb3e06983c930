"""Which rule fuses: the best method alone, unless another is better by more than chance."""

import numpy as np

from pelage.evaluation.choice import AUTO, choose_on_validation, choose_rule, practise
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.masks import FLANK
from pelage.split.protocols import protocol_sets

WHO = np.repeat(np.arange(12), 5)
ALL = np.ones(60, bool)


def values(**rules):
    rng = np.random.default_rng(0)
    base = rng.random(60)
    return {rule: base + gain + 0.02 * rng.normal(size=60) for rule, gain in rules.items()}


def choose(found, counted=ALL, who=WHO):
    return choose_rule(found, ["net", "sift"], counted, who, 0.95)


def test_a_combination_that_is_clearly_better_is_chosen_and_the_best_of_two():
    rule, best, told = choose(values(net=0, sift=0.1, pool=0.3, mean=0.25))
    assert (rule, best) == ("pool", "sift")
    assert told["pool"]["low"] > 0 and told["net"]["minus_best"] < 0
    assert told["sift"] == {"value": told["sift"]["value"], "minus_best": 0.0, "low": None, "high": None}


def test_what_is_better_on_a_single_animal_is_not():
    found = values(net=0, sift=0.1)
    found["pool"] = found["sift"] + 0.5 * (WHO == 4)
    rule, _, told = choose(found)
    assert rule == "sift" and told["pool"]["minus_best"] > 0 > told["pool"]["low"]


def test_a_tie_a_loss_and_few_individuals_leave_the_best_method():
    found = values(net=0, sift=0.1, mean=-0.1)
    assert choose(found | {"pool": found["sift"]})[0] == "sift"
    assert choose(values(net=0, sift=0.1, pool=0.3), who=WHO % 3)[0] == "sift", "three animals have no interval"
    assert choose(values(net=0, sift=0, pool=0.3), counted=~ALL)[:2] == ("net", "net"), "nothing was asked"


def test_rankings_are_worth_their_precision_by_flank(split, rankings):
    validation = protocol_sets(split, "flank")["validation"]
    assert len(validation.queries)
    tables = {name: rankings(split, sharpness) for name, sharpness in (("net", 0.5), ("sift", 1.0), ("pool", np.inf))}
    tables = {name: table[table["protocol"] == "validation"] for name, table in tables.items()}
    _, best, told = choose_on_validation(tables, ["net", "sift"], validation, 0.95)
    question = ask("validation", validation)
    for name, table in tables.items():
        worth = judge(table, question, name).hits[FLANK].metrics()["map"]
        assert told[name]["value"] == worth[question.totals[FLANK] > 0].mean()
    assert told["pool"]["value"] == 1 and best == max(("net", "sift"), key=lambda name: told[name]["value"])


def test_the_wanted_rule_fuses_unless_it_is_left_to_validation_or_nothing_can_be_learnt(split, rankings):
    validation = protocol_sets(split, "flank")["validation"]
    own = {name: rankings(split, sharpness) for name, sharpness in (("net", 0.5), ("sift", 1.0))}
    identity = split.set_index("crop_id")["identity"]

    def rule(wanted, who=identity):
        practice = practise(own, own, (who, 40, "logistic", 1), validation, wanted, 0.95)
        assert {table.rankings["protocol"].iat[0] for table in practice.made.values()} == {"validation"}
        made = {name: fused.rankings for name, fused in practice.made.items()}
        chosen, best, told = choose_on_validation(made, list(own), validation, 0.95)
        assert (practice.best, practice.told) == (best, told)
        return practice.rule, chosen

    assert rule("listwise")[0] == "listwise" and len(set(rule(AUTO))) == 1
    assert rule("listwise", who=identity.where(identity == "nobody", ""))[0] == "pool", "no pair of one animal"
