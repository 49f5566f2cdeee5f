// The gallery: filter, threshold, map, selection and blind reading; the page reads as plain tables without this file.
const sum = (counts) => counts.reduce((a, b) => a + b, 0);
// Position of the class that more than a threshold of the cells belong to; -1 where there is none, or a tie.
function winner(counts, threshold) {
  const top = Math.max(...counts), tied = counts.filter((count) => count === top).length > 1;
  return sum(counts) && top / sum(counts) > threshold && !tied ? counts.indexOf(top) : -1;
}
// The rule of diagnosis/aggregation.py; a test compares the two.
function verdictOf(first, second, threshold, rule) {
  const best = winner(first, threshold);
  if (best < 0) return rule.unknown;
  if (rule.first[best] !== rule.asks || !sum(second)) return rule.first[best];
  const lineage = winner(second, threshold);
  return lineage < 0 ? rule.unknown : rule.second[lineage];
}
// Sensitivity and specificity of one class: a smear is positive where the class's share exceeds the threshold.
function rocPoint(shares, truth, threshold) {
  const rate = (wanted) => {
    const own = shares.filter((_, i) => truth[i] === wanted);
    return own.length ? own.filter((share) => share > threshold === wanted).length / own.length : NaN;
  };
  return { sensitivity: rate(true), specificity: rate(false) };
}
// Agreement of two readers, beyond chance; null where chance alone would give it.
function kappa(one, other) {
  const n = one.length, names = [...new Set([...one, ...other])];
  const same = one.filter((call, i) => call === other[i]).length / n;
  const chance = sum(names.map((name) => one.filter((c) => c === name).length * other.filter((c) => c === name).length)) / n ** 2;
  return n && chance < 1 ? (same - chance) / (1 - chance) : null;
}
function csv(rows) {
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
}
// The page.
const tools = document.getElementById("gallery-tools");
if (tools) gallery();
function gallery() {
  const by = (id) => document.getElementById(id), all = (found, within = document) => [...within.querySelectorAll(found)];
  const given = Object.fromEntries(["rule", "classes", "lineages", "colours", "verdicts"].map((name) => [name, JSON.parse(tools.dataset[name])]));
  const { rule, classes, lineages, colours } = given, labels = Object.fromEntries([...classes, ...lineages]);
  const named = Object.fromEntries(given.verdicts), said = (verdict) => named[verdict] ?? verdict;
  const numbers = (text) => (text ? text.split(" ").map(Number) : []);
  const make = (tag, attributes = {}, ...inside) => {
    const element = /^(svg|path|circle|line|text|g)$/.test(tag) ? document.createElementNS(by("roc").namespaceURI, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inside);
    return element;
  };
  const filter = by("gallery-filter"), slider = by("threshold"), root = document.documentElement, list = by("gallery-smears");
  const kept = Object.fromEntries(["map", "dialog"].map((name) => [name, null]));
  const smears = all(".smear").map((element) => {
    const d = element.dataset;
    return { element, ...d, number: Number(d.number), first: numbers(d.first), second: numbers(d.second), lists: element.querySelector(".cells"), shown: true, cells: [] };
  });
  const cells = [];
  smears.forEach((smear) => {
    smear.cells = [...smear.lists.children].map((element, position) => {
      const d = element.dataset, first = numbers(d.first);
      const cell = { element, ...d, smear, position, first, second: numbers(d.second), p: Math.max(...first), link: element.querySelector("a"), img: element.querySelector("img"), number: Number(element.id.slice(2)), chosen: false };
      cell.references = d.reference.split(" ");
      cell.alt = cell.img.alt;
      cells.push(cell);
      return cell;
    });
  });
  const shown = () => smears.filter((smear) => smear.shown).flatMap((smear) => [...smear.lists.children].map((element) => cellOf.get(element))).filter((cell) => !cell.element.hidden);
  const cellOf = new Map(cells.map((cell) => [cell.element, cell]));
  const threshold = () => Number(slider.value), blind = () => root.classList.contains("reading");
  const outcome = (smear) => (!smear.expected ? "none" : smear.verdict === smear.expected ? "correct" : smear.verdict === rule.unknown ? "unknown" : "wrong");
  const sign = { correct: "✓", wrong: "✗", unknown: "?", none: "" };

  // --- the address keeps the state ---
  const names = [...new Set([...filter.elements].map((field) => field.name).filter(Boolean))], panels = all("details.panel", tools);
  const anchor = () => (location.hash.includes("=") ? "" : location.hash);
  function keep(hash = anchor()) {
    const state = new URLSearchParams();
    names.forEach((name) => { if (filter.elements[name].value) state.set(name, filter.elements[name].value); });
    if (threshold() !== rule.threshold) state.set("threshold", slider.value);
    const open = panels.filter((panel) => panel.open).map((panel) => panel.id.replace("-panel", ""));
    if (open.length) state.set("open", open.join(" "));
    if (blind()) state.set("blind", "1");
    // A browser may forbid this on a page from disk; nothing else depends on it.
    try { history.replaceState(null, "", `${location.pathname}${state.size ? `?${state}` : ""}${hash}`); } catch { /* as it was */ }
  }
  function restore() {
    const state = new URLSearchParams(location.search || (anchor() ? "" : location.hash.slice(1)));
    // From a confusion matrix: the module whose testing cells it counts.
    if (state.get("module") === "2") {
      state.set("lineage", state.get("predicted"));
      state.delete("predicted");
    }
    if (state.has("module")) state.set("split", "test");
    names.forEach((name) => { if (state.has(name)) filter.elements[name].value = state.get(name); });
    if (state.has("threshold")) slider.value = state.get("threshold");
    panels.forEach((panel) => { panel.open ||= (state.get("open") ?? "").split(" ").includes(panel.id.replace("-panel", "")); });
    return state.get("blind") === "1";
  }

  // --- filter ---
  const inside = (cell, wanted) => {
    if (wanted.reference && !(wanted.reference === "none" ? !cell.reference : cell.references.includes(wanted.reference))) return false;
    if (wanted.predicted && cell.predicted !== wanted.predicted) return false;
    if (wanted.lineage && cell.lineage !== wanted.lineage) return false;
    const [what, value] = wanted.correct?.endsWith("2") ? ["lineageCorrect", wanted.correct.slice(0, -1)] : ["correct", wanted.correct];
    if (value && cell[what] !== value) return false;
    return !(wanted.from && cell.p < Number(wanted.from)) && !(wanted.to && cell.p > Number(wanted.to));
  };
  const place = (smear, wanted) => (!wanted.split || smear.split === wanted.split) && (!wanted.site || smear.site === wanted.site);
  const match = (smear, wanted) => place(smear, wanted) && (!wanted.diagnosis || smear.diagnosis === wanted.diagnosis) && (!wanted.verdict || smear.verdict === wanted.verdict)
    && (!wanted.label || smear.class === wanted.label) && (!wanted.vote || smear.vote === wanted.vote) && (!wanted.outcome || outcome(smear) === wanted.outcome || (wanted.outcome === "fault" && ["wrong", "unknown"].includes(outcome(smear))));
  function show() {
    const wanted = Object.fromEntries(new FormData(filter));
    const key = { falling: (cell) => -cell.p, rising: (cell) => cell.p }[wanted.order] ?? ((cell) => cell.position);
    let there = 0;
    smears.forEach((smear) => {
      smear.cells.forEach((cell) => { cell.element.hidden = !inside(cell, wanted); });
      const own = smear.cells.filter((cell) => !cell.element.hidden);
      if (smear.order !== wanted.order) smear.lists.append(...[...smear.cells].sort((a, b) => key(a) - key(b)).map((cell) => cell.element));
      smear.order = wanted.order;
      smear.shown = match(smear, wanted) && own.length > 0;
      smear.element.hidden = !smear.shown;
      if (smear.shown) there += own.length;
      rove(own.includes(smear.current) ? smear.current : cellOf.get([...smear.lists.children].find((element) => !element.hidden)), smear);
    });
    const seen = smears.filter((smear) => smear.shown).length;
    by("gallery-count").textContent = there ? `${there.toLocaleString("en")} cells in ${seen} smears` : "No cell matches; “Show all” takes the filter away.";
    drawMap();
    keep();
  }
  filter.addEventListener("input", () => { vote(); });
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    vote();
  });
  filter.addEventListener("reset", () => setTimeout(vote));

  // --- keyboard: one stop of the Tab key a smear, arrows between its cells ---
  function rove(cell, smear) {
    smear.current = cell;
    smear.cells.forEach((each) => { each.link.tabIndex = each === cell ? 0 : -1; });
  }
  list.addEventListener("keydown", (event) => {
    const cell = cellOf.get(event.target.closest("a")?.parentElement);
    if (!cell || event.target.tagName === "INPUT") return;
    const own = [...cell.smear.lists.children].filter((element) => !element.hidden).map((element) => cellOf.get(element));
    const across = own.filter((each) => each.element.offsetTop === own[0].element.offsetTop).length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -own.length, End: own.length }[event.key];
    if (step) {
      const next = own[Math.min(Math.max(own.indexOf(cell) + step, 0), own.length - 1)];
      rove(next, cell.smear);
      next.link.focus();
    } else if (event.key === " " && !blind()) choose([cell], !cell.chosen);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const cell = cellOf.get(event.target.closest("a")?.parentElement);
    if (!cell || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    rove(cell, cell.smear);
    enlarge(cell);
  });

  // --- selection ---
  function choose(some, chosen) {
    some.forEach((cell) => {
      cell.chosen = chosen;
      cell.box.checked = chosen;
      cell.element.toggleAttribute("data-selected", chosen);
    });
    const n = cells.filter((cell) => cell.chosen).length;
    by("clear-selection").disabled = by("save-selection").disabled = !n;
    by("save-selection").textContent = n ? `Save the selection as CSV (${n})` : "Save the selection as CSV";
    if (some.length) by("gallery-count").textContent = `${n} ${n === 1 ? "cell is" : "cells are"} selected`;
    if (kept.dialog) by("cell-select").setAttribute("aria-pressed", String(kept.dialog.chosen));
  }
  cells.forEach((cell) => {
    cell.box = make("input", { type: "checkbox", tabindex: "-1", "aria-label": `Select cell ${cell.number}` });
    cell.box.addEventListener("change", () => choose([cell], cell.box.checked));
    cell.element.prepend(cell.box);
    cell.link.setAttribute("aria-haspopup", "dialog");
  });
  by("select-shown").addEventListener("click", () => choose(shown(), true));
  by("clear-selection").addEventListener("click", () => choose(cells.filter((cell) => cell.chosen), false));
  function save(rows, name) {
    const link = make("a", { href: URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  by("save-selection").addEventListener("click", () => {
    const head = ["cell", "image_id", "smear_id", "patient_id", "split", "site", "diagnosis", "verdict", "threshold", "reference_label", ...classes.map(([name]) => `p1_${name}`), ...lineages.map(([name]) => `p2_${name}`)];
    const rows = cells.filter((cell) => cell.chosen).map(({ smear, ...cell }) => [cell.number, cell.name, smear.name, smear.patient, smear.split, smear.site, smear.diagnosis, smear.verdict, threshold(), cell.references[0], ...cell.first, ...lineages.map((_, i) => cell.second[i] ?? "")]);
    save([head, ...rows], "cells.csv");
  });

  // --- one cell, larger ---
  const dialog = by("cell-dialog");
  function enlarge(cell) {
    kept.dialog = cell;
    const hidden = blind(), { smear } = cell, large = cell.link.getAttribute("href");
    by("cell-title").textContent = hidden ? `Cell ${cell.position + 1} of smear ${smear.number}` : `Cell ${cell.number}: ${cell.name}`;
    const picture = cell.img.cloneNode();
    if (!large.startsWith("#")) Object.assign(picture, { src: large, className: "", width: 360, height: 360 });
    else picture.className += " sprite";
    picture.loading = "eager";
    by("cell-picture").replaceChildren(picture);
    const facts = by("cell-facts");
    facts.replaceChildren();
    by("cell-select").setAttribute("aria-pressed", String(cell.chosen));
    if (hidden) facts.append(make("p", {}, `Cell ${cell.position + 1} of ${smear.cells.length}.`));
    else {
      facts.append(make("p", {}, `Smear ${smear.name}, ${smear.site}; diagnosis ${said(smear.diagnosis) || "not given"}, verdict ${said(smear.verdict)} ${sign[outcome(smear)]}`), make("p", {}, "Reference label: ", make("strong", {}, cell.label)));
      const rows = [["Module 1", classes, cell.first, cell.correct], ["Module 2", lineages, cell.second, cell.lineageCorrect]].filter((row) => row[2].length);
      rows.forEach(([module, known, p, correct]) => {
        const body = known.map(([, label], i) => make("tr", {}, make("th", { scope: "row" }, label), make("td", { class: "number" }, p[i].toFixed(3)), make("td", {}, make("meter", { min: 0, max: 1, value: p[i], "aria-label": `${label}, ${p[i].toFixed(3)}` }))));
        facts.append(make("table", { class: "data" }, make("caption", {}, `${module} ${{ yes: "✓ correct", no: "✗ wrong", "": "" }[correct]}`), make("tbody", {}, ...body)));
      });
    }
    if (!dialog.open) {
      dialog.showModal();
      by("cell-title").focus();
    }
    keep(`#c-${cell.number}`);
  }
  function turn(step) {
    const own = shown(), at = own.indexOf(kept.dialog), next = own[at + step];
    if (next) { rove(next, next.smear); enlarge(next); }
  }
  by("cell-back").addEventListener("click", () => turn(-1));
  by("cell-next").addEventListener("click", () => turn(1));
  by("cell-close").addEventListener("click", () => dialog.close());
  by("cell-select").addEventListener("click", () => choose([kept.dialog], !kept.dialog.chosen));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => { if (["ArrowLeft", "ArrowRight"].includes(event.key)) turn(event.key === "ArrowLeft" ? -1 : 1); });
  dialog.addEventListener("close", () => { const cell = kept.dialog; kept.dialog = null; (kept.from ?? cell.link).focus(); kept.from = null; });

  // --- threshold: verdicts, ROC points and confusion matrix move together ---
  const table = by("confusion"), marks = ["M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z", "M-5-5H5V5H-5Z", "M0-6 6 5H-6Z", "M0-7 6 0 0 7-6 0Z", "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z", "M0 6-6-5H6Z"];
  // Black would not be seen on a dark page.
  const paint = (element, colour) => { element.style.color = colour === "#000000" ? "" : colour; element.classList.toggle("black", colour === "#000000"); return element; };
  const mark = (i) => paint(make("svg", { class: "mark", width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }, make("path", { d: marks[i], fill: "currentColor" })), colours[i] ?? "#7F7F7F");
  function vote() {
    const t = threshold(), wanted = Object.fromEntries(new FormData(filter));
    smears.forEach((smear) => {
      smear.verdict = verdictOf(smear.first, smear.second, t, rule);
      smear.vote = classes[winner(smear.first, t)]?.[0] ?? rule.unknown;
    });
    all("[data-verdict-of]").forEach((element) => {
      const smear = smears.find(({ number }) => number === Number(element.dataset.verdictOf));
      element.textContent = `${said(smear.verdict)} ${sign[outcome(smear)]}`;
    });
    all(".threshold").forEach((element) => { element.textContent = t.toFixed(2); });
    by("threshold-value").textContent = t.toFixed(2);
    slider.setAttribute("aria-valuetext", t.toFixed(2));
    const own = smears.filter((smear) => place(smear, wanted)), judged = own.filter((smear) => smear.expected);
    const count = (what) => judged.filter((smear) => outcome(smear) === what).length;
    by("threshold-said").textContent = `At ${t.toFixed(2)}: ${count("correct")} of ${judged.length} smears correct, ${count("wrong")} wrong, ${count("unknown")} unknown (split and site as in the filter).`;
    drawRoc(own.filter((smear) => smear.class), t);
    drawConfusion(judged);
    show();
  }
  function drawRoc(own, t) {
    const x = (rate) => 34 + 254 * rate, y = (rate) => 266 - 254 * rate, roc = by("roc"), rows = [];
    roc.replaceChildren(make("path", { class: "axis", d: "M34 12V266H288" }), make("line", { class: "chance", x1: 34, y1: 266, x2: 288, y2: 12 }), make("text", { x: 160, y: 292, "text-anchor": "middle" }, "1 − specificity"), make("text", { x: 0, y: 0, transform: "translate(12 140) rotate(-90)", "text-anchor": "middle" }, "sensitivity"));
    ["0", "1"].forEach((end) => roc.append(make("text", { x: x(Number(end)), y: 280, "text-anchor": "middle" }, end), make("text", { x: 28, y: y(Number(end)) + 4, "text-anchor": "end" }, end)));
    const points = classes.map(([name, label], i) => {
      const truth = own.map((smear) => smear.class === name), n = truth.filter(Boolean).length, shares = own.map((smear) => smear.first[i] / sum(smear.first));
      const here = rocPoint(shares, truth, t), percent = (rate) => (Number.isNaN(rate) ? "" : (100 * rate).toFixed(1));
      rows.push(make("tr", {}, make("th", { scope: "row" }, mark(i), label), ...[n, percent(here.sensitivity), percent(here.specificity)].map((text) => make("td", { class: "number" }, String(text)))));
      if (!n || n === own.length) return [];
      const ends = [...new Set([1, ...shares, -1])].sort((a, b) => b - a).map((cut) => rocPoint(shares, truth, cut));
      const path = ends.map((end, k) => `${k ? "L" : "M"}${x(1 - end.specificity).toFixed(1)} ${y(end.sensitivity).toFixed(1)}`).join("");
      const at = `translate(${x(1 - here.specificity)} ${y(here.sensitivity)})`;
      return [paint(make("path", { class: "curve", d: path, stroke: "currentColor" }), colours[i]), paint(make("path", { d: marks[i], transform: at, fill: "currentColor" }), colours[i])];
    });
    roc.append(...points.flatMap((pair) => pair.slice(0, 1)), ...points.flatMap((pair) => pair.slice(1)));
    by("roc-points").tBodies[0].replaceChildren(...rows);
  }
  function drawConfusion(judged) {
    const order = given.verdicts.map(([name]) => name), used = (what) => order.filter((name) => judged.some((smear) => smear[what] === name));
    const columns = [...new Set([...used("expected"), ...used("verdict")])].sort((a, b) => order.indexOf(a) - order.indexOf(b));
    table.tHead.replaceChildren(make("tr", {}, make("th", { scope: "col" }, "diagnosis"), ...columns.map((name) => make("th", { scope: "col", class: "number" }, said(name)))));
    table.tBodies[0].replaceChildren(...used("diagnosis").map((diagnosis) => make("tr", {}, make("th", { scope: "row" }, said(diagnosis)), ...columns.map((verdict) => {
      const own = judged.filter((smear) => smear.diagnosis === diagnosis && smear.verdict === verdict);
      const cell = make("td", { class: own.some((smear) => outcome(smear) === "correct") ? "number diagonal" : "number" });
      if (!own.length) return cell;
      const button = make("button", { type: "button", "aria-label": `${own.length}: diagnosis ${said(diagnosis)}, verdict ${said(verdict)}; show them` }, String(own.length));
      button.addEventListener("click", () => {
        Object.entries({ diagnosis, verdict }).forEach(([name, value]) => { filter.elements[name].value = value; });
        show();
        list.scrollIntoView();
      });
      cell.append(button);
      return cell;
    }))));
  }
  slider.addEventListener("input", vote);
  by("threshold-back").addEventListener("click", () => { slider.value = rule.threshold; vote(); });

  // --- map ---
  const map = by("map");
  function drawMap() {
    if (!map || !by("map-panel").open || blind()) return;
    const what = by("map-by").value, group = (cell) => classes.findIndex(([name]) => (what === "predicted" ? cell.predicted === name : cell.references.includes(name)));
    const points = shown(), scale = Math.min(Math.max(900 / (map.clientWidth || 900), 1), 2.4);
    map.replaceChildren(...points.map((cell) => {
      const i = group(cell), point = make("path", { class: `point${cell.correct === "no" ? " wrong" : ""}`, d: marks[i < 0 ? 5 : i], transform: `translate(${20 + 960 * cell.x} ${620 - 600 * cell.y}) scale(${scale})` });
      cell.point = paint(point, colours[i] ?? "#7F7F7F");
      point.addEventListener("pointerenter", () => hover(cell));
      point.addEventListener("click", () => { hover(cell); kept.from = map; enlarge(cell); });
      return point;
    }));
    const there = new Set(points.map(group));
    by("map-key").replaceChildren(...[...classes.map(([, label]) => label), "no label"].map((label, i) => (there.has(i < classes.length ? i : -1) ? make("li", {}, mark(i), label) : "")));
    kept.map = points.includes(kept.map) ? kept.map : null;
    kept.map?.point.classList.add("chosen");
    if (!kept.map) by("map-cell").hidden = true;
    by("map-said").textContent = `${points.length.toLocaleString("en")} cells on the map, those that the filter shows.`;
  }
  function hover(cell) {
    kept.map?.point.classList.remove("chosen");
    kept.map = cell;
    cell.point.classList.add("chosen");
    map.append(cell.point);
    const box = by("map-cell"), image = cell.img.cloneNode(), text = `${cell.label}, predicted ${labels[cell.predicted]} ${cell.p.toFixed(2)}; smear ${cell.smear.name}`;
    image.classList.add("sprite");
    image.loading = "eager";
    image.alt = "";
    box.replaceChildren(image, text);
    box.hidden = false;
    const width = map.clientWidth, left = (20 + 960 * cell.x) / 1000 * width, top = (620 - 600 * cell.y) / 640 * map.clientHeight;
    box.style.left = `${Math.max(Math.min(left + 12, width - 118), 0)}px`;
    box.style.top = `${Math.max(Math.min(top + 12, map.clientHeight - box.offsetHeight), 0)}px`;
    by("map-said").textContent = text;
  }
  map?.addEventListener("keydown", (event) => {
    const points = shown(), way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === "Enter" && kept.map) { kept.from = map; enlarge(kept.map); }
    else if (way && !kept.map && points.length) hover(points[0]);
    else if (way) {
      // The nearest cell on that side; what lies off the way counts twice.
      const far = points.map((cell) => {
        const dx = cell.x - kept.map.x, dy = 0.625 * (cell.y - kept.map.y), ahead = dx * way[0] + dy * way[1], aside = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
        return ahead > 0 && aside <= 2 * ahead ? ahead + 2 * aside : Infinity;
      });
      const best = far.indexOf(Math.min(...far));
      if (far[best] < Infinity) hover(points[best]);
    } else return;
    event.preventDefault();
  });
  map?.addEventListener("focus", () => { if (!kept.map && shown().length) hover(shown()[0]); });
  by("map-by")?.addEventListener("change", drawMap);
  panels.forEach((panel) => panel.addEventListener("toggle", () => { drawMap(); keep(); }));

  // --- blind reading ---
  const store = `alnet-calls-${smears.length}-${cells.length}-${cells[0]?.name}`, order = smears.map((smear) => smear.element);
  let calls = {};
  try { calls = JSON.parse(localStorage.getItem(store)) ?? {}; } catch { /* this browser keeps nothing */ }
  const choices = [...rule.calls.map((name) => [name, said(name)]), [rule.unknown, "cannot say"]];
  smears.forEach((smear) => {
    const select = make("select", {}, make("option", { value: "" }, "not yet"), ...choices.map(([value, text]) => make("option", { value }, text)));
    select.value = calls[smear.name] ?? "";
    select.addEventListener("change", () => {
      if (select.value) calls[smear.name] = select.value; else delete calls[smear.name];
      try { localStorage.setItem(store, JSON.stringify(calls)); } catch { /* this browser keeps nothing */ }
      progress();
    });
    smear.call = select;
    smear.element.querySelector("h2").after(make("label", { class: "call blind" }, `Your diagnosis of smear ${smear.number} `, select));
  });
  const called = () => smears.filter((smear) => calls[smear.name]);
  function progress() { by("reading-said").textContent = `${called().length} of ${smears.length} smears have your call.`; }
  function read(on) {
    if (on) {
      const { split, site } = Object.fromEntries(new FormData(filter));
      filter.reset();
      Object.assign(filter.elements.split, { value: split });
      Object.assign(filter.elements.site, { value: site });
      by("reading-panel").open = true;
      list.append(...[...smears].sort((a, b) => a.number - b.number).map((smear) => smear.element));
    } else list.append(...order);
    root.classList.toggle("reading", on);
    cells.forEach((cell) => { cell.img.alt = on ? `Cell ${cell.position + 1} of smear ${cell.smear.number}` : cell.alt; });
    by("reading-begin").hidden = on;
    by("reading-end").hidden = !on;
    progress();
    vote();
  }
  function compare() {
    const own = called(), judged = own.filter((smear) => smear.expected), call = (smear) => calls[smear.name];
    const pairs = [["you and the diagnosis", judged, call, (s) => s.expected], ["ALNet and the diagnosis", judged, (s) => s.verdict, (s) => s.expected], ["you and ALNet", own, call, (s) => s.verdict]];
    by("agreement").tBodies[0].replaceChildren(...pairs.map(([name, some, one, other]) => {
      const same = some.filter((smear) => one(smear) === other(smear)).length, k = kappa(some.map(one), some.map(other));
      const facts = [some.length, same, some.length ? (100 * same / some.length).toFixed(1) : "", k === null ? "cannot be computed" : k.toFixed(2)];
      return make("tr", {}, make("th", { scope: "row" }, name), ...facts.map((fact) => make("td", { class: "number" }, String(fact))));
    }));
    by("calls").tBodies[0].replaceChildren(...own.map((smear) => make("tr", {}, make("th", { scope: "row" }, make("a", { href: `#s-${smear.number}` }, smear.name)), ...[call(smear), smear.verdict, smear.diagnosis].map((word, i) => make("td", {}, (i ? said(word) : choices.find(([value]) => value === word)?.[1]) ?? word)))));
    by("reading-result").hidden = !own.length;
    by("reading-said").textContent = own.length ? `You called ${own.length} of ${smears.length} smears.` : "You have not called a smear yet.";
  }
  by("reading-begin").addEventListener("click", () => { read(true); by("reading-end").focus(); });
  by("reading-end").addEventListener("click", () => { read(false); compare(); by("reading-begin").focus(); });
  by("reading-forget").addEventListener("click", () => {
    calls = {};
    try { localStorage.removeItem(store); } catch { /* this browser keeps nothing */ }
    smears.forEach((smear) => { smear.call.value = ""; });
    by("reading-result").hidden = true;
    progress();
  });
  by("reading-save").addEventListener("click", () => save([["smear_id", "call", "verdict", "threshold", "diagnosis"], ...called().map((smear) => [smear.name, calls[smear.name], smear.verdict, threshold(), smear.diagnosis])], "calls.csv"));

  tools.hidden = false;
  read(restore());
  const asked = cells.find((cell) => `#c-${cell.number}` === location.hash);
  if (asked) { rove(asked, asked.smear); asked.link.focus(); }
}
