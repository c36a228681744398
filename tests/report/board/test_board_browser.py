"""The board in a browser: sorting, filters, keys, widths, themes, from a file alone."""

from __future__ import annotations

import pytest

from board_runs import write_board_run
from browsers import axe_core, chromium, violations
from mmdbench.library.board import make_board
from optional_packages import needs

pytestmark = needs("playwright")


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def axe():
    return axe_core()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A board of three runs, one of another seed, and the published results."""
    folder = tmp_path_factory.mktemp("board")
    runs = [
        write_board_run(folder / "a", "alpha", limit=11, count=24),
        write_board_run(folder / "b", "beta", limit=22, count=24),
        write_board_run(folder / "c", "gamma", limit=2, count=24, seed=1),
    ]
    return make_board(runs, folder / "site", examples=0).path


@pytest.fixture
def visit(browser, site):
    """A function that opens the board; nothing may have failed or been fetched."""
    opened = []

    def go(width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page, said, asked = context.new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(site.as_uri())
        opened.append((context, said, asked))
        return page

    yield go
    for context, said, asked in opened:
        context.close()
        assert said == []
        assert asked == [site.as_uri()]


def names(page):
    return page.locator(".view:visible tbody tr:visible th b").all_text_contents()


def first_table(page):
    return page.locator("[data-group='0'] .view:visible tbody tr")


def test_the_first_view_is_the_mean_at_the_hardest_level_best_first(visit):
    page = visit()
    rows = [" ".join(text.split()) for text in first_table(page).all_inner_texts()]
    assert rows[0].startswith("1 beta")
    assert rows[1].startswith("2 alpha")
    assert page.locator("#count").text_content() == "29 results under 5 protocols"


def test_columns_sort_both_ways_and_the_rank_follows_the_level(visit):
    page = visit()
    heads = page.locator("[data-group='0'] .view:visible thead th")
    by_name = heads.filter(has_text="Model")
    by_name.locator("button").click()
    assert names(page)[:2] == ["alpha", "beta"]
    assert by_name.get_attribute("aria-sort") == "ascending"
    by_name.locator("button").press("Enter")
    assert names(page)[:2] == ["beta", "alpha"]
    clear = page.locator("[data-group='2'] .view:visible").first
    assert clear.locator("td.rank").first.text_content() == "1–2"
    clear.locator("thead th[data-level='clean'] button").click()
    assert clear.locator(".rank-head").text_content() == "Rank at clean"
    found = clear.locator("tbody tr")
    assert found.first.locator("th b").text_content() == "clear-rl"
    assert found.last.locator("td.rank").text_content() == "–"  # without a score it is last, and has no rank


def test_each_filter_leaves_what_it_names(visit):
    page = visit()
    page.select_option("#f-group", "1")
    assert names(page) == ["gamma"]
    page.select_option("#f-group", "")
    page.fill("#f-text", "CLEAR-")
    assert set(names(page)) == {"clear-rl", "clear-sft"}
    assert page.locator("#count").text_content() == "2 results under 1 protocol"
    page.locator("button[type=reset]").click()
    page.wait_for_timeout(50)
    page.select_option("#f-bench", "MMStar")
    assert page.locator(".view:visible h3").all_text_contents() == ["MMStar", "MMStar"]
    page.select_option("#f-view", "parts")
    assert page.locator("#f-bench").is_disabled()
    assert {"alpha", "beta", "gamma", "bagel", "clear-rl"} == set(names(page))
    heads = page.locator("[data-group='0'] .view:visible thead button").all_text_contents()
    assert {"capture", "lens blur", "gaussian noise"} <= set(heads)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_it_fits(visit, axe, scheme, width):
    page = visit(width, scheme)
    page.evaluate(axe)
    for view in ("levels", "parts"):
        page.select_option("#f-view", view)
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    title = page.locator("h1 span").evaluate("n => n.scrollWidth <= n.clientWidth + 1")
    assert title


def test_without_scripts_every_table_is_there(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.as_uri())
    assert page.locator(".view").count() == page.locator(".view:visible").count() > 10
    context.close()


def test_the_reader_can_choose_the_colours(visit):
    page = visit(scheme="dark")
    page.get_by_role("button", name="Light", exact=True).click()
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb(246, 247, 248)"
