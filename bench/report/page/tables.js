// Makes the page's tables sortable, and the long ones filterable. Without it they are read as they are.
"use strict";

const LONG = 16; // rows from which on a table gets a filter
const NUMBER = /-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?/; // the first of "1.31 [1.27, 1.36]", "3,200", "2 to 12", "1.0e-10 / 1e-09"
const WORDS = { fastest: 1, equal: 0 }; // what some columns of figures say instead

function figure(text) {
  const found = NUMBER.exec(text);
  return found ? Number(found[0].replaceAll(",", "")) : WORDS[text] ?? NaN;
}

// What holds no figure comes last in a column of figures, whichever way it is sorted; so does a dash among words.
function compare(a, b, figures, sign) {
  const [x, y] = figures ? [figure(a), figure(b)] : [a, b];
  const [last, other] = figures ? [Number.isNaN(x), Number.isNaN(y)] : [a === "-", b === "-"];
  if (last || other) return last - other;
  return sign * (figures ? x - y : a.localeCompare(b, "en", { numeric: true }));
}

function sort(table, column, header) {
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const text = (row) => row.cells[column].textContent.trim();
  const figures = header.classList.contains("figure");
  const rows = [...table.tBodies[0].rows];
  table.tBodies[0].append(...rows.sort((a, b) => compare(text(a), text(b), figures, descending ? -1 : 1)));
}

function addSorting(table) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    if (!header.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(table, column, header));
    header.append(button);
  });
}

function addFilter(table, region) {
  const line = document.createElement("div"), label = document.createElement("label");
  const input = document.createElement("input"), said = document.createElement("span");
  const rows = [...table.tBodies[0].rows];
  line.className = "filter";
  input.type = "search";
  said.setAttribute("role", "status");
  label.append("Filter rows", input);
  line.append(label, said);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    said.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
  region.before(line);
}

for (const region of document.querySelectorAll(".table")) {
  const table = region.querySelector("table");
  const rows = table.tBodies[0] ? table.tBodies[0].rows.length : 0;
  if (rows > 1) addSorting(table);
  if (rows >= LONG) addFilter(table, region);
}
