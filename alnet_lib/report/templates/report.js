// Sortable tables and one button for all code; the pages read the same without this file.
const words = new Intl.Collator(undefined, { numeric: true });
// The number that a text begins with, as in "84.5 (80.8 to 88.7 over 24 patients)"; NaN where there is none.
function leading(text) {
  const found = /^[^\p{L}\d.+\-\u2212]*([+\-\u2212]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+\-]?\d+)?)(?!\p{L})/iu.exec(text);
  return found ? Number(found[1].replace(/,/g, "").replace("\u2212", "-")) : NaN;
}
document.querySelectorAll("table.data thead th").forEach((head) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const table = head.closest("table"), body = table.tBodies[0];
    const column = head.cellIndex, rising = head.getAttribute("aria-sort") !== "ascending";
    // A total stands in tfoot and stays where it is.
    const rows = [...body.rows].map((row) => {
      const text = row.cells[column].textContent.trim();
      return { row, text, number: leading(text) };
    });
    const filled = rows.filter(({ text }) => text !== "");
    const numeric = 2 * filled.filter(({ number }) => !Number.isNaN(number)).length >= filled.length;
    // What has no value, or no number among numbers, comes last in either direction.
    const last = ({ text, number }) => (text === "" ? 2 : numeric && Number.isNaN(number) ? 1 : 0);
    const order = (a, b) => (numeric && !last(a) ? a.number - b.number : words.compare(a.text, b.text));
    rows.sort((a, b) => last(a) - last(b) || (rising ? order(a, b) : order(b, a)));
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    body.append(...rows.map(({ row }) => row));
  });
});
// A box says that it scrolls where it does.
const boxes = [...document.querySelectorAll(".table-scroll")];
function markWide() {
  const wide = boxes.map((box) => box.scrollWidth > box.clientWidth + 1);
  boxes.forEach((box, i) => box.classList.toggle("wide", wide[i]));
}
addEventListener("resize", markWide);
document.querySelectorAll("details").forEach((part) => part.addEventListener("toggle", markWide));
markWide();
// Paper has no summaries to click.
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open], .code)").forEach((part) => {
  part.open = true;
  part.dataset.printed = "";
}));
addEventListener("afterprint", () => document.querySelectorAll("details[data-printed]").forEach((part) => {
  part.open = false;
  delete part.dataset.printed;
}));
const toggle = document.getElementById("toggle-code");
toggle?.addEventListener("click", () => {
  const open = toggle.getAttribute("aria-pressed") !== "true";
  document.querySelectorAll("details.code").forEach((code) => { code.open = open; });
  toggle.setAttribute("aria-pressed", String(open));
  toggle.textContent = open ? "Hide all code" : "Show all code";
});
// All printed numbers: rows that do not match the filter are hidden; the filter stands in the address.
const chosen = document.getElementById("numbers-filter");
function showNumbers() {
  const selects = [...chosen.querySelectorAll("select")], rows = [...document.querySelectorAll("#numbers tbody tr")];
  rows.forEach((row) => { row.hidden = selects.some(({ name, value }) => value && row.dataset[name] !== value); });
  document.getElementById("numbers-count").textContent = `${rows.filter((row) => !row.hidden).length} numbers`;
}
function readAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  chosen.querySelectorAll("select").forEach((select) => { select.value = wanted.get(select.name) ?? ""; });
  showNumbers();
}
if (chosen) {
  chosen.addEventListener("change", () => {
    const kept = [...chosen.querySelectorAll("select")].filter(({ value }) => value).map(({ name, value }) => [name, value]);
    location.hash = new URLSearchParams(kept);
    showNumbers();
  });
  addEventListener("hashchange", readAddress);
  readAddress();
}
