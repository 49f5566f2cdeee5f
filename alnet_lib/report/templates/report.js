// Sortable tables and one button for all code; the pages read the same without this file.
document.querySelectorAll("table.data thead th").forEach((head) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent || "row";
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const table = head.closest("table"), body = table.tBodies[0];
    const column = head.cellIndex, rising = head.getAttribute("aria-sort") !== "ascending";
    const value = (row) => row.cells[column].textContent.trim();
    const number = (text) => (text === "" ? -Infinity : Number(text.replace(/,/g, "")));
    const rows = [...body.rows], numeric = rows.every((row) => !Number.isNaN(number(value(row))));
    rows.sort((a, b) => (numeric ? number(value(a)) - number(value(b)) : value(a).localeCompare(value(b))));
    if (!rising) rows.reverse();
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    body.append(...rows);
  });
});
const toggle = document.getElementById("toggle-code");
toggle?.addEventListener("click", () => {
  const open = toggle.getAttribute("aria-pressed") !== "true";
  document.querySelectorAll("details.code").forEach((code) => { code.open = open; });
  toggle.setAttribute("aria-pressed", String(open));
  toggle.textContent = open ? "Hide all code" : "Show all code";
});
// The gallery: what does not match is hidden, cells are ordered within their smear.
const filter = document.getElementById("gallery-filter");
function showCells() {
  const wanted = Object.fromEntries(new FormData(filter));
  let cells = 0, smears = 0;
  document.querySelectorAll(".smear").forEach((smear) => {
    const list = smear.querySelector(".cells"), own = [...list.children];
    own.forEach((cell, i) => { cell.dataset.position ??= i; });
    const key = { falling: (c) => -c.dataset.p, rising: (c) => +c.dataset.p }[wanted.order] ?? ((c) => +c.dataset.position);
    own.sort((a, b) => key(a) - key(b)).forEach((cell) => {
      cell.hidden = ["reference", "predicted", "correct"].some((name) => wanted[name] && cell.dataset[name] !== wanted[name]);
      list.append(cell);
    });
    const shown = own.filter((cell) => !cell.hidden).length;
    smear.hidden = !shown || Boolean(wanted.verdict && smear.dataset.verdict !== wanted.verdict);
    if (!smear.hidden) { cells += shown; smears += 1; }
  });
  document.getElementById("gallery-count").textContent = `${cells} cells in ${smears} smears`;
}
filter?.addEventListener("change", showCells);
if (filter) showCells();
