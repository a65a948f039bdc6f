"""Tables of many physics, made of results."""

from physics_tables import renewed, tables

ROW = {"task": "prey", "split": "new", "library": "true terms", "floor": 0.0, "untrusted": 0.25, "frames": 20}
RESULTS = {
    "published": {"prey: new": ["2e-06 somebody [P]"]},
    "summary": [
        {**ROW, "iterations": 1, "value": 2.5e-7, "range": [1e-7, 4e-7]},
        {**ROW, "iterations": 24, "value": 1.5e-9},
        {**ROW, "iterations": 24, "value": None, "library": "failed"},
    ],
}


def test_a_table_has_one_row_a_library_and_takes_the_place_of_the_former():
    (made,) = tables(RESULTS)
    expected = "| prey | new | 2e-06 somebody [P] | true terms | 2.5e-7 (1.0e-7-4.0e-7) | 1.5e-9 | 0.0 | 25 % |"
    assert made[2:] == [expected]
    page = ["# Results", "", "CoDA: mean square.", "", "| old |", "|---|", "| 1 |", "", "TTG:", "| other |"]
    assert renewed(page, "CoDA:", [made]) == [*page[:4], *made, *page[7:]]
