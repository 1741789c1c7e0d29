"""The documentation site: it builds without a warning, asks for nothing, and its search finds what people look for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from docs import commands, contents, figures
from tests.test_page_browser import CHROMIUM, FLAGS

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']([^\"']+)[\"'][^>]*>")


@pytest.fixture(scope="module")
def site(make_once):
    return make_once("site", build_site)


def build_site(folder):
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "docs", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_pages_load_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = [link for link in LINK.findall(text) if not link.startswith(("#", "data:"))]
        assert loaded, page
        assert [link for link in loaded if "//" in link] == [], page
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?https?:[^)]*\)|@import[^;]*https?:", styles) == []


def test_search_finds_each_command_option_and_public_name(site):
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    of_commands = {f"eric-fast {name}" for name in commands.list_commands()}
    of_commands |= {name for command in commands.list_commands().values() for name in commands.list_options(command)}
    of_names = set(contents.list_public_names())
    assert len(of_commands) > 60
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"{(site / 'search.html').as_uri()}?q=fidelity")
        page.wait_for_selector("ul.search li")
        search = "query => Search._performSearch(...Search._parseQuery(query)).map(found => found[0])"
        queries = [*of_commands, *of_names]
        found = dict(zip(queries, page.evaluate(f"queries => queries.map({search})", queries), strict=True))
        browser.close()
    assert {query for query in of_commands if "reference/commands" not in found[query]} == set()
    assert {name for name in of_names if not any(hit.startswith("reference/api/") for hit in found[name])} == set()


def test_readme_is_a_page_with_the_table_of_the_results():
    text = contents.README.read_text(encoding="utf-8")
    assert text.count("\n") <= 120
    assert contents.renew_readme(text) == text
    assert "<!-- insert: speed -->" in text


def test_tables_name_each_rival_once():
    table = figures.TABLES["speed"]()
    assert table.count("| random forest, numbers |") == 1
    assert re.search(r"scikit-learn \d", table)
    assert figures.format_seconds(0.00010699) == "0.107 ms"
    assert figures.format_seconds(391.694) == "392 s"
    assert figures.format_ratio(2839) == "2,800"


def test_tables_say_which_rival_is_not_timed_or_answers_otherwise(monkeypatch):
    row = {"case": "LightGBM", "of_size": 1, "n_rows": 1, "note": "", "median_s": 1e-5, "form": "NumPy"}
    others = [
        {**row, "who": "A", "median_s": 2e-5},
        {**row, "who": "B", "median_s": None, "note": "not installed: B"},
        {**row, "who": "C", "differing": 0.0015},
    ]
    rows = [{**row, "who": "eric-fast"}, *others]
    result = {"machine": {"cores": "2"}, "protocol": {"figure": "the median"}, "frontends": rows, "small": rows}
    monkeypatch.setattr(figures, "read_results", lambda name: result)
    rivals = "A 2, B (not timed: not installed: B), C 1 (0.15% of rows otherwise) |"
    assert rivals in figures.print_frontends(1, ["LightGBM"])
    assert rivals in figures.print_few([1])
    assert figures.say_protocol("small") == "- figure: the median"
