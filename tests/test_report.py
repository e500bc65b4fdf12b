"""Reports: what is drawn against the numbers behind it, that nothing gets out of its place, and how a browser shows it."""

import dataclasses
import html
import html.parser
import itertools
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from metarl_jax import cli, presets
from metarl_jax.config import to_json
from metarl_jax.errors import ConfigError
from metarl_jax.runs import metrics, report
from metarl_jax.runs.settings import by_setting
from metarl_jax.show import style, svg
from metarl_jax.show.markup import el
from metarl_jax.show.report import page

ITERATIONS = 40


def write_run(directory, seed, after, lr=0.1, success=((0.0, 0.5), (1.0, 0.25))):
    """A run whose return is always 100 before and `after` after adaptation; `success` [K + 1, N]."""
    config = presets.PRESETS["ml1-reach-maml"].config
    inner = dataclasses.replace(config.algorithm.inner, lr=lr)
    algorithm = dataclasses.replace(config.algorithm, inner=inner)
    (directory / "eval").mkdir(parents=True)
    config = dataclasses.replace(config, seed=seed, iterations=ITERATIONS, algorithm=algorithm)
    (directory / "config.json").write_text(to_json(config))
    times = dict.fromkeys(metrics.FIELDS, 90.0)
    rows = [
        {"iteration": i, "env_steps": 50_000 * i, **times, "return_before": 100.0, "return_after": after, "loss": -0.5}
        for i in range(1, ITERATIONS + 1)
    ]
    rows[-1] |= {"eval_return_before": 110.0, "eval_return_after": after + 10.0}
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = range(len(success[0]))
    curve = {
        "tasks": "2 held-out tasks",
        "notes": ["a note"],
        "task": [*tasks],
        "task_env": ["reach-v3" for _ in tasks],
    }
    curve |= {"all_tasks": False, "returns": [[100.0 for _ in tasks], [after for _ in tasks]]}
    curve["success"] = {"values": success}
    (directory / "eval" / f"iteration-{ITERATIONS}.json").write_text(json.dumps(curve))
    return directory


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two settings, of five seeds and of two, with an embedding, a film and a diagnosis of the first."""
    root = tmp_path_factory.mktemp("report") / "sweep"
    for seed in range(5):
        write_run(root / "lr=0.2" / f"seed-{seed}", seed, 1200.0 + seed, lr=0.2)
    for seed in range(2):
        write_run(root / "lr=0.3" / f"seed-{seed}", seed, 2400.0, lr=0.3)
    first = root / "lr=0.2" / "seed-0"
    points = np.random.default_rng(0).normal(size=(2, 6, 3))
    embedding = {"iteration": ITERATIONS, "points": points.tolist(), "families": ["reach-v3"] * 6}
    embedding["tasks"] = [[[np.cos(i), np.sin(i)] for i in range(6)]]
    (first / "eval" / f"embedding-iteration-{ITERATIONS}.json").write_text(json.dumps(embedding))
    check = {"name": "adaptation", "judgement": "Adaptation helps: <b>a lot</b>.", "slope": 1.0}
    diagnosis = {"task": 3, "task_env": "reach-v3", "iteration": ITERATIONS, "checks": [check]}
    (first / "eval" / f"diagnosis-task-3-iteration-{ITERATIONS}.json").write_text(json.dumps(diagnosis))
    (first / "plots").mkdir()
    (first / "plots" / "film.gif").write_bytes(b"GIF89a")
    (root / "sweep.json").write_text("{}")
    return root


@pytest.fixture(scope="module")
def text(sweep):
    return page("a sweep", report.entries(report.find_runs([sweep])))


class Elements(html.parser.HTMLParser):
    """Names of elements, attributes by element, and the text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found and self.found[-1][0] not in ("script", "style"):
            self.text.append(data)


# Colours and numbers.


def linear(colour):
    """sRGB's linear light of `#rrggbb`."""
    x = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def lab(light):
    """CIE 1976 L*a*b* under D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ light
    x = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


SEEN_BY = {  # Machado, Oliveira and Fernandes 2009, severity 1
    "all": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def distance(one, other, eye):
    seen = (lab(np.clip(np.array(SEEN_BY[eye]) @ linear(colour), 0, 1)) for colour in (one, other))
    return np.linalg.norm(np.subtract(*seen))


@pytest.mark.parametrize(
    ("palette", "ground"), [(style.PALETTE, style.GROUND), (style.PALETTE_ON_DARK, style.GROUND_DARK)]
)
def test_colours_are_told_apart_by_everybody(palette, ground):
    """A distance of 2 can just be seen; matplotlib's own colours come to 4 and less. Contrast 3 is WCAG's for graphics."""
    for eye in SEEN_BY:
        assert min(distance(*pair, eye) for pair in itertools.combinations(palette, 2)) > 15.0, eye
    luminance = [np.dot([0.2126, 0.7152, 0.0722], linear(colour)) for colour in (ground, *palette)]
    contrasts = [(max(x, luminance[0]) + 0.05) / (min(x, luminance[0]) + 0.05) for x in luminance[1:]]
    assert min(contrasts) > 3.0


def test_the_measure_sees_what_is_not_told_apart():
    red, green = "#d62728", "#2ca02c"  # matplotlib's
    assert distance(red, green, "all") > 100.0 and distance(red, green, "deuteranopes") < 40.0
    assert distance("#1f77b4", "#9467bd", "deuteranopes") < 15.0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (style.number(0.12345), "0.123"),
        (style.number(-41.0), "\u221241"),
        (style.number(999.4), "999"),
        (style.number(12345.6), "12\u202f346"),
        (style.number(-1234567.0), "\u22121\u202f234\u202f567"),
        (style.number(None), "\u2013"),
        (style.number(float("nan")), "\u2013"),
        (style.number(97.25, 6), "97.25"),
        (style.si(12_000_000), "12\u202fM"),
        (style.si(3_072_000), "3.07\u202fM"),
        (style.si(512_000), "512\u202fk"),
        (style.si(0.5), "0.5"),
        (style.seconds(45.2), "45.2 s"),
        (style.seconds(59.7), "1 min 0 s"),
        (style.seconds(3600 * 3 + 60 * 12 + 5), "3 h 12 min"),
    ],
)
def test_numbers_in_words(said, words):
    assert said == words


# Charts.


def ticks(chart, kind):
    """(place, value) of the ticks on one axis."""
    place = {"end": "y", "middle": "x"}[kind]
    found = []
    for attributes, label in re.findall(rf'<text class="tick {kind}"([^>]*)>([^<]*)</text>', chart):
        plain = label.replace("\u202f", "").replace("\u2212", "-")
        if plain[-1] in "0123456789k":  # the axis's own name is none
            value = float(plain.removesuffix("k")) * (1e3 if plain.endswith("k") else 1.0)
            found.append((float(re.search(rf' {place}="([\d.]+)"', attributes)[1]), value))
    return np.array(found)


def drawn(chart, kind):
    """Points of the paths of one class, in the axes' numbers, as their ticks tell them."""
    scales = [np.polyfit(*ticks(chart, axis).T, 1) for axis in ("middle", "end")]
    picture = chart.partition("</svg>")[0]  # beside it is the legend
    for path in re.findall(rf'<path class="{kind}[^"]*" d="([^"]*)"', picture):
        points = np.array([[float(x) for x in pair.split()] for pair in re.findall(r"[ML]([\d.]+ [\d.]+)", path)])
        yield np.stack([np.polyval(scale, column) for scale, column in zip(scales, points.T, strict=True)], axis=1)


def test_a_curve_goes_where_its_ticks_say():
    x, y = np.linspace(1e3, 50e3, 30), np.cos(np.linspace(0, 5, 30)) * 3 - 40
    y[10] = np.nan
    chart = svg.chart("y", [svg.Line("one", x, y, 0, low=y - 1, high=y + 2)], "steps")
    (line,), (band,) = drawn(chart, "line"), drawn(chart, "band")
    there = np.isfinite(y)
    one_pixel = np.array([200.0, 0.05])  # and less

    def compare(found, *heights):
        wanted = np.concatenate(
            [np.stack([x, height], axis=1)[there][::way] for way, height in zip((1, -1), heights, strict=False)]
        )
        assert (np.abs(found - wanted) < one_pixel).all()

    compare(line, y)
    compare(band, y - 1, y + 2)
    assert chart.count("M") >= 2  # the gap is no line
    told = json.loads(re.search(r"<script[^>]*>(.*?)</script>", chart)[1])
    assert told["lines"][0]["y"][10] is None
    np.testing.assert_allclose(told["lines"][0]["x"], x, rtol=1e-4)


def test_a_constant_curve_is_no_cliff():
    chart = svg.chart("y", [svg.Line("", np.arange(3.0), np.full(3, 5.0), 0)], "steps")
    ((line),) = drawn(chart, "line")
    np.testing.assert_allclose(line[:, 1], 5.0, rtol=1e-3)
    assert np.ptp(ticks(chart, "end")[:, 1]) > 0.0


def test_cells_of_a_heat_map():
    strips = svg.strips("title", [("row", [0.0, 0.25, 1.0])], "goal")
    cells = re.findall(r'<rect x="(\d)"[^>]*fill-opacity="([\d.]+)"', strips)
    assert cells == [("1", "0.250"), ("2", "1.000")] and ">0.42<" in strips


# Reading runs.


def test_what_is_said_of_a_sweep(sweep, text):
    two, three = report.entries(report.find_runs([sweep]))
    assert (two.label, three.label) == ("lr=0.2", "lr=0.3")
    assert two.changes == {"algorithm.inner.lr": "0.2", "iterations": "40"}
    assert two.command == "metarl train ml1-reach-maml --algorithm.inner.lr 0.2 --iterations 40"
    assert two.facts["seeds"] == "0, 1, 2, 3, 4" and two.facts["environment steps"] == "2\u202fM"
    assert two.facts["iterations"] == "40" and two.facts["notes"] == "a note"
    assert two.facts["return, IQM"].startswith("1\u202f202 [1\u202f20")
    assert two.facts["return before adaptation, IQM"] == "100"
    assert two.adaptation.values == {"return": [100.0, pytest.approx(1202.0)], "success": [0.25, 0.625]}
    low, high = two.adaptation.intervals["return"][-1]
    assert 1200.0 < low < 1202.0 < high < 1204.0
    assert three.adaptation.intervals["return"] is None  # of two runs none is known
    (heat,) = two.heats
    assert heat.rows == [("before adaptation", [0.0, 0.5]), ("after 1 adaptation step", [1.0, 0.25])]
    assert two.planes[0].points.shape == (1, 6, 2)
    np.testing.assert_allclose(two.planes[0].colours[:3], np.degrees([0.0, 1.0, 2.0]))
    assert two.films[0][0] == "seed-0: film" and two.films[0][2]
    assert "lr=0.3" in text and "1\u202f202 [1\u202f20" in text


def test_rows_of_one_task_are_one_cell(tmp_path):
    write_run(tmp_path / "run", 0, 1.0)
    path = tmp_path / "run" / "eval" / f"iteration-{ITERATIONS}.json"
    curve = json.loads(path.read_text()) | {"task": [0, 1, 0, 2], "task_env": ["b", "a", "b", "a"]}
    curve |= {"returns": [[0.0] * 4] * 2, "success": {"values": [[0.0] * 4, [1.0, 0.3, 0.0, 0.1]]}}
    path.write_text(json.dumps(curve))
    (entry,) = report.entries([tmp_path / "run"])
    assert [heat.title for heat in entry.heats] == ["before adaptation", "after 1 adaptation step"]
    assert entry.heats[1].rows == [("b", [0.5]), ("a", [0.3, 0.1])]


def test_an_unfinished_run_has_a_report(tmp_path):
    shutil.rmtree(write_run(tmp_path / "run", 0, 1.0) / "eval")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(lines[:3]))
    (entry,) = report.entries([tmp_path / "run"])
    assert entry.facts["iterations"] == "3 of 40" and entry.adaptation is None
    assert "Adaptation</h2>" not in page("run", [entry])


def test_films_that_are_too_large_are_named(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", 0, 1.0)
    (run / "plots").mkdir()
    for name, size in (("a.gif", 30), ("b.mp4", 25), ("c.gif", 60)):
        (run / "plots" / name).write_bytes(b"x" * size)
    monkeypatch.setattr(report, "_SMALL", 50)
    monkeypatch.setattr(report, "_SMALL_TOGETHER", 50)
    (entry,) = report.entries([run])
    assert [small for _, _, small in entry.films] == [True, False, False]
    assert "c.gif, too large" in page("run", [entry])


@pytest.mark.parametrize("spoil", ["nothing", "empty", "damaged"])
def test_bad_input_is_one_error(tmp_path, capfd, spoil):
    place = tmp_path / "place"
    place.mkdir()
    words = "no run directory"
    if spoil != "nothing":
        write_run(place / "run", 0, 1.0)
    if spoil == "empty":
        (place / "run" / "metrics.jsonl").write_text("")
        words = "no metrics"
    if spoil == "damaged":
        (place / "run" / "eval" / f"iteration-{ITERATIONS}.json").write_text('{"returns": 1}')
        words = "is damaged"
    out = tmp_path / "report.html"
    assert cli.main(["report", str(place), "--out", str(out)]) == 2 and not out.exists()
    err = capfd.readouterr().err
    assert err.count("error: ") == 1 and words in err
    assert cli.main(["report", str(place), "--out", str(tmp_path / "report.txt")]) == 2
    assert ".html" in capfd.readouterr().err


def test_the_command_writes_one_file(sweep, tmp_path, capfd):
    out = tmp_path / "report.html"
    assert cli.main(["report", str(sweep), "--out", str(out)]) == 0
    assert capfd.readouterr().out == f"written: {out}\n" and [*tmp_path.iterdir()] == [out]


def test_a_run_is_named_once(sweep):
    runs = report.find_runs([sweep, sweep / "lr=0.2" / "seed-0", sweep / "lr=0.3"])
    assert len(runs) == 7 and {name: len(of) for name, of in by_setting(runs).items()} == {"lr=0.2": 5, "lr=0.3": 2}
    with pytest.raises(ConfigError, match="no run directory"):
        report.find_runs([sweep / "lr=0.2" / "seed-0" / "eval"])


# The page.


def test_what_is_no_markup_is_escaped(sweep):
    hostile = '</script><script>alert("1")</script><b>&'
    (two, three) = report.entries(report.find_runs([sweep]))
    heat = two.heats[0]._replace(title=hostile, rows=[(hostile, [1.0])], what=hostile)
    spoilt = two._replace(
        label=hostile,
        env=hostile,
        facts={hostile: hostile},
        changes={hostile: hostile},
        command=hostile,
        adaptation=two.adaptation._replace(tasks=hostile),
        heats=[heat],
        planes=[two.planes[0]._replace(axes=(hostile, hostile), words=hostile)],
        films=[(hostile, two.films[0][1], True)],
        diagnoses=[(hostile, {hostile: hostile})],
    )
    elements = Elements(page(hostile, [spoilt, three]))
    names = [name for name, _ in elements.found]
    assert not {"b", "alert"} & set(names)
    assert all(
        attributes.get("type") in (None, "application/json") for tag, attributes in elements.found if tag == "script"
    )
    assert sum(tag == "script" and not attributes for tag, attributes in elements.found) == 1
    assert hostile in " ".join(elements.text)
    assert str(el("p", hostile, title=hostile)).count("<") == 2


def test_nothing_comes_from_elsewhere(text):
    places = [
        value for _, attributes in Elements(text).found for name, value in attributes.items() if name in ("src", "href")
    ]
    assert places and all(place.startswith("data:") for place in places)
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|import\(", text)


PROBE = """<script>
const seen = { width: innerWidth, over: document.documentElement.scrollWidth - innerWidth, told: [] };
seen.dark = matchMedia("(prefers-color-scheme: dark)").matches;
seen.ground = getComputedStyle(document.body).backgroundColor;
for (const picture of document.querySelectorAll(".chart > svg, .strip")) {
  const box = picture.getBoundingClientRect();
  picture.dispatchEvent(new PointerEvent("pointermove", { clientX: box.right - 2, clientY: box.top + 5 }));
  seen.told.push([...document.querySelectorAll("#told > div")].map((line) => line.textContent));
}
const said = document.createElement("pre");
said.id = "probe";
said.textContent = JSON.stringify(seen);
document.body.append(said);
</script></body>"""


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """What a page says of itself in a browser of some width, and what it wrote to the console."""
    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium: the Debian package `chromium`")

    def browse(text, width, dark):
        """In a frame of that width: windows are 500 wide at least."""
        place = tmp_path_factory.mktemp("chromium")
        inside = html.escape(text.replace("</body>", PROBE))
        take = "document.body.append(this.contentDocument.getElementById('probe').cloneNode(true))"
        frame = f'<iframe id="frame" width="{width}" height="900" style="border: 0" onload="{take}" srcdoc="{inside}"></iframe>'
        (place / "page.html").write_text(f"<!doctype html><meta charset='utf-8'><body>{frame}", encoding="utf-8")
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={place / 'user'}"]
        command += ["--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1400,1000"]
        command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom"]
        command += [f"file://{place / 'page.html'}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout.rpartition("</iframe>")[2])
        said = json.loads(html.unescape(probe[1])) if probe else {}
        return said, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return browse


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False), (1280, True)])
def test_a_browser_shows_it(browse, text, width, dark):
    said, console = browse(text, width, dark)
    assert console == [] and said["width"] == width
    assert said["over"] <= 0  # nothing is wider than the screen
    assert said["dark"] is dark and said["ground"] == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    curves = said["told"][0]
    assert curves[0] == "2\u202fM environment steps"
    assert curves[1:] == [
        f"{label}, {when} adaptation: {value}"
        for label, after in (("lr=0.2", "1\u202f202"), ("lr=0.3", "2\u202f400"))
        for when, value in (("before", "100"), ("after", after))
    ]
    assert ["task 2: 0.25"] in said["told"]


@pytest.mark.slow
def test_the_browser_tells_of_errors(browse, text):
    """The check above can fail."""
    _, console = browse(text.replace('"use strict";', '"use strict"; nothing.there();'), 1280, False)
    assert any("nothing is not defined" in line for line in console)
