"""The pages of results: their tables are those of the JSON files, and a table without a place is refused."""

import ingest_catalog
import physics_tables
import pytest
from pages import ROOT, best_in_bold, reader, renewed, table
from results_page import PAGES, RESULTS_PAGE, written

TABLE = table(["a", "b"], [["1", "2"]])
PAGE = [
    "# Results",
    "",
    "First: text.",
    "",
    "| old |",
    "|---|",
    "| 1 |",
    "",
    "more",
    "",
    "| next |",
    "|---|",
    "",
    "## Other",
]


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_script_writes(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert written(name, text, reader()) == text, (
        "run python benchmarks/results_page.py; numbers are not edited by hand"
    )


def test_the_page_of_many_physics_is_what_the_script_writes():
    page = (ROOT / "docs" / "many-physics.md").read_text(encoding="utf-8").splitlines()
    assert physics_tables.renewed_page(page) == page, "run python benchmarks/physics_tables.py"


def test_the_page_of_products_is_what_the_script_writes():
    page = (ROOT / "docs" / "products.md").read_text(encoding="utf-8").splitlines()
    made = ingest_catalog.table(reader()("ingest_catalog")["catalog"])
    assert renewed(page, ingest_catalog.START, [made]) == page


def test_every_table_of_the_page_of_results_is_written_or_a_list_of_pages():
    """A table that nobody writes would hold numbers that nobody ties."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    rules = [number for number, text in enumerate(page) if text.startswith("|---")]
    read = reader()
    made = sum(len(tables(read)) for tables in RESULTS_PAGE.values())
    pictures, pages = 1, 1
    assert len(rules) == made + pictures + pages


def test_tables_take_the_place_of_the_former_ones():
    assert renewed(PAGE, "First:", [TABLE]) == [*PAGE[:4], *TABLE, *PAGE[7:]]
    assert renewed(PAGE, "First:", [TABLE, TABLE]) == [*PAGE[:4], *TABLE, *PAGE[7:10], *TABLE, *PAGE[12:]]
    assert renewed(renewed(PAGE, "First:", [TABLE]), "First:", [TABLE]) == renewed(PAGE, "First:", [TABLE])


def test_a_table_without_a_place_is_refused():
    with pytest.raises(ValueError, match="0 lines of the page begin with 'Second:'"):
        renewed(PAGE, "Second:", [TABLE])
    with pytest.raises(ValueError, match="2 lines"):
        renewed([*PAGE, "First: again"], "First:", [TABLE])
    with pytest.raises(ValueError, match="fewer than 3 tables"):
        renewed(PAGE, "First:", [TABLE] * 3)


def test_the_best_is_the_least_as_shown():
    assert best_in_bold([[1.001, 12.34], [1.004, 9.0], [None, 11.0]]) == [
        ["**1.00**", "12.3"],
        ["**1.00**", "**9.00**"],
        ["", "11.0"],
    ]
