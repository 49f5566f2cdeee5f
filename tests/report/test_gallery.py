"""The gallery: pictures that tell nothing by their names, a plain page, and a script that votes as Python does."""

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score, recall_score

from alnet_lib.core.files import atomic_path
from alnet_lib.core.vocabulary import CELL_TYPES, DIAGNOSES
from alnet_lib.diagnosis.aggregation import SHARES_1, SHARES_2, MajorityAboveThreshold
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.evaluation import smear_level
from alnet_lib.imaging import decoding
from alnet_lib.report import rendering, safety
from alnet_lib.report.gallery import contents, pictures
from alnet_lib.workflow import provenance

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here")


def _asked(expression, **given):
    """What the pure functions of the script answer, as node computes it."""
    script = (safety.TEMPLATES / "gallery.js").read_text(encoding="utf-8").split("// The page.")[0]
    names = "".join(f"const {name} = {json.dumps(value)};" for name, value in given.items())
    command = ["node", "-e", f"{script};{names}console.log(JSON.stringify({expression}))"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def _scores(first, second, *, lineage=True):
    """Shares of classes as `smear_scores` gives them; no blast, or no module 2, no share of a lineage."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    blasts = second.sum(1, keepdims=True)
    two = np.where((blasts > 0) & lineage, second / np.maximum(blasts, 1), np.nan)
    return pd.DataFrame(np.hstack([first / first.sum(1, keepdims=True), two]), columns=[*SHARES_1, *SHARES_2])


@needs_node
@pytest.mark.parametrize("lineage", [True, False])
def test_the_script_gives_the_verdicts_of_the_rule_at_every_threshold(lineage):
    rng = np.random.default_rng(5)
    first = rng.multinomial(12, [0.1, 0.1, 0.1, 0.2, 0.5], 300)
    first[:5] = [[6, 6, 0, 0, 0], [0, 0, 0, 6, 6], [12, 0, 0, 0, 0], [3, 3, 3, 3, 0], [0, 0, 0, 0, 12]]
    second = np.array([rng.multinomial(n, [0.5, 0.5]) for n in first[:, -1]]) * lineage
    thresholds = [0, 0.05, 0.1, 0.2, 0.25, 1 / 3, 0.4, 0.5, 0.55, 0.6, 2 / 3, 0.7, 0.75, 0.9, 0.99]
    expected = {
        threshold: MajorityAboveThreshold(threshold)(_scores(first, second, lineage=lineage))["verdict"].tolist()
        for threshold in thresholds
    }
    assert {"unknown", "APL"} <= {name for names in expected.values() for name in names}
    found = _asked(
        "thresholds.map((t) => first.map((counts, i) => verdictOf(counts, second[i], t, rule)))",
        first=first.tolist(), second=second.tolist(), thresholds=thresholds,
        rule=contents.rule(0.5, merged=not lineage),
    )  # fmt: skip
    assert dict(zip(thresholds, found, strict=True)) == expected


@needs_node
def test_the_scripts_kappa_and_rates_are_those_of_scikit_learn():
    rng = np.random.default_rng(6)
    readers = [(rng.choice(DIAGNOSES[:k], n), rng.choice(DIAGNOSES, n)) for k, n in ((5, 40), (2, 7), (1, 9))]
    found = _asked("pairs.map(([a, b]) => kappa(a, b))", pairs=[[a.tolist(), b.tolist()] for a, b in readers])
    assert found == pytest.approx([cohen_kappa_score(a, b) for a, b in readers], abs=1e-12)
    assert _asked("[kappa(['AML'], ['AML']), kappa([], [])]") == [None, None]
    shares, truth = rng.integers(0, 11, 60) / 10, rng.random(60) < 0.4
    for threshold in (0, 0.3, 0.5, 0.9):
        point = _asked("rocPoint(shares, truth, t)", shares=shares.tolist(), truth=truth.tolist(), t=threshold)
        rates = [recall_score(truth, shares > threshold, pos_label=label) for label in (True, False)]
        assert [point["sensitivity"], point["specificity"]] == pytest.approx(rates)


@needs_node
def test_a_saved_selection_reads_back_as_it_was():
    rows = [["a", "b"], ['x,"y"', "two\nlines"], ["é", "1.5"]]
    found = pd.read_csv(StringIO(_asked("csv(rows)", rows=rows)), dtype=str)
    assert [list(found), *found.to_numpy().tolist()] == rows


def test_every_smear_is_shown_and_as_many_cells_of_each_as_fit():
    sizes = pd.Series([3, 10, 50])
    assert contents.equal_share(sizes, 63) == 50 and contents.equal_share(sizes, 62) == 49
    assert contents.equal_share(sizes, 9) == 3 and contents.equal_share(sizes, 2) == 1


@pytest.mark.parametrize(
    ("verdict", "expected", "said"),
    [("AML", "AML", "correct"), ("AML", "ALL", "wrong"), ("unknown", "ALL", "unknown"), ("AML", "", "none")],
)
def test_a_verdict_is_judged_only_where_there_is_a_diagnosis(verdict, expected, said):
    assert contents.outcome(verdict, expected) == said


@pytest.fixture(scope="module")
def run(twin, tmp_path_factory):
    """A run of the small synthetic cohort with drawn probabilities and a gallery; no test may change it."""
    folder = tmp_path_factory.mktemp("gallery") / "run, é"
    twin.save(folder / "cohort")
    rng = np.random.default_rng(3)
    cells = twin.manifest.groupby("smear_id").head(2).groupby("cell_type").tail(12).reset_index(drop=True)
    cells["validation"], cells["eligible"] = False, eligible(cells)
    for spec in (MODULE_1, MODULE_2):
        cells[spec.columns] = rng.dirichlet(np.full(len(spec.classes), 0.3), len(cells)).astype(np.float32)
    cells[["map_x", "map_y"]] = rng.normal(size=(len(cells), 2)).astype(np.float32)
    with atomic_path(folder / "predictions" / "cells.parquet") as temporary:
        cells.to_parquet(temporary, index=False)
    about = {"kind": "synthetic", "images": len(cells), "smears": 1, "patients": 1, "name": "synthetic"}
    profile = {"name": "smoke", "threshold": 0.5, "seed": 1, "allow_truncated": False, "crop": 0.6}
    provenance.write_provenance(folder, profile=profile, cohort=about, device="cpu", precision="float32", seed=1)
    rendering.render(folder)
    return folder


@pytest.fixture(scope="module")
def voting(run):
    cells = pd.read_parquet(run / "predictions" / "cells.parquet")
    return cells[cells["split"].ne("train") & cells["eligible"]]


class _Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    def of_class(self, name):
        return [attributes for _, attributes in self.tags if name in (attributes.get("class") or "").split()]


@pytest.fixture(scope="module")
def page(run):
    return _Page(run / "report" / "gallery.html")


def test_every_smear_and_cell_has_an_anchor_and_every_cell_a_picture_with_words(page, voting):
    smears, cells = page.of_class("smear"), page.of_class("cell")
    assert {a["data-name"] for a in smears} == set(voting["smear_id"])
    assert [a["id"] for a in smears] == [f"s-{a['data-number']}" for a in smears]
    assert {a["data-name"] for a in cells} == set(voting["image_id"])
    assert sorted(int(a["id"].removeprefix("c-")) for a in cells) == list(range(1, len(voting) + 1))
    shown = [a for tag, a in page.tags if tag == "img"]
    assert len(shown) == len(voting) and all(
        re.fullmatch(r"Cell \d+: .+, predicted .+, [01]\.\d\d", a["alt"]) for a in shown
    )
    rows = [a["data-verdict-of"] for tag, a in page.tags if tag == "td" and "data-verdict-of" in a]
    assert sorted(rows) == sorted(a["data-number"] for a in smears), "a table with every smear, without a script"


def test_the_page_carries_both_modules_and_the_counts_of_the_vote(page, voting):
    indexed = voting.set_index("image_id")
    for cell in page.of_class("cell"):
        row = indexed.loc[cell["data-name"]]
        assert cell["data-first"] == " ".join(f"{p:.3f}" for p in row[MODULE_1.columns])
        assert cell["data-second"] == " ".join(f"{p:.3f}" for p in row[MODULE_2.columns])
        assert 0 <= float(cell["data-x"]) <= 1 and 0 <= float(cell["data-y"]) <= 1
    predicted, second = MODULE_1.predicted(voting), MODULE_2.predicted(voting)
    for smear in page.of_class("smear"):
        own = voting["smear_id"].eq(smear["data-name"])
        assert smear["data-first"] == " ".join(str(int((predicted[own] == name).sum())) for name in MODULE_1.classes)
        blasts = second[own & predicted.eq("blast")]
        assert smear["data-second"] == " ".join(str(int((blasts == name).sum())) for name in MODULE_2.classes)


def test_neither_the_name_nor_the_number_of_a_picture_tells_the_diagnosis(run, page):
    folder = run / "report" / "gallery"
    names = {path.name for path in folder.iterdir()} - {"cells.csv", "pictures.json"}
    assert all(re.fullmatch(r"(cell-\d{4}|sheet-\d\d)\.webp", name) for name in names)
    for path in folder.glob("*.webp"):
        content = path.read_bytes()
        assert not any(word.encode() in content for word in (*CELL_TYPES, "EXIF", "XMP "))
    order = [int(a["data-number"]) for a in page.of_class("smear")]
    assert sorted(order) == list(range(1, len(order) + 1))
    assert order != sorted(order), "the page is by diagnosis, the numbers are not"


def test_a_sheet_shows_the_whole_original_of_each_cell_in_its_place(run, page, twin):
    rows = pd.Series(range(len(twin.manifest)), index=twin.manifest["image_id"])
    folder, sheets, far = run / "report" / "gallery", {}, []
    for cell in page.of_class("cell")[::4]:
        place, row = pictures.place(int(cell["id"].removeprefix("c-"))), rows[cell["data-name"]]
        sheet = sheets.setdefault(place.sheet, np.asarray(Image.open(folder / place.sheet), int))
        across, down = place.column * pictures.SIDE, place.row * pictures.SIDE
        shown = sheet[down : down + pictures.SIDE, across : across + pictures.SIDE]
        original = decoding.picture(twin.files[row], twin.crops[row])
        far.append(np.abs(shown - decoding.resize(original, pictures.SIDE)).mean())
        large = Image.open(folder / pictures.large_name(int(cell["id"].removeprefix("c-"))))
        assert large.size == (min(original.shape[:2]),) * 2
    assert max(far) < 6, "of 255; another cell would be tens away"


def test_728_small_pictures_take_less_than_a_megabyte(run, voting):
    sheets = (run / "report" / "gallery").glob("sheet-*.webp")
    assert sum(path.stat().st_size for path in sheets) / len(voting) * 728 < 1e6


def test_the_table_of_the_cells_has_every_cell_that_votes(run, voting):
    table = pd.read_csv(run / "report" / "gallery" / "cells.csv")
    assert set(table["image_id"]) == set(voting["image_id"])
    assert {*MODULE_1.columns, *MODULE_2.columns, "verdict", "diagnosis", "cell_type"} <= set(table)
    joined = table.set_index("image_id").loc[voting["image_id"], MODULE_1.columns]
    assert np.allclose(joined, voting[MODULE_1.columns], atol=1e-4)


def test_pictures_are_made_once_and_again_when_one_is_damaged(tmp_path):
    calls = []

    def read(value):
        calls.append(value)
        return np.full((40, 40, 3), value, np.uint8)

    def write(known="a"):
        calls.clear()
        pictures.write(tmp_path / "g", [lambda: read(10), lambda: read(200)], [True, False], known)
        return len(calls)

    assert write() == 2 and write() == 0
    assert sorted(path.name for path in (tmp_path / "g").iterdir()) == [
        "cell-0001.webp",
        "pictures.json",
        "sheet-01.webp",
    ]
    (tmp_path / "g" / "cell-0001.webp").write_bytes(b"")
    (tmp_path / "g" / "old.webp").write_bytes(b"")
    assert write() == 2 and not (tmp_path / "g" / "old.webp").exists()
    assert write("b") == 2


def test_a_run_without_predictions_has_no_gallery_and_what_lay_there_goes(tmp_path):
    (tmp_path / "report" / "gallery").mkdir(parents=True)
    assert contents.contents(tmp_path, tmp_path / "report") is None
    assert not (tmp_path / "report" / "gallery").exists()


def test_cells_without_a_label_and_smears_without_a_diagnosis_or_module_2_are_shown(run, voting, tmp_path):
    plain = voting.drop(columns=[*MODULE_2.columns, "map_x", "map_y"]).assign(cell_type="", site=None)
    plain.loc[plain["smear_id"].eq(plain["smear_id"].iloc[0]), "diagnosis"] = ""
    profile = {"threshold": 0.5, "seed": 1, "allow_truncated": False}
    shown = contents._shown(run, tmp_path, plain, profile)
    environment = safety.environment()
    text = environment.get_template("gallery.html.j2").render(gallery=shown, side=96)
    text += environment.get_template("gallery_tools.html.j2").render(gallery=shown)
    assert "no label" in text and "Module 2" not in text and 'id="map"' not in text and "not given" in text
    assert {smear["outcome"] for smear in shown["smears"]} >= {"none"}
    assert shown["rule"]["calls"] == ["control", "infection", "APL", "AL non-APL"]


@pytest.fixture(scope="module")
def browser():
    """A browser that clicks; skipped where there is no Chromium or no playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield one
        one.close()


@pytest.fixture
def opened(run, browser):
    """A function: the gallery as the browser shows it, and the addresses that it asked for, the errors that it had."""
    pages = []

    def open_(query="", **options):
        page = browser.new_context(viewport={"width": 1280, "height": 900}, **options).new_page()
        page.asked, page.errors = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text))
        page.goto((run / "report" / "gallery.html").as_uri() + query)
        pages.append(page)
        return page

    yield open_
    for page in pages:
        assert page.errors == [] and all(address.startswith("file:") for address in page.asked)
        page.context.close()


@pytest.mark.slow
def test_filters_narrow_the_cells_and_the_address_brings_them_back(opened, voting):
    page = opened()
    assert f"{len(voting)} cells in {voting['smear_id'].nunique()} smears" == page.text_content("#gallery-count")
    wrong = MODULE_1.predicted(voting) != MODULE_1.reference(voting)
    page.select_option("[name=correct]", "no")
    page.select_option("[name=diagnosis]", "AML")
    page.fill("[name=from]", "0.5")
    own = voting[wrong & voting["diagnosis"].eq("AML") & voting[MODULE_1.columns].max(axis=1).round(3).ge(0.5)]
    said = f"{len(own)} cells in {own['smear_id'].nunique()} smears"
    assert page.text_content("#gallery-count") == said and page.locator(".cell:visible").count() == len(own)
    again = opened("?" + page.url.split("?")[1])
    assert again.text_content("#gallery-count") == said
    again.click("text=Show all")
    again.locator("#gallery-count", has_text=re.compile(f"^{len(voting)} ")).wait_for()
    assert "?" not in again.url


@pytest.mark.slow
def test_a_cell_of_a_confusion_matrix_leads_to_its_cells(opened, voting):
    test = voting[voting["split"].eq("test")]
    for module, spec in (("1", MODULE_1), ("2", MODULE_2)):
        own = test[spec.reference(test).notna()]
        counts = pd.crosstab(spec.reference(own), spec.predicted(own))
        row = counts.max(axis=1).idxmax()
        column = counts.loc[row].idxmax()
        page = opened(f"#module={module}&reference={row}&predicted={column}")
        assert page.locator(".cell:visible").count() == counts.loc[row, column]


@pytest.mark.slow
def test_a_cell_of_table_9_leads_to_its_smears(opened, voting):
    votes = smear_level.votes_of(voting[voting["split"].eq("test")], MajorityAboveThreshold(0.5))
    counts = votes.groupby(["reference", "module_1"]).size()
    label, first = counts.idxmax()
    page = opened(f"#split=test&label={label}&vote={first}")
    assert page.locator(".smear:visible").count() == counts.max() < len(votes)
    counts = votes.groupby(["diagnosis", "module_1", "verdict"]).size()
    diagnosis, first, verdict = counts.idxmin()
    page = opened(f"#split=test&vote={first}&diagnosis={diagnosis}&verdict={verdict}")
    assert page.locator(".smear:visible").count() == counts.min()


@pytest.mark.slow
def test_keys_go_from_cell_to_cell_enlarge_and_select(opened):
    page = opened()
    links = page.locator(".smear").first.locator(".cell a")
    assert page.locator('.smear a[tabindex="0"]').count() == page.locator(".smear").count()
    links.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.locator(".cell[data-selected]").count() == 1
    page.keyboard.press("Enter")
    assert page.locator("#cell-dialog").is_visible() and "cell-" in page.get_attribute("#cell-picture img", "src")
    first = page.text_content("#cell-title")
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#cell-title") != first and "#c-" in page.url
    page.keyboard.press("Escape")
    # A dialog tells that it has closed a little later; the page's policy forbids what `wait_for_function` evaluates.
    page.locator(f".cell[id='{page.url.split('#')[1]}'] :focus").wait_for()
    with page.expect_download() as saved:
        page.click("#save-selection")
    table = pd.read_csv(saved.value.path())
    assert len(table) == 1 and first.endswith(table.loc[0, "image_id"])
    assert math.isclose(table[MODULE_1.columns].sum(axis=1)[0], 1, abs_tol=0.003)


@pytest.mark.slow
def test_the_threshold_moves_verdicts_points_and_matrix_together(opened, voting):
    page = opened("?threshold=0.8&open=threshold")
    assert "At 0.80" in page.text_content("#threshold-said")
    at = page.locator("#confusion td button")
    before, points = sum(map(int, at.all_text_contents())), page.text_content("#roc-points tbody")
    page.focus("#threshold")
    page.keyboard.press("Home")
    assert page.text_content("#roc-points tbody") != points
    assert sum(map(int, at.all_text_contents())) == before == voting["smear_id"].nunique()
    assert page.text_content("#threshold-value") == "0.00"
    texts = "all => all.map(e => [e.dataset.verdictOf, e.textContent])"
    verdicts, heads = (page.eval_on_selector_all(f"{tag}[data-verdict-of]", texts) for tag in ("td", "strong"))
    assert sorted(verdicts) == sorted(heads)
    at.first.click()
    assert page.locator(".smear:visible").count() == int(at.first.text_content())


@pytest.mark.slow
def test_the_map_shows_a_cell_on_focus_and_goes_to_it(opened, voting):
    page = opened("?open=map")
    assert page.locator("#map .point").count() == len(voting)
    page.focus("#map")
    assert page.locator("#map-cell img").is_visible()
    before = page.text_content("#map-said")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert before != "" and page.locator("#cell-dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "map"


@pytest.mark.slow
def test_a_blind_reading_shows_no_answer_and_then_compares(opened, voting):
    page = opened("?blind=1&diagnosis=AML")
    words = page.evaluate("document.querySelector('main').innerText")
    names = [*voting["smear_id"], *voting["image_id"], "Myeloblasts", "B-Lymphoblasts", "✓", "✗"]
    assert [name for name in names if name in words] == []
    alts = page.eval_on_selector_all("img", "all => all.map(e => e.alt)")
    assert all(re.fullmatch(r"Cell \d+ of smear \d+", alt) for alt in alts)
    assert page.locator(".smear:visible").count() == voting["smear_id"].nunique(), "a filter would tell the diagnosis"
    headings = page.locator(".smear h2:visible .blind").all_text_contents()
    assert headings == [f"Smear {n + 1}" for n in range(len(headings))]
    page.locator(".smear .cell a").first.click()
    assert page.text_content("#cell-title") == "Cell 1 of smear 1" and "probab" not in page.text_content("#cell-facts")
    page.keyboard.press("Escape")
    for smear in page.locator(".smear").all():
        smear.locator("select").select_option(smear.get_attribute("data-diagnosis"))
    page.click("#reading-end")
    agreement = page.locator("#agreement tbody tr").all_inner_texts()
    n = voting["smear_id"].nunique()
    assert agreement[0].split("\t")[1:] == [str(n), str(n), "100.0", "1.00"]
    page.reload()
    assert f"{n} of {n} smears have your call" in page.text_content("#reading-said"), "the browser keeps the calls"


@pytest.mark.slow
def test_without_scripts_the_page_is_whole_and_has_no_dead_control(opened, voting):
    page = opened(java_script_enabled=False)
    assert page.locator(".cell a:visible").count() == len(voting)
    assert not page.locator("#gallery-tools").is_visible() and not page.locator("main .call").count()
    assert page.locator("main button:visible, main select:visible, main input:visible").count() == 0
