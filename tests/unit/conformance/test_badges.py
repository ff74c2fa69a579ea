"""Badges count what passes of what applies, and are red as soon as something fails."""

import json

import pytest

from conformance.reports.badges import FAILED, render_badges


def badge(records, name="all"):
    return json.loads(render_badges(records)[name])


@pytest.mark.parametrize(
    ("statuses", "message", "color"),
    [
        (["pass", "pass", "not_applicable"], "2 of 2 cells pass", "brightgreen"),
        (["pass", "known_failure"], "1 of 2 cells pass", "yellow"),
        (["pass", "inconclusive", "blocked"], "1 of 3 cells pass", "yellow"),
        (["not_applicable"], "no cells", "lightgrey"),
        *((["pass", "pass", status], "2 of 3 cells pass", "red") for status in FAILED),
    ],
)
def test_a_badge_says_how_many_cells_pass(make_record, statuses, message, color):
    records = [make_record(configuration=str(index), status=status) for index, status in enumerate(statuses)]
    found = badge(records)
    assert (found["schemaVersion"], found["message"], found["color"]) == (1, message, color)


def test_each_task_and_family_has_a_badge_of_its_own_cells(make_record):
    records = [make_record(), make_record(model="bert-base", family="bert", task="fill-mask", status="crash")]
    assert render_badges(records).keys() == {
        "all", "task-fill-mask", "task-text-generation", "family-bert", "family-smollm2",
    }  # fmt: skip
    assert badge(records, "family-bert")["color"] == badge(records, "task-fill-mask")["color"] == "red"
    assert badge(records, "family-smollm2")["color"] == "brightgreen"
