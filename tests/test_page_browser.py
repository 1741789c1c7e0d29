"""The report in a real browser: its answers, links, filters, names from outside, and that it asks for nothing."""

import base64
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import sync_playwright

from eric_fast.bits import BitMatrix
from eric_fast.evaluator import Evaluator
from eric_fast.extract import TreeOptions
from eric_fast.program import ClassRule, Rule
from eric_fast.program import Program as LogicProgram
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model, predict_activations
from eric_fast.show.page import build_report, save_report
from eric_fast.store.activations import Activations, CaptureSettings

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
CLASSES = (
    "<script>alert(1)</script>",
    "</script><b>bold",
    "100 % & 'two' \"quotes\" #/?",
    "<img src=x onerror=alert(2)>",
)
N_IMAGES = 70


class Pictures:
    """Grey squares, by the ids of a capture."""

    name = "pictures"
    folders = CLASSES

    def __init__(self, ids):
        self.ids = ids

    def __len__(self):
        return len(self.ids)

    def load_image(self, index):
        return Image.new("RGB", (24, 16), (index * 3, 80, 120))


def make_capture():
    """A class for each pair of bits of `top`, which follow those of `low`; some predictions are something else."""
    generator = torch.Generator().manual_seed(3)
    low = torch.rand(N_IMAGES, 5, generator=generator)
    top = torch.stack([low[:, 0], low[:, 1], low[:, 2] * low[:, 3], low[:, 4]], dim=1)
    predictions = (top[:, 0] > 0.5).long() * 2 + (top[:, 1] > 0.5).long()
    odd = torch.rand(N_IMAGES, generator=generator) < 0.1
    return Activations(
        norms={"low<b>": low, "top&": top},
        ids=[f"<img src=x onerror=alert({i})>/{i:03d} é?#%.png" for i in range(N_IMAGES)],
        labels=torch.where(torch.arange(N_IMAGES) % 9 == 0, -1, predictions),
        predictions=torch.where(odd, (predictions + 1) % 4, predictions),
        classes=CLASSES,
        settings=CaptureSettings(model="net</title>.py:build", fingerprint="f" * 64, data="<data>"),
    )


@pytest.fixture(scope="module")
def capture():
    return make_capture()


@pytest.fixture(scope="module")
def program(capture):
    return approximate_model(capture, layers="all", options=TreeOptions(min_leaf=4))


@pytest.fixture(scope="module")
def browser():
    """One for all tests; without chromium they are skipped here, and fail in CI."""
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "chromium is missing; in CI no test may go without it"
        pytest.skip("needs chromium, which isn't installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def open_report(browser, tmp_path_factory):
    """A report in a window of its own; whatever it complains of or asks for fails the test at the end."""
    contexts, faults = [], []

    def open_it(report, width=1280, scheme="light"):
        folder = tmp_path_factory.mktemp("report") / "report"
        save_report(report, folder)
        return open_page(folder / "index.html", width, scheme)

    def open_page(path, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))
        own = path.as_uri()
        page.on(
            "request",
            lambda request: faults.append(request.url) if not request.url.startswith((own, "data:")) else None,
        )
        page.goto(own)
        page.wait_for_selector("html[data-ready]")
        page.faults = faults
        page.path = path
        return page

    open_it.page = open_page
    yield open_it
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def window(open_report, capture, program):
    report = build_report(program, capture, data=Pictures(capture.ids), file="it's <p>.lp")
    return open_report(report)


def go(page, address):
    page.evaluate("address => { location.hash = address; }", address)
    page.wait_for_function("address => location.hash.replace(/[?&]start=[^&]*$/, '') === address", arg=address)
    page.wait_for_timeout(20)


def choose_start(page, program, layer):
    """Some tests change the start layer; each begins by saying which it wants."""
    page.select_option("select[name=start]", str(program.layers.index(layer)))


# Every address in the page, followed until there are no new ones: address -> what it shows
CRAWL = """async () => {
  const seen = new Map(), queue = ["#/"];
  while (queue.length) {
    const address = queue.shift();
    if (seen.has(address)) continue;
    location.hash = address;
    await new Promise((resolve) => setTimeout(resolve));
    seen.set(address, {
      title: document.querySelector("main h1").textContent,
      answer: document.querySelector("#answer")?.dataset.answer ?? null,
      bad: document.querySelectorAll("main script, main b > b, img[onerror], img[src=x]").length,
    });
    for (const link of document.querySelectorAll("a[href]")) {
      const next = link.getAttribute("href");
      if (next !== "#main" && !seen.has(next)) queue.push(next);
    }
  }
  return [...seen];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 1])
def test_every_link_leads_somewhere_and_every_image_has_pythons_answer(window, capture, program, layer):
    start = program.layers[layer]
    go(window, "#/")
    choose_start(window, program, start)
    pages = dict(window.evaluate(CRAWL))
    lost = [address for address, page in pages.items() if page["title"] == "Not here"]
    assert lost == []
    assert all(page["bad"] == 0 for page in pages.values())
    assert all(address.startswith("#/") for address in pages)
    kinds = {address.split("/")[1].split("?")[0] for address in pages}
    assert kinds == {"", "classes", "class", "rule", "kernels", "kernel", "program", "images", "image", "help"}
    answers = {page["title"]: int(page["answer"]) for page in pages.values() if page["answer"] is not None}
    expected = predict_activations(program, capture, start=start).classes.tolist()
    assert answers == dict(zip(capture.ids, expected, strict=True))
    assert window.faults == []


def test_page_says_when_its_answers_are_not_pythons(window, open_report, program):
    go(window, "#/")
    window.wait_for_selector("#check[data-differences='0']")
    assert "on all 70 embedded images" in window.text_content("#check")
    document = window.evaluate("JSON.parse(document.getElementById('document').textContent)")
    answers = next(start["answers"] for start in document["starts"] if start["start_layer"] == document["start"])
    other = np.frombuffer(base64.b64decode(answers), "<i4").copy()
    other[7] = (other[7] + 1) % 4
    text = window.path.read_text(encoding="utf-8")
    assert answers in text
    damaged = window.path.with_name("damaged.html")
    damaged.write_text(text.replace(answers, base64.b64encode(other.tobytes()).decode()), encoding="utf-8")
    page = open_report.page(damaged)
    page.wait_for_selector("#check.bad")
    assert "disagree" in page.text_content("#check")


def test_filters_and_search_do_what_they_say(window, capture, program):
    start = program.layers[1]
    go(window, "#/images")
    choose_start(window, program, start)
    answers = predict_activations(program, capture, start=start).classes

    def n_shown():
        return int(window.get_attribute("#count", "data-count"))

    def settle():
        window.wait_for_timeout(30)

    assert n_shown() == N_IMAGES == window.locator(".shot").count()
    window.select_option("select[name=show]", "differ")
    settle()
    n_differing = int((answers != capture.predictions).sum())
    assert 0 < n_differing < N_IMAGES
    assert n_shown() == n_differing == window.locator(".shot.differs").count()
    window.select_option("select[name=model]", CLASSES[1])
    settle()
    assert n_shown() == int(((answers != capture.predictions) & (capture.predictions == 1)).sum())
    window.select_option("select[name=show]", "wrong")
    window.wait_for_timeout(30)
    wrong = (answers != capture.labels) & (capture.labels >= 0) & (capture.predictions == 1)
    assert n_shown() == int(wrong.sum())
    window.click("text=Clear")
    settle()
    window.fill("input[name=q]", "(12)>/012 É")
    window.press("input[name=q]", "Enter")
    settle()
    assert n_shown() == 1
    assert window.locator(".shot").get_attribute("href").endswith("012%20%C3%A9%3F%23%25.png")
    go(window, "#/kernels?q=top%26%3A1")
    assert window.locator("tbody tr").count() == 1
    go(window, "#/kernels?q=nothing")
    assert "No kernel fits" in window.text_content("main")


def test_names_show_as_text(window):
    go(window, "#/classes")
    assert [text.strip() for text in window.locator(".card h2").all_text_contents()] == list(CLASSES)
    go(window, "#/class/" + window.evaluate("encodeURIComponent", CLASSES[1]))
    assert window.text_content("main h1") == CLASSES[1]
    assert window.title().startswith("</script><b>bold")
    go(window, "#/nowhere")
    assert window.text_content("main h1") == "Not here"
    go(window, "#/image/%E0%A4%A")
    assert window.text_content("main h1") == "Not here"


def test_keys_lead_through_the_report(window):
    go(window, "#/")
    for key, title in (("2", "Classes"), ("3", "Kernels"), ("5", "Images"), ("?", "How to read this report")):
        window.keyboard.press(key)
        window.wait_for_timeout(20)
        assert window.text_content("main h1") == title
    window.keyboard.press("5")
    window.wait_for_timeout(20)
    window.keyboard.press("/")
    assert window.evaluate("document.activeElement.name") == "q"
    window.locator(".shot").first.focus()
    window.keyboard.press("Enter")
    window.wait_for_timeout(20)
    first = window.text_content("main h1")
    window.keyboard.press("ArrowRight")
    window.wait_for_timeout(20)
    assert window.text_content("main h1") != first
    window.keyboard.press("ArrowLeft")
    window.wait_for_timeout(20)
    assert window.text_content("main h1") == first


def test_labels_become_commands_for_a_shell(window, program):
    choose_start(window, program, program.layers[1])
    go(window, "#/kernel/top%26%3A0")
    window.fill("input[name=label]", "it's <b>`wheels`</b> $HOME")
    window.click("text=Set label")
    assert window.text_content("main h1") == "it's <b>`wheels`</b> $HOME"
    command = window.input_value("textarea.code")
    assert shlex.split(command) == [
        "eric-fast",
        "label",
        "it's <p>.lp",
        "top&:0=it's <b>`wheels`</b> $HOME",
    ]
    window.reload()
    window.wait_for_selector("html[data-ready]")
    assert window.text_content("main h1") == "it's <b>`wheels`</b> $HOME"
    window.fill("input[name=label]", "")
    window.click("text=Set label")
    assert window.locator("textarea.code").count() == 0


def test_proof_shows_the_rule_and_opens_down_to_given_bits(window, capture, program):
    go(window, "#/")
    choose_start(window, program, program.layers[0])
    predictions = predict_activations(program, capture)
    image = next(i for i, rule in enumerate(predictions.rules.tolist()) if rule >= 0 and program.class_rules[rule].body)
    rule = int(predictions.rules[image])
    go(window, "#/image/" + window.evaluate("encodeURIComponent", capture.ids[image]))
    assert window.locator("section:has-text('Why') a").first.text_content() == f"Rule {rule + 1}"
    steps = window.locator("ul.proof").first.locator("> li")
    assert steps.count() == len(program.class_rules[rule].body)
    assert steps.locator("> details > summary .yes").count() == steps.count()
    window.locator("ul.proof summary").first.click()
    window.locator("ul.proof ul.proof small:has-text('given')").first.wait_for()  # it is filled once it has opened


@pytest.mark.parametrize("place", [0, 1])
def test_turned_bits_are_evaluated_anew(window, capture, program, place):
    """What the page answers once a bit is turned, and what it says would be answered, against the evaluator."""
    top = program.layers[1]
    go(window, "#/")
    choose_start(window, program, program.layers[place])
    given = quantise_activations(capture, program.network_quantiser)
    names, first = program.quantiser.names_of_layer[top], program.quantiser.rows_of_layer[top].start
    evaluator = Evaluator(program, top)
    rows = (given.select_atoms(names) if place else Evaluator(program).truth(given, names)).to_bools()

    def answer(image, atoms):
        row = rows[image].clone()
        for atom in atoms:
            row[atom - first] ^= True
        return int(evaluator.classes(BitMatrix.from_bools(row[None], names))[0])

    n_changed, n_near = 0, 0
    for image in range(0, N_IMAGES, 12):
        go(window, "#/image/" + window.evaluate("encodeURIComponent", capture.ids[image]))
        own = answer(image, [])
        for near in window.locator("li[data-flips]").all():
            atoms = [int(atom) for atom in near.get_attribute("data-flips").split()]
            assert answer(image, atoms) == int(near.get_attribute("data-class")) != own
            n_near += 1
        turns = window.locator("button[data-turn]").evaluate_all(
            "found => found.map((one) => Number(one.dataset.turn))"
        )
        for atom in dict.fromkeys(turns):
            window.locator(f"button[data-turn='{atom}']").first.click()
            assert int(window.get_attribute("#answer", "data-answer")) == answer(image, [atom])
            n_changed += answer(image, [atom]) != own
            assert ("still answer" in window.text_content(".whatif")) == (answer(image, [atom]) == own)
            window.click("text=Undo")
            assert int(window.get_attribute("#answer", "data-answer")) == own
            assert window.locator(".whatif").count() == 0
    assert min(n_changed, n_near) > 3


def test_addresses_hold_the_start_layer(window, open_report, program):
    opening = window.evaluate("JSON.parse(document.getElementById('document').textContent).start")
    other = next(layer for layer in program.layers if layer != opening)
    go(window, "#/classes")
    choose_start(window, program, other)
    address = window.evaluate("location.hash")
    assert address == f"#/classes?start={quote(other, safe='')}"
    go(window, "#/kernels")
    assert window.evaluate("location.hash").startswith("#/kernels?start=")
    page = open_report.page(window.path)
    assert page.input_value("select[name=start]") == str(program.layers.index(opening))
    page.evaluate("address => { location.hash = address; }", address)
    page.wait_for_timeout(30)
    assert page.input_value("select[name=start]") == str(program.layers.index(other))
    assert page.text_content("main h1") == "Classes"
    choose_start(page, program, opening)
    assert page.evaluate("location.hash") == "#/classes"


def test_a_graph_of_layers_starts_from_every_cut(open_report, capture):
    generator = torch.Generator().manual_seed(5)
    low, top = capture.norms["low<b>"], capture.norms["top&"]
    side = (low @ torch.randn(5, 3, generator=generator)).abs()
    edges = (("low", "side"), ("low", "top"), ("side", "top"), ("top", ""))
    train = replace(capture, norms={"low": low, "side": side, "top": top}, edges=edges)
    page = open_report(build_report(approximate_model(train, layers="all", min_leaf=4), train))
    shown = {"low": ["low", "side", "top"], "low,side": ["low", "side", "top"], "top": ["top"]}
    for number, (start, layers) in enumerate(shown.items()):
        go(page, "#/")
        page.select_option("select[name=start]", str(number))
        page.wait_for_selector("#check[data-differences='0']")
        assert f"over the bits of {start}" in page.text_content("main .lead")
        go(page, "#/program")
        assert page.locator("svg text.column").all_text_contents() == [*layers, "rules", "classes"]


def test_theme_follows_the_system_and_the_button(window, open_report):
    dark = open_report.page(window.path, scheme="dark")

    def background(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light_colour, dark_colour = background(window), background(dark)
    assert light_colour != dark_colour
    dark.click("#theme")  # light
    assert background(dark) == light_colour
    dark.click("#theme")
    assert background(dark) == dark_colour


def test_narrow_screens_need_no_sideways_scrolling(window, open_report, program):
    page = open_report.page(window.path, width=390)
    addresses = ["#/", "#/classes", "#/class/100%20%25%20%26%20'two'%20%22quotes%22%20%23%2F%3F", "#/kernels"]
    addresses += ["#/kernel/top%26%3A0", "#/program", "#/images", "#/rule/1", "#/help"]
    for address in addresses:
        go(page, address)
        assert page.text_content("main h1") != "Not here"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address


def make_rules(n_rules, n_atoms, decision, seed=0):
    """A program of random class rules over one layer."""
    lot = torch.Generator().manual_seed(seed)
    rules = []
    for _ in range(n_rules):
        atoms = torch.randperm(n_atoms, generator=lot)[:3].tolist()
        signs = torch.randint(2, (3,), generator=lot).tolist()
        body = tuple(atom if sign else ~atom for atom, sign in zip(atoms, signs, strict=True))
        head = int(torch.randint(4, (1,), generator=lot))
        weight = 1.0 if decision == "first" else 0.1 * int(torch.randint(1, 9, (1,), generator=lot))
        rules.append(ClassRule(head, body, weight=weight))
    atoms = tuple(InputAtom("f", i, ">", 0.5) for i in range(n_atoms))
    base = () if decision == "first" else (0.0, 0.25, 0.0, 0.0)
    return LogicProgram(Quantiser(atoms), CLASSES, rules, decision=decision, base=base)


@pytest.mark.slow
def test_graph_of_a_thousand_rules_stays_readable(open_report, capture):
    norms = torch.rand(N_IMAGES, 60, generator=torch.Generator().manual_seed(1))
    page = open_report(build_report(make_rules(1000, 60, "first"), replace(capture, norms={"f": norms})))
    go(page, "#/program")
    assert page.locator(".node.rule").count() == page.locator(".node.kernel").count() == 18
    assert "18 of 60 kernels, 18 of 1,000 rules" in page.text_content("main")
    go(page, "#/program?n=60")
    assert page.locator(".node.rule").count() == 60
    go(page, "#/program?n=9999")
    assert page.locator(".node").count() <= 3 * 60
    page.select_option("select[name=class]", CLASSES[2])
    page.wait_for_timeout(30)
    assert page.locator(".node.class").count() == 1
    page.locator(".node.rule").first.click()
    page.wait_for_timeout(30)
    assert page.text_content("main h1").startswith("Rule ")
    go(page, "#/")
    page.wait_for_selector("#check[data-differences='0']")


def test_votes_are_counted_as_python_counts_them(open_report, capture):
    norms = torch.rand(N_IMAGES, 8, generator=torch.Generator().manual_seed(2))
    page = open_report(build_report(make_rules(25, 8, "vote"), replace(capture, norms={"f": norms})))
    page.wait_for_selector("#check[data-differences='0']")
    go(page, "#/images")
    assert page.locator(".shot .blank").count() == N_IMAGES  # no data was given, so names stand for pictures


def test_votes_are_a_sheet_with_a_row_for_each_literal(open_report, capture):
    atoms = tuple(InputAtom("top&", i, ">", 0.5) for i in range(4))
    rules = [
        ClassRule(0, (0,), weight=3, also=((1, -2.0), (3, 1.0))),
        ClassRule(1, (~1,), weight=5),
        ClassRule(2, (~1,), weight=-4),
        ClassRule(2, (2, 3), weight=2),
    ]
    program = LogicProgram(Quantiser(atoms), CLASSES, rules, decision="vote", base=(0.0, 7.0, 0.0, 0.0))
    page = open_report(build_report(program, capture), width=390)
    page.click("#tabs a[data-tab=votes]")
    page.wait_for_selector(".sheet")
    rows = page.evaluate(
        "Array.from(document.querySelectorAll('.sheet tbody tr'), r => Array.from(r.cells, c => c.innerText))"
    )
    assert rows == [
        ["before any", "0", "7", "0", "0"],
        ["not top&:1", "·", "+5", "−4", "·"],
        ["top&:0", "+3", "−2", "·", "+1"],
        ["rule 4", "·", "·", "+2", "·"],
    ]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    go(page, f"#/class/{quote(CLASSES[1], safe='')}")
    assert page.locator("section .bars li").all_inner_texts() == ["not top&:1\n+5", "top&:0\n−2"]
    go(page, "#/rule/1")
    assert page.text_content(".sentence").startswith(f"+3 for {CLASSES[0]}, −2 for {CLASSES[1]}")
    norms = capture.norms["top&"]
    image = int(((norms[:, 0] > 0.5) & (norms[:, 1] > 0.5) & (norms[:, 2] <= 0.5)).nonzero()[0])
    go(page, f"#/image/{quote(capture.ids[image], safe='')}")  # 3 points against 5, which lead by what they began with
    assert page.locator(".rivalry .bars li").all_inner_texts() == ["top&:0\n−5"]
    page.click(".rivalry a[href*=votes]")
    page.wait_for_selector(".sheet")
    assert page.locator(".sheet tbody tr").count() == 2
    assert page.faults == []


def test_report_is_one_file_that_allows_itself_nothing(window):
    text = Path(window.path).read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text
    assert (
        window.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    )


def make_weight_rules(decision):
    """Weight rules for the bits of `top&` and for classes, beside conjunctions."""
    atoms = tuple(InputAtom("low<b>", i, ">", 0.5) for i in range(5)) + tuple(
        InputAtom("top&", i, ">", 0.5) for i in range(4)
    )
    kernel_rules = tuple(
        Rule(5 + i, (i, ~((i + 1) % 5), (i + 2) % 5), 9, 7, weights=(3, 1, 2), bound=3 + i % 2) for i in range(4)
    )
    class_rules = tuple(
        ClassRule(
            c, (5 + c, ~(5 + (c + 1) % 4), c), weights=(2, 1, 5), bound=3, weight=c + 1 if decision == "vote" else 1
        )
        for c in range(4)
    )
    class_rules += (ClassRule(3, (~5,)), ClassRule(0, (6, 7), weights=(1, 1), bound=1))
    return LogicProgram(
        Quantiser(atoms), CLASSES, class_rules, kernel_rules, decision=decision, negated=(6,), default=1, n_images=70
    )


@pytest.mark.parametrize("decision", ["first", "vote"])
def test_weight_rules_are_cards_of_points(open_report, capture, decision):
    program = make_weight_rules(decision)
    page = open_report(build_report(program, capture, start="low<b>"))
    page.wait_for_selector("#check[data-differences='0']")
    assert f"and {program.n_integers} integers" in page.text_content("main .lead")
    go(page, "#/rule/1")
    assert "if at least 3 of 8 points" in page.text_content("main .sentence")
    assert page.locator(".card-of-points li").count() == 3
    assert page.locator(".card-of-points li .num").all_text_contents() == ["5", "2", "1"]
    go(page, "#/kernel/top%26%3A0")
    assert "at least 3 of 6 points" in page.text_content("main")
    rules = predict_activations(program, capture, start="low<b>").rules
    image = int((rules == 0).nonzero()[0])
    go(page, f"#/image/{quote(capture.ids[image], safe='')}")
    assert "What settles it:" in page.text_content("main")
    assert (page.locator(".rivalry").count() == 1) == (decision == "vote")
    if folder := os.environ.get("SCREENSHOTS"):
        for name, address in (("rule", "#/rule/1"), ("image", f"#/image/{quote(capture.ids[image], safe='')}")):
            go(page, address)
            page.screenshot(path=f"{folder}/{decision}-{name}.png", full_page=True)
