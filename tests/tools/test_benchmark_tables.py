"""docs/benchmarks.md shows the numbers of its JSON files."""

import json

import pytest

from vosplug.utils.errors import DataError

ABOUT = {"processor": "P", "isa": "avx2", "torch": "2", "date": "2026-01-02", "command": "python c"}
ROW = {"op": "sparse_conv2d", "shape": "1x1", "dtype": "float32", "note": "in place, blob mask", "rival": "dense",
       "ours_ms": 2.0, "rival_ms": 8.0, "speedup": 4.0}
PAGE = "before\n<!-- table layers a.json -->\nold\n<!-- end of table -->\nafter\n"


@pytest.fixture
def tables(tool):
    return tool("benchmark_tables")


def test_the_page_is_what_its_files_give(root, tables):
    page = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert tables.filled(page, root / "docs" / "assets") == page, "run python tools/benchmark_tables.py"
    kinds = [match[2] for match in tables.MARKED.finditer(page)]
    assert sorted(kinds) == sorted(tables.TABLES)
    for row in json.loads((root / "docs" / "assets" / "benchmark_conv.json").read_text())["rows"]:
        assert f" {row['ours_ms']:.2f} |" in page and f" {row['speedup']:.1f} |" in page


def test_a_table_is_made_of_its_file(tmp_path, tables):
    (tmp_path / "a.json").write_text(json.dumps({**ABOUT, "remark": "before", "rows": [ROW]}))
    page = tables.filled(PAGE, tmp_path)
    assert page.splitlines()[2:-3] == [
        "", "P, avx2, torch 2, 2026-01-02; before:", "", "```", "python c", "```", "",
        "| layer | float32: ours ms | dense ms | times faster |", "| --- | --: | --: | --: |",
        "| 1x1 | 2.00 | 8.00 | 4.0 |"]
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    assert tables.filled(page, tmp_path) == page


@pytest.mark.parametrize(("page", "content", "message"), [
    (PAGE, None, "cannot read"), (PAGE, {**ABOUT, "rows": [{}]}, "a.json: 'note' is missing for the table layers"),
    (PAGE, [ROW], "a.json: .* is missing"), (PAGE.replace("layers", "rows"), ABOUT, "table rows a.json: no such table"),
])
def test_faults_are_named(tmp_path, tables, page, content, message):
    if content is not None:
        (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        tables.filled(page, tmp_path)
