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
