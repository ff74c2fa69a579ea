"""The dashboard, clicked through."""

import re

import pytest
import samples
from playwright.sync_api import expect

from conformance.changes import compare

ROUTES = (
    "#/",
    "#/?view=cells",
    "#/model/alpha-1b",
    f"#/cell/{samples.DIVERGED}",
    "#/cell/beta-2b@xnnpack-fp32",
    "#/charts",
    "#/compare",
)
PHONE = {"width": 390, "height": 844}
COLOURS = """canvas => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(pixels.data.buffer)).size;
}"""
"""How many different pixels a canvas has: none is drawn on an empty one."""


def rows(page, selector="#results tbody tr"):
    """The names of the rows that are shown."""
    return page.locator(f"{selector} > th[scope=row]").all_inner_texts()


def go(page, address):
    """Follow a link to another address of the same page, and wait until that is shown."""
    if page.evaluate("location.hash") != address:
        page.evaluate("document.querySelector('main').firstElementChild.dataset.old = ''")
        page.evaluate("address => { location.hash = address; }", address)
        page.wait_for_selector("main > :not([data-old])", state="attached")


def test_the_matrix_says_every_verdict_in_words_and_signs(visit):
    page = visit()
    expect(page.locator("#count")).to_have_text("11 cells of 5 models")
    alpha = page.locator("tr", has=page.get_by_role("rowheader", name="alpha-1b"))
    assert [text.split() for text in alpha.locator("td").all_inner_texts()] == [
        ["✓", "pass", "1.5×", "500", "KiB"],
        ["✓", "pass", "8.0×", "600", "KiB"],
        ["✓", "pass", "12.0×", "171", "KiB"],
    ]
    beta = page.locator("tr", has=page.get_by_role("rowheader", name="beta-2b"))
    assert [text.split() for text in beta.locator("td").all_inner_texts()] == [
        ["!", "known", "failure"],
        ["✕", "crash"],
        ["–", "not", "applicable"],
    ]
    delta = page.locator("tr", has=page.get_by_role("rowheader", name="delta-9b"))
    assert delta.locator("td").last.inner_text().split() == ["·", "never", "run"]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?q=ALPHA", "3 cells of 1 model"),
        ("?q=bias+beta", "1 cell of 1 model"),
        ("?task=fill-mask", "2 cells of 1 model"),
        ("?family=delta", "2 cells of 1 model"),
        ("?configuration=xnnpack-fp32", "5 cells of 5 models"),
        ("?configuration=kv+8da4w", "2 cells of 2 models"),
        ("?status=crash,known_failure", "2 cells of 1 model"),
        ("?q=nobody", "No cell fits these filters."),
        ("?unknown=x&status=", "11 cells of 5 models"),
    ],
)
def test_an_address_holds_the_filters(visit, query, count):
    expect(visit(f"#/{query}").locator("#count")).to_have_text(count)


def test_filters_change_the_address_and_are_announced(visit):
    page = visit()
    page.get_by_label("Search").fill("a")
    page.get_by_label("Search").press_sequentially("lpha")
    expect(page.locator("#count")).to_have_text("3 cells of 1 model")
    assert page.locator("#count").get_attribute("aria-live") == "polite"
    page.get_by_label("Configuration", exact=True).fill("xnnpack")
    expect(page.locator("#count")).to_have_text("2 cells of 1 model")
    page.locator("#status-crash").check()
    expect(page.locator("#count")).to_have_text("No cell fits these filters.")
    assert page.evaluate("location.hash") == "#/?q=alpha&configuration=xnnpack&status=crash"
    again = visit(page.evaluate("location.hash"))
    assert again.get_by_label("Search").input_value() == "alpha"
    assert again.locator("#status-crash").is_checked()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#count")).to_have_text("11 cells of 5 models")
    assert page.evaluate("location.hash") == "#/"
    page.get_by_label("Task").select_option("fill-mask")
    assert rows(page) == ["gamma-base"]


def test_a_heading_sorts_by_speed_up_both_ways_and_back(visit):
    page = visit("#/?task=text-generation")
    heading = page.locator("th[data-sort='xnnpack-fp32']")
    order = [heading.get_attribute("aria-sort")]
    found = [rows(page)]
    for _ in range(3):
        heading.get_by_role("button").click()
        order.append(heading.get_attribute("aria-sort"))
        found.append(rows(page))
        assert page.evaluate("document.activeElement.closest('th')?.dataset.sort") is not None
    assert order == ["none", "descending", "ascending", "none"]
    names = ["alpha-1b", "beta-2b", "delta-9b"]
    assert found == [names, ["delta-9b", "alpha-1b", "beta-2b"], ["alpha-1b", "delta-9b", "beta-2b"], names]


def test_cells_can_be_listed_and_sorted_by_any_figure(visit):
    page = visit()
    page.get_by_label("One row a cell").check()
    assert len(rows(page)) == 11
    page.locator("th[data-sort='size'] button").click()
    sizes = page.locator("#results tbody tr td:nth-child(6)").all_inner_texts()
    assert sizes[:4] == ["2.0 MiB", "1.0 MiB", "900 KiB", "700 KiB"]
    assert sizes[-1] == "–"
    assert page.evaluate("location.hash") == "#/?view=cells&sort=size&order=desc"


def test_a_cell_is_opened_and_left_again(visit):
    page = visit("#/?q=alpha")
    page.get_by_role("row", name="alpha-1b").get_by_role("link").nth(3).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("alpha-1b xnnpack-fp32-sdpa-kv-8da4w-emb8w")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert page.evaluate("location.hash") == f"#/cell/{samples.DIVERGED}"
    assert page.title().startswith(samples.DIVERGED)
    page.go_back()
    expect(page.locator("#count")).to_have_text("3 cells of 1 model")
    assert page.evaluate("document.activeElement.getAttribute('href')") == f"#/cell/{samples.DIVERGED}"


def test_a_cells_page_shows_what_its_record_says(visit):
    page = visit(f"#/cell/{samples.DIVERGED}")
    headings = page.get_by_role("heading", level=2).all_inner_texts()
    assert headings == [
        "Reproduce",
        "Checks",
        "Where it diverged",
        "Generations",
        "Logit error along the sequence",
        "Stages",
        "Latency",
        "Delegation",
        "Quantization",
        "Cache",
        "History",
        "Where and with what",
    ]
    expect(page.locator(".command code")).to_have_text("zoo run alpha-1b -c xnnpack-fp32-sdpa-kv-8da4w-emb8w")
    text = page.locator("main").inner_text()
    for told in (
        "12.0×",
        "171 KiB",
        "75 %",
        "500 ms",
        "400.0 MiB",
        "against fp32",
        "a processor",
        "2.13.0+cpu",
        "ring",
        "1 layer: decoder",
    ):
        assert told in text
    page.get_by_text("Figures", exact=True).last.click()
    assert "0.0047" in page.locator("main").inner_text()


def test_a_divergence_is_shown_token_under_token(visit):
    page = visit(f"#/cell/{samples.DIVERGED}")
    strip = page.locator("table.strip")
    assert strip.locator("thead th").all_inner_texts()[1:] == ["0", "1", "2", "▼ 3\ndiverged here", "4", "5"]
    reference, program = (strip.locator("tbody tr").nth(row).locator("td") for row in (0, 1))
    assert [text.split("\n") for text in reference.all_inner_texts()][2:4] == [["␣and", "12"], ["␣moss", "13", "differs"]]
    assert program.nth(3).locator(".piece").inner_text() == samples.IMAGE.replace(" ", "␣")
    assert program.nth(5).inner_text() == "ended"
    assert program.nth(2).locator("text=differs").count() == 0
    page.get_by_text("All tokens").click()
    page.locator(".divergence details table").wait_for()
    compared = page.locator(".divergence details td:last-child").all_inner_texts()
    assert compared == ["same", "same", "same", "parts here", "differs", "differs"]


def test_a_failure_is_shown_with_what_the_runtime_printed(visit):
    page = visit("#/cell/beta-2b@xnnpack-fp32")
    expect(page.locator(".verdict")).to_contain_text("crash")
    expect(page.locator(".verdict")).to_contain_text("run: SIGABRT")
    expect(page.get_by_role("region", name="Message")).to_have_text("the process died")
    expect(page.get_by_role("region", name="Standard error")).to_have_text("Check failed: x > 0\nabort")
    page.get_by_text("Traceback", exact=True).click()
    expect(page.get_by_role("region", name="Traceback")).to_have_text("Traceback: here")
    go(page, "#/cell/beta-2b@portable-fp32")
    expect(page.locator(".verdict a")).to_have_attribute("href", "https://example.org/issues/1")


def test_a_page_is_made_of_parts_only(visit):
    page = visit()
    bare = (
        "[...document.querySelectorAll('main, main > *')].flatMap(e => [...e.childNodes]).filter(n => n.nodeType === 3).length"
    )
    for route in (*ROUTES, "#/model/beta-2b", "#/cell/beta-2b@portable-fp32"):
        go(page, route)
        assert page.evaluate(bare) == 0, route


def test_history_of_a_cell(visit):
    page = visit("#/cell/beta-2b@xnnpack-fp32")
    told = [
        row.split("\t")[:4]
        for row in page.locator("section", has_text="History").locator("table").last.locator("tbody tr").all_inner_texts()
    ]
    assert [[cell.strip() for cell in row] for row in told] == [
        ["abc123456", "2026-11-01", "✓\npass", "4.0×"],
        ["current", "2026-11-20", "✕\ncrash", "–"],
    ]


def test_what_is_not_there_is_said(visit):
    page = visit("#/cell/nobody@nothing")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such cell")
    go(page, "#/model/%E0%A4%A")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such model")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_follows_the_system_until_it_is_chosen_and_is_kept(visit, system):
    ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 21, 25)"}
    other = "light" if system == "dark" else "dark"
    page = visit(color_scheme=system)
    button = page.get_by_role("button", name="Dark theme")

    def shown():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert (shown(), button.get_attribute("aria-pressed")) == (ground[system], str(system == "dark").lower())
    button.click()
    assert (shown(), button.get_attribute("aria-pressed")) == (ground[other], str(other == "dark").lower())
    page.reload()
    page.wait_for_selector("[data-ready]", state="attached")
    assert shown() == ground[other]


def test_charts_change_their_colours_with_the_theme(visit):
    page = visit("#/model/alpha-1b")
    image = "document.querySelector('canvas').toDataURL()"
    before = page.evaluate(image)
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(image) != before


def test_a_cell_is_reached_with_the_keyboard_alone(visit):
    page = visit()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(60):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            "getComputedStyle(document.activeElement.closest('.chip') ?? document.activeElement).outlineStyle"
        )
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")
        if page.evaluate("document.activeElement.getAttribute('href')") == "#/cell/alpha-1b@xnnpack-fp32":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_text("alpha-1b xnnpack-fp32")


def test_two_runs_are_compared_as_the_gate_does(visit):
    changes = compare(samples.earlier().records, samples.current().records)
    page = visit("#/compare")
    expect(page.locator("#change-count")).to_contain_text(f"{len(changes)} changes in")
    told = [text.split() for text in page.locator("#changes tbody tr td:first-child").all_inner_texts()]
    assert [sign_and_kind[1] for sign_and_kind in told] == [change.kind for change in changes]
    assert {"broken", "fixed", "larger", "new", "gone"} <= {change.kind for change in changes}
    cells = page.locator("#changes tbody th").all_inner_texts()
    assert cells[0].split()[0] == changes[0].cell.split("@")[0]
    page.locator("#kind-fixed").check()
    assert page.locator("#changes tbody th").all_inner_texts() == ["gamma-base xnnpack-fp32"]
    expect(page.locator("#change-count")).to_have_text("1 change in 1 cell.")
    assert page.evaluate("location.hash") == "#/compare?before=1&after=0&kind=fixed"
    page.get_by_label("Before", exact=True).select_option("0")
    expect(page.locator("#change-count")).to_have_text("That is the same run twice.")
    page.get_by_label("After", exact=True).select_option("1")
    expect(page.locator("#change-count")).to_contain_text("The older run is taken as the one before.")


def test_a_single_run_has_nothing_to_be_compared_with(visit, single):
    page = visit("#/compare", url=single)
    expect(page.locator(".command code")).to_contain_text("--history")


@pytest.mark.parametrize(
    ("route", "titles"),
    [
        ("#/model/alpha-1b", ["Speed-up over eager PyTorch", "Size of the file", "KL divergence to fp32 against size"]),
        (
            f"#/cell/{samples.DIVERGED}",
            [
                "Logit error by position",
                "Samples of decode",
                "Operators by where they run",
                "Speed-up over the runs",
                "Size over the runs",
            ],
        ),
        ("#/charts", ["Speed-up by configuration", "Size by configuration", "KL divergence to fp32 against size"]),
    ],
)
def test_charts_have_a_sentence_and_a_table(visit, route, titles):
    page = visit(route)
    figures = page.locator("figure")
    assert figures.locator("figcaption strong").all_inner_texts() == titles
    for figure in figures.all():
        canvas = figure.get_by_role("img")
        assert re.match(r".+\. .*\d", canvas.get_attribute("aria-label"))
        assert canvas.evaluate(COLOURS) > 10
        figure.get_by_text("Figures as a table").click()
        figure.locator("tbody tr").first.wait_for()


def test_a_charts_table_has_the_figures_of_the_records(visit):
    page = visit("#/model/alpha-1b")
    first = page.locator("figure").first
    first.get_by_text("Figures as a table").click()
    first.locator("table").wait_for()
    assert [row.split("\t") for row in first.locator("tbody tr").all_inner_texts()] == [
        ["xnnpack-fp32-sdpa-kv-8da4w-emb8w", "12.0×"],
        ["xnnpack-fp32", "8.0×"],
        ["portable-fp32", "1.5×"],
    ]


def test_names_and_texts_that_are_markup_are_inert(visit):
    page = visit()
    name = f"{samples.IMAGE}@xnnpack-fp32"
    encoded = page.evaluate("name => encodeURIComponent(name)", name)
    model = page.evaluate("name => encodeURIComponent(name)", samples.IMAGE)
    expect(page.get_by_role("link", name=samples.IMAGE)).to_be_visible()
    for route in (
        "#/?view=cells",
        f"#/model/{model}",
        f"#/cell/{encoded}",
        "#/compare",
        f"#/cell/{encoded}?x",
        f"#/{samples.IMAGE}",
    ):
        go(page, route)
        page.wait_for_function("address => performance.getEntriesByType('mark').length && location.hash", arg=route)
        page.wait_for_timeout(50)
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main script, main iframe").count() == 0
    go(page, f"#/cell/{encoded}")
    expect(page.locator(".verdict")).to_contain_text(samples.SCRIPT)
    text = page.locator("main").inner_text()
    assert "49" not in text
    assert all(word in text for word in samples.HOSTILE)
    assert page.locator("a[href^='javascript']").count() == 0


def test_the_page_may_not_fetch_anything(chromium, dashboard):
    context = chromium.new_context()
    page = context.new_page()
    page.goto(dashboard)
    violated = page.evaluate(
        """() => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective), { once: true });
          fetch("https://example.org/").catch(() => {});
          setTimeout(() => resolve("nothing"), 2000);
        })"""
    )
    assert violated == "connect-src"
    ran = page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.injected = true";
          document.body.append(script);
          return window.injected === true;
        }"""
    )
    assert not ran
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessibility_rules_hold(visit, theme):
    from axe_playwright_python.sync_playwright import Axe

    # Only colours depend on the theme.
    only = {"resultTypes": ["violations"]} | ({} if theme == "light" else {"runOnly": ["color-contrast", "link-in-text-block"]})
    page = visit(color_scheme=theme)
    for route in ROUTES:
        go(page, route)
        for summary in page.locator("figure summary, .divergence summary").all():
            summary.click()
        found = Axe().run(page, options=only).response["violations"]
        told = [(rule["id"], rule["impact"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found]
        assert told == [], route


def test_a_phone_scrolls_down_only(visit):
    page = visit(viewport=PHONE)
    for route in ROUTES:
        go(page, route)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], route


def test_keyboards_reach_a_table_that_scrolls_and_pass_one_that_fits(visit):
    wide, narrow = visit(), visit(viewport=PHONE)
    for page, told in ((wide, [None, None]), (narrow, ["0", "region"])):
        region = page.locator(".scrolling").first
        expect(region).to_have_class(re.compile("fits") if told[0] is None else "scrolling")
        assert [region.get_attribute(name) for name in ("tabindex", "role")] == told
    narrow.set_viewport_size({"width": 1280, "height": 800})
    expect(narrow.locator(".scrolling").first).to_have_class(re.compile("fits"))


def test_a_matrix_of_many_models_is_made_as_it_is_read(visit, single):
    page = visit(url=single)
    table = page.locator("table.grid")
    assert table.get_attribute("aria-rowcount") == "301"
    begun = page.locator("#results tbody tr").count()
    assert begun < 200
    page.get_by_role("button", name="Show all 300 rows").click()
    assert page.locator("#results tbody tr").count() == 300
    assert page.locator("#results tbody tr").last.get_attribute("aria-rowindex") == "301"


def test_reading_on_makes_more_rows(visit, single):
    page = visit(url=single)
    begun = page.locator("#results tbody tr").count()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.locator("#results tbody tr").nth(begun).wait_for(state="attached")


def test_paper_has_every_row_and_no_controls(visit, single):
    page = visit(url=single, color_scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#results tbody tr").count() == 300
    for control in ("form.filters", "#theme", "header nav"):
        assert not page.locator(control).is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 32, 39)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(228, 232, 237)"
