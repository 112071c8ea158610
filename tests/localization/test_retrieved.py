"""What the photos say, as verification takes it."""

from __future__ import annotations

from dataclasses import replace

from geosearch.geo import Coordinate
from geosearch.localization.retrieved import Retrieved
from geosearch.localization.trust import EVEN, USUAL_REACH, rule_evidence
from geosearch.records import Candidate

LUND = Coordinate(55.705, 13.193)


def test_without_measured_probabilities_the_support_says_how_sure_the_photos_are() -> None:
    spread = Candidate(LUND, 0.6, "Lund", {50: 1.0, 90: 9.0}, ())
    by_rule = Retrieved((), (spread,), (), None, 0.1)
    assert by_rule.standings[0].probability == rule_evidence(0.6)
    assert (by_rule.stated, by_rule.expected) == (EVEN, USUAL_REACH)
    ranked = replace(by_rule, near_share=0.45)  # a re-ranker that could not be calibrated
    assert ranked.standings[0].probability == 0.6
    assert (ranked.stated, ranked.expected) == (EVEN, 0.45)
    measured = replace(ranked, candidates=(replace(spread, within={25: 0.2}),), is_calibrated=True)
    assert measured.standings[0].probability == 0.2
    assert (measured.stated, measured.expected) == (0.45, 0.45)
