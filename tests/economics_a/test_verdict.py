import json
from dataclasses import replace

import numpy as np
import pytest

from breakeven.economics.draws import Estimate
from breakeven.economics.drivers import Driver
from breakeven.economics.facts import Alternative, Asked, CandidateFacts, Machine, Payment, Speed, VerdictPlan
from breakeven.economics.gates import Gate, judge
from breakeven.economics.verdict import decide
from breakeven.quantity import Quantity

DRAWS = 1000
COMMON = np.random.default_rng(0).normal(0.0, 0.0006, DRAWS)


def measured(value, width=0.05, n=900):
    return Quantity(value, "x", "measured", value * (1 - width), value * (1 + width), n=n)


def estimate(value, sd=0.0003, seed=1):
    return Estimate(value, value + COMMON + np.random.default_rng(seed).normal(0.0, sd, DRAWS), "declared")


def candidate(name, value, f1, *, capacity=1000.0, latency=10.0, seed=1, **more):
    speeds = (
        Speed("small", measured(capacity), measured(latency), measured(900.0)),
        Speed("large", measured(20 * capacity), measured(latency / 5), measured(900.0)),
    )
    more.setdefault("speeds", speeds)
    return CandidateFacts(
        name,
        estimate(value, seed=seed),
        {"macro_f1": measured(f1, 0.02)},
        point_worth=estimate(0.0002, 1e-5, seed=9),
        **more,
    )


def ladder(**more):
    return {
        "majority": candidate("majority", 0.0, 0.3, capacity=5000.0, seed=2),
        "linear": candidate("linear", 0.010, 0.78, capacity=1500.0, seed=3),
        "encoder": candidate("encoder", 0.0112, 0.80, capacity=10.0, latency=60.0, seed=4, **more),
    }


MACHINES = (Machine("small", Driver.of(0.096), 8000.0), Machine("large", Driver.of(1.2), 16000.0))


def plan(**more):
    base = VerdictPlan(
        MACHINES,
        answers_per_month=Driver.of(60_000.0),
        price=Driver.of(0.004),
        metric="macro_f1",
        gates=(Gate("macro_f1", "min", 0.7), Gate("latency_ms_p95", "max", 100.0)),
        constant_value=ladder()["majority"].value,
    )
    return replace(base, **more)


def test_the_widest_value_less_cost_is_shipped():
    verdict = decide(ladder(), plan())
    assert verdict.chosen == "encoder"
    assert verdict.basis == "value_minus_cost"
    assert verdict.candidates["encoder"].probability_best > 0.9
    assert sum(one.probability_best for one in verdict.candidates.values()) + verdict.probability_none == pytest.approx(
        1.0
    )
    assert verdict.sentence.code == "verdict-worth-more-at-same-cost"
    assert "worth 1.2 USD more per 1,000 answers than 'linear' (2 points better in macro F1), at the same cost" in str(
        verdict.sentence
    )


def test_both_costs_are_shown_and_the_idle_machine_is_most_of_it():
    """marginal = price / capacity; at volume = whole machines / answers: one machine of 0.096 x 730 hours."""
    judged = decide(ladder(), plan()).candidates["linear"]
    assert judged.marginal_per_1000.value == pytest.approx(1000 * 0.096 / 3600 / 1500, rel=1e-3)
    assert judged.at_volume_per_1000.value == pytest.approx(1000 * 0.096 * 730 / 60_000)
    assert judged.machine.count == 1 and judged.machine.name == "small"
    assert judged.machine.utilization == pytest.approx(60_000 / (1500 * 2_628_000), rel=1e-3)
    assert judged.floor_per_1000.value == pytest.approx(judged.at_volume_per_1000.value)
    found = decide({"linear": ladder()["linear"]}, plan())
    assert [finding.code for finding in found.findings] == ["machine-idle"]
    assert found.sentence.code == "verdict-only"
    busy = decide({"linear": ladder()["linear"]}, plan(answers_per_month=Driver.of(1e9), constant_value=None))
    assert busy.findings == ()


def test_more_value_at_more_cost_is_weighed_and_says_from_where_it_would_pay():
    """The dearer candidate needs a bigger share of a machine at every volume; at 60,000 answers it is not worth it."""
    training = {"training": Driver.of(60_000.0)}
    verdict = decide(ladder(**training), plan())
    assert verdict.chosen == "linear"
    assert verdict.sentence.code == "verdict-rival-costs-more"
    assert verdict.margin.rival == "encoder"
    assert verdict.margin.metric_points == pytest.approx(2.0)
    # 60,000 / 36 months of training at 0.0012 more an answer.
    assert verdict.margin.pays_from.first == pytest.approx(60_000 / 36 / 0.0012, rel=1e-6)
    # One point is worth 0.0002 an answer; the gap is 1,666.67 / 60,000 - 0.0012.
    assert verdict.margin.pays_at_metric is None
    text = str(verdict.sentence)
    assert "ship 'linear': 'encoder' is 2 points better" in text
    assert "it would pay above 1,390,000 answers a month" in text


def test_a_small_gap_says_at_which_metric_the_rival_would_pay():
    verdict = decide(ladder(training=Driver.of(36 * 100.0)), plan())
    assert verdict.margin.pays_at_metric == pytest.approx(0.80 + 0.01 * (100 / 60_000 - 0.0012) / 0.0002)
    assert "or at a metric of" in str(verdict.sentence)


def test_volume_may_never_help():
    verdict = decide(ladder(api_per_answer=Driver.of(0.01)), plan(price=None))
    assert verdict.chosen == "linear"
    assert verdict.margin.pays_from.first is None
    assert str(verdict.sentence).endswith("costs 10 USD more; no volume makes it pay")


def test_the_other_objective_ranks_by_price_less_cost_and_a_finding_says_where_they_differ():
    dear = ladder(training=Driver.of(360.0))
    by_value = decide(dear, plan())
    assert (by_value.chosen, by_value.chosen_by_other_objective) == ("encoder", "linear")
    assert "verdict-objectives-differ" in [finding.code for finding in by_value.findings]
    assert by_value.sentence.code == "verdict-worth-more"
    by_price = decide(dear, plan(objective="contribution"))
    assert (by_price.chosen, by_price.basis) == ("linear", "price")


def test_a_better_and_cheaper_winner_is_ahead():
    beaten = ladder()
    beaten["linear"] = replace(beaten["linear"], training=Driver.of(3600.0))
    verdict = decide(beaten, plan())
    assert verdict.sentence.code == "verdict-ahead"


def test_a_refused_rival_that_would_be_better_and_cheaper():
    refused = ladder()
    refused["linear"] = replace(refused["linear"], training=Driver.of(3600.0))
    refused["encoder"] = replace(refused["encoder"], metrics={"macro_f1": measured(0.6)})
    verdict = decide(refused, plan())
    assert verdict.chosen == "linear"
    assert verdict.sentence.code == "verdict-rival-refused"
    assert verdict.candidates["encoder"].why_not.code == "unit-gates"
    assert verdict.candidates["encoder"].changes[0].as_json() == {
        "kind": "gate",
        "candidate": "encoder",
        "found": 0.6,
        "needed": 0.7,
        "unit": "macro_f1",
    }


def test_a_constant_answer_is_worth_no_price():
    judged = decide(ladder(), plan()).candidates["majority"]
    assert judged.ceiling_per_1000.value == pytest.approx(0.0)
    assert not judged.pays and judged.probability_best == 0.0 and judged.probability_pays == 0.0


@pytest.mark.parametrize(
    ("price", "code", "kinds"),
    [
        (0.5, "unit-price-above-ceiling", ["price"]),
        (0.0001, "unit-price-below-floor", ["price", "volume"]),
    ],
)
def test_a_price_outside_the_range_does_not_pay_and_says_what_would(price, code, kinds):
    verdict = decide({"linear": ladder()["linear"]}, plan(price=Driver.of(price)))
    judged = verdict.candidates["linear"]
    assert verdict.chosen is None and verdict.sentence.code == "verdict-none"
    assert judged.why_not.code == code
    assert [change.kind for change in judged.changes][: len(kinds)] == kinds
    assert verdict.chosen_value_corrected_per_1000 is None


def test_none_pays_names_price_volume_and_metric():
    verdict = decide({"linear": ladder()["linear"]}, plan(price=None, answers_per_month=Driver.of(3000.0)))
    judged = verdict.candidates["linear"]
    assert judged.why_not.code == "unit-ceiling-below-floor"
    volume = next(change for change in judged.changes if change.kind == "volume")
    assert volume.needed == pytest.approx(0.096 * 730 / 0.010)
    again = decide(
        {"linear": ladder()["linear"]}, plan(price=None, answers_per_month=Driver.of(volume.needed * 1.0001))
    )
    assert again.chosen == "linear"
    assert "volume 7,010 answers/month" in str(verdict.sentence)


@pytest.mark.parametrize(("metric", "said"), [
    (measured(0.9, 0.02, n=12), "whether macro F1 meets its gate (0.7) would have to be measured on more rows"),
    (measured(0.5, 0.02), "macro F1 would have to meet its gate (0.7)"),
])  # fmt: skip
def test_a_gate_that_cannot_be_told_asks_for_rows_and_not_for_a_better_model(metric, said):
    one = replace(ladder()["linear"], metrics={"macro_f1": metric})
    verdict = decide({"linear": one}, plan())
    assert verdict.chosen is None and said in str(verdict.sentence)


def test_the_metric_that_would_pay_is_found_where_it_is_in_reach():
    better = decide({"linear": ladder()["linear"]}, plan(price=Driver.of(0.0108)))
    change = next(change for change in better.candidates["linear"].changes if change.kind == "metric")
    assert change.needed == pytest.approx(0.78 + 0.01 * 0.0008 / 0.0002)


def test_a_gate_that_asks_for_more_of_a_metric_than_the_price_does_is_said_once():
    for found, kinds in ((0.5, ["gate"]), (0.68, ["gate", "metric"])):  # 0.54 and 0.72 would pay; the gate asks for 0.7
        one = replace(ladder()["linear"], metrics={"macro_f1": measured(found, 0.01)})
        judged = decide({"linear": one}, plan(price=Driver.of(0.0108))).candidates["linear"]
        assert [change.kind for change in judged.changes if change.unit == "macro_f1"] == kinds


def test_without_a_price_one_is_recommended_between_floor_and_ceiling():
    """floor + 0.5 x (p10 of ceiling - floor), assumed."""
    judged = decide(ladder(), plan(price=None)).candidates["linear"]
    floor, ceiling = judged.floor_per_1000.value, judged.ceiling_per_1000
    assert floor < judged.recommended_per_1000.value < ceiling.value
    assert judged.recommended_per_1000.origin == "assumed"
    assert judged.recommended_per_1000.low < judged.recommended_per_1000.value < judged.recommended_per_1000.high


def test_alternatives_and_switching_lower_the_ceiling():
    others = (Alternative("rival", Driver.of(0.008), Driver.of(0.003)), Alternative("today", estimate(0.001)))
    judged = decide(ladder(), plan(alternatives=others, switching_per_answer=Driver.of(0.001))).candidates["linear"]
    assert judged.ceiling_per_1000.value == pytest.approx(1000 * (0.010 - 0.005 - 0.001))


def test_payment_fees_raise_the_floor_and_are_a_part_of_cost():
    paid = plan(payment=Payment(0.03, 0.3, 20_000.0))
    judged = decide(ladder(), paid).candidates["linear"]
    machine = 0.096 * 730 / 60_000
    assert judged.floor_per_1000.value == pytest.approx(1000 * (machine + 0.3 / 20_000) / 0.97)
    assert judged.cost_parts["payment"].value == pytest.approx(1000 * (0.3 / 20_000 + 0.03 * 0.004))
    assert judged.contribution_per_month.value == pytest.approx(60_000 * 0.004 * 0.97 - 0.096 * 730 - 0.9)


def test_each_candidate_stands_on_the_cheapest_machine_that_holds_it_and_is_quick_enough():
    big = candidate(
        "big",
        0.012,
        0.9,
        speeds=(
            Speed("small", measured(50.0), measured(150.0), measured(900.0)),
            Speed("large", measured(500.0), measured(40.0), measured(900.0)),
        ),
    )
    verdict = decide({"big": big}, plan(price=None, answers_per_month=Driver.of(600_000.0)))
    assert verdict.candidates["big"].machine.name == "large"
    heavy = replace(big, speeds=(Speed("small", measured(50.0), measured(10.0), measured(9000.0)), big.speeds[1]))
    assert decide({"big": heavy}, plan(answers_per_month=None)).candidates["big"].machine.name == "large"
    slow = replace(big, speeds=(Speed("small", measured(50.0), measured(150.0)),))
    judged = decide({"big": slow}, plan()).candidates["big"]
    assert judged.machine.name == "small" and not judged.within_gates


@pytest.mark.parametrize(
    ("speeds", "code", "first"),
    [
        ((Speed("tpu", measured(5.0)),), "unit-no-machine", "change-machine"),
        ((), "unit-no-capacity", "change-capacity"),
    ],
)
def test_a_candidate_that_fits_nowhere_cannot_be_sold_and_says_what_is_missing(speeds, code, first):
    nowhere = candidate("big", 0.012, 0.9, speeds=speeds)
    verdict = decide({"big": nowhere}, plan(gates=()))
    judged = verdict.candidates["big"]
    assert judged.why_not.code == code and judged.machine is None
    assert judged.probability_pays == 0.0 and judged.changes == ()
    assert [change["code"] for change in verdict.sentence.fields["changes"]] == [first]


def test_a_remote_api_has_no_machine_and_its_quoted_price():
    remote = candidate(
        "api",
        0.012,
        0.9,
        speeds=(),
        api_per_answer=Driver.of(0.002),
        latency_ms_p95=measured(80.0),
        per_answer={"network": Driver.of(0.0001)},
        monthly={"licence": Driver.of(60.0)},
    )
    judged = decide({"api": remote}, plan()).candidates["api"]
    assert judged.pays and judged.machine is None
    assert judged.latency_ms_p95.value == 80.0
    assert judged.at_volume_per_1000.value == pytest.approx(1000 * (0.002 + 0.0001 + 0.001))
    assert set(judged.cost_parts) == {"api", "network", "licence"}
    assert judged.marginal_per_1000.value == pytest.approx(2.1)
    assert judged.break_even_answers.first == pytest.approx(60.0 / (0.004 - 0.0021))


def test_without_demand_utilization_is_declared_and_nothing_is_per_month():
    verdict = decide(ladder(), plan(answers_per_month=None, utilization=Driver.of(0.25)))
    judged = verdict.candidates["linear"]
    assert judged.at_volume_per_1000.value == pytest.approx(4 * judged.marginal_per_1000.value, rel=1e-6)
    assert judged.contribution_per_month is None and judged.point_worth_per_month is None
    assert judged.machine.utilization == 0.25
    assert verdict.answers_per_month is None


def test_an_owned_machine_pays_its_electricity():
    owned = (Machine("small", Driver.of(0.05), owned=True, watts=200.0, price_per_kwh=Driver.of(0.25)),)
    judged = decide({"linear": ladder()["linear"]}, plan(machines=owned)).candidates["linear"]
    assert judged.at_volume_per_1000.value == pytest.approx(1000 * (0.05 + 0.2 * 0.25) * 730 / 60_000)


def test_uncertain_demand_and_price_carry_their_doubt():
    verdict = decide(
        ladder(),
        plan(
            answers_per_month=Driver.parse({"median": 60_000, "p90": 120_000}),
            price=Driver.parse({"low": 0.003, "high": 0.005}),
        ),
    )
    judged = verdict.candidates["linear"]
    assert judged.at_volume_per_1000.low < judged.at_volume_per_1000.value < judged.at_volume_per_1000.high
    assert judged.at_volume_per_1000.origin == "assumed"
    assert verdict.price_per_1000.low < 4.0 < verdict.price_per_1000.high


def test_worth_of_a_point_a_month_in_total_and_at_our_share():
    judged = decide(ladder(), plan()).candidates["linear"]
    assert judged.point_worth_per_month.value == pytest.approx(0.0002 * 60_000)
    assert judged.point_worth_at_our_share_per_month.value == pytest.approx(0.5 * 0.0002 * 60_000)
    without = replace(ladder()["linear"], point_worth=None, metrics={})
    bare = decide({"linear": without}, plan(gates=(), price=Driver.of(9.0))).candidates["linear"]
    assert bare.point_worth_per_month is None
    assert [change.kind for change in bare.changes] == ["price"]


def test_choosing_the_best_of_many_equals_flatters_and_is_corrected():
    many = {f"c{i}": candidate(f"c{i}", 0.010, 0.8, seed=100 + i) for i in range(8)}
    verdict = decide(many, plan(price=None))
    plain = many[verdict.chosen].value.point * 1000
    assert verdict.chosen_value_corrected_per_1000 < plain - 0.2


def test_a_candidate_that_was_still_improving_is_a_warning():
    verdict = decide({"linear": replace(ladder()["linear"], still_improving=True)}, plan())
    assert [finding.code for finding in verdict.findings if finding.level == "warning"] == ["verdict-still-improving"]


def test_the_verdict_is_json_and_its_words_come_from_the_catalogue():
    for price in (None, Driver.of(0.004), Driver.of(9.0)):
        data = decide(ladder(), plan(price=price)).as_json()
        json.dumps(data, allow_nan=False)
        assert data["sentence"]["code"] not in data["sentence"]["text"]
        assert "?" not in data["sentence"]["text"]
    assert data["candidates"]["linear"]["why_not_code"] == "unit-price-above-ceiling"


def test_draws_must_be_paired():
    odd = ladder()
    odd["linear"] = replace(odd["linear"], value=Estimate(1.0, np.ones(3)))
    with pytest.raises(ValueError, match="same number of paired draws"):
        decide(odd, plan())


@pytest.mark.parametrize(
    ("gate", "found", "passes"),
    [
        (Gate("f1", "min", 0.7), measured(0.78, 0.02), "yes"),
        (Gate("f1", "min", 0.7), measured(0.71, 0.05), "no"),
        (Gate("f1", "min", 0.7, "point"), measured(0.71, 0.05), "yes"),
        (Gate("f1", "min", 0.7), measured(0.9, 0.02, n=12), "cannot_tell"),
        (Gate("f1", "min", 0.7, "point"), measured(0.9, 0.02, n=12), "yes"),
        (Gate("f1", "min", 0.7), None, "cannot_tell"),
        (Gate("f1", "min", 0.7), Quantity(0.9, "x", "measured", n=500), "cannot_tell"),
        (Gate("cost_per_1000", "max", 2.0), Quantity(1.9, "USD", "declared"), "yes"),
        (Gate("cost_per_1000", "max", 2.0), Quantity(2.1, "USD", "declared"), "no"),
        (Gate("latency_ms_p95", "max", 100.0), measured(99.0, 0.05), "no"),
        (Gate("latency_ms_p95", "max", 100.0), measured(90.0, 0.05), "yes"),
    ],
)
def test_gates_are_judged_on_the_unsafe_end(gate, found, passes):
    assert judge(gate, found).passes == passes


def test_a_straddled_gate_says_how_many_cases_would_tell():
    """Half the room needs four times the cases."""
    result = judge(Gate("f1", "min", 0.7), Quantity(0.72, "x", "measured", 0.68, 0.76, n=500))
    assert result.cases_needed == 2000
    assert judge(Gate("f1", "min", 0.7), measured(0.6)).cases_needed is None


def test_memory_and_marginal_cost_can_be_gated():
    gated = plan(gates=(Gate("memory_mb", "max", 1000.0), Gate("marginal_per_1000", "max", 1.0)))
    assert decide(ladder(), gated).candidates["linear"].within_gates


def test_the_cost_of_what_nothing_serves_is_unknown_not_nothing():
    unserved = {**ladder(), "encoder": candidate("encoder", 0.0112, 0.80, speeds=())}
    data = decide(unserved, plan()).candidates["encoder"].as_json()
    assert data["at_volume_per_1000"] is None and data["floor_per_1000"] is None and not data["pays"]


def test_a_lead_in_an_unmeasured_metric_is_not_told():
    verdict = decide(ladder(), plan(metric="unmeasured", gates=()))
    assert "points" not in str(verdict.sentence) and "unmeasured" not in str(verdict.sentence)


def test_with_research_the_price_that_earns_most_is_recommended_between_floor_and_ceiling():
    generator = np.random.default_rng(3)
    drawn = (generator.normal(6.0, 0.2, 200), generator.lognormal(np.log(1000.0), 0.02, 200))
    asked = Asked(6.0, 1000.0, drawn, per_answer=0.0005)
    one = decide(ladder(), replace(plan(price=None), asked=asked)).candidates["linear"]
    half = decide(ladder(), plan(price=None)).candidates["linear"]
    best = one.recommended_per_1000
    assert best.value != pytest.approx(half.recommended_per_1000.value)
    assert one.floor_per_1000.value < best.value < one.ceiling_per_1000.value
    assert best.low < best.value < best.high
    # Dear enough that nobody is asked for more than the answer is worth.
    beyond = replace(plan(price=None), asked=Asked(60.0, 1000.0, (drawn[0] + 54.0, drawn[1])))
    capped = decide(ladder(), beyond).candidates["linear"]
    assert capped.recommended_per_1000.value == pytest.approx(capped.ceiling_per_1000.value)
