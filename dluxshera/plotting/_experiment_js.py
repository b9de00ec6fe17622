"""Sorting and filtering of the table of runs, in the reader's browser."""

SCRIPT = """
"use strict";
(() => {
  const table = document.getElementById("runs-table");
  if (!table) return;
  const body = table.tBodies[0], rows = Array.from(body.rows);
  const text = document.getElementById("filter-text"), status = document.getElementById("filter-status");
  const shown = document.getElementById("rows-shown");

  const texts = rows.map(row => Array.from(row.cells, cell => cell.textContent).join(" ").toLowerCase());

  const key = (row, i, isNumber) => {
    const cell = row.cells[i], value = cell.dataset.value;
    if (isNumber) return value === undefined ? null : Number(value);
    return cell.textContent || null;
  };
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, "en", {numeric: true});

  const sort = (head) => {
    const up = head.getAttribute("aria-sort") !== "ascending", isNumber = head.classList.contains("number");
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const keyed = rows.map((row, at) => ({row, at, value: key(row, head.cellIndex, isNumber)}));
    keyed.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.at - b.at;
      return (up ? 1 : -1) * compare(a.value, b.value) || a.at - b.at;
    });
    body.append(...keyed.map(item => item.row));
  };

  const filter = () => {
    const words = text.value.toLowerCase().split(/\\s+/).filter(Boolean), wanted = status.value;
    let count = 0;
    for (const [i, row] of rows.entries()) {
      row.hidden = !(words.every(word => texts[i].includes(word)) && (!wanted || row.dataset.status === wanted));
      count += !row.hidden;
    }
    shown.textContent = `${count} of ${rows.length} runs`;
  };

  for (const head of table.tHead.rows[0].cells)
    head.querySelector("button").addEventListener("click", () => sort(head));
  text.addEventListener("input", filter);
  status.addEventListener("change", filter);
  filter();
})();
"""
