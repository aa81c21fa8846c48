// Filters, sorts and folds what is on the page. The page is whole without it.
"use strict";

const tools = document.getElementById("tools");
const services = [...document.querySelectorAll(".service")].map((section) => ({
  section,
  list: section.querySelector(".list"),
  calls: [...section.querySelectorAll(".call")].map((call, place) => ({ call, place, words: null })),
}));
const hardness = { "by hand": 0, unsafe: 1, safe: 2 };
const byText = new Intl.Collator("en", { numeric: true });
const orders = {
  place: () => 0,
  verdict: (a, b) => hardness[a.verdict] - hardness[b.verdict],
  hazards: (a, b) => b.hazards - a.hazards,
  database: (a, b) => byText.compare(a.database, b.database),
};

function words(one) {
  one.words ??= one.call.textContent.toLowerCase();
  return one.words;
}

function filter() {
  const parts = document.getElementById("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = new Set([...tools.querySelectorAll(":checked[name=verdict]")].map((box) => box.value));
  let shown = 0, all = 0;
  for (const { section, calls } of services) {
    const name = section.querySelector("h3").textContent.toLowerCase();
    let here = 0;
    for (const one of calls) {
      const fits = verdicts.has(one.call.dataset.verdict)
        && parts.every((part) => name.includes(part) || words(one).includes(part));
      one.call.hidden = !fits;
      here += fits;
    }
    section.hidden = !here;
    shown += here;
    all += calls.length;
  }
  const number = new Intl.NumberFormat("en");
  document.getElementById("shown").textContent = `${number.format(shown)} of ${number.format(all)} calls`;
}

function order() {
  const compare = orders[document.getElementById("order").value];
  for (const { list, calls } of services) {
    calls.sort((a, b) => compare(a.call.dataset, b.call.dataset) || a.place - b.place);
    list.append(...calls.map((one) => one.call));
  }
}

function fold() {
  const open = services.every(({ section }) => !section.open);
  for (const { section } of services) section.open = open;
}

function tellFold() {
  const folded = services.every(({ section }) => !section.open);
  document.getElementById("fold").textContent = folded ? "Unfold all" : "Fold all";
}

// A link to a call leads to where it can be seen.
function reveal() {
  const target = document.getElementById(location.hash.slice(1));
  const section = target?.closest(".service");
  if (!section || (section.open && !section.hidden && !target.hidden)) return;
  section.open = true;
  if (section.hidden || target.hidden) {
    tools.reset();
    order();
    filter();
  }
  target.scrollIntoView();
}

function key(row, column) {
  const cell = row.cells[column];
  return cell.dataset.key ?? cell.textContent;
}

function sortTable(table, column, head) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => (up ? 1 : -1) * byText.compare(key(a, column), key(b, column)));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortTable(table, column, head));
  });
}

if (tools) {
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("input", filter);
  document.getElementById("order").addEventListener("change", order);
  document.getElementById("fold").addEventListener("click", fold);
  for (const { section } of services) section.addEventListener("toggle", tellFold);
  addEventListener("hashchange", reveal);
  filter();
  reveal();
}

// Print shows what was folded, too.
let folded = [];
addEventListener("beforeprint", () => {
  folded = services.filter(({ section }) => !section.open);
  for (const { section } of folded) section.open = true;
});
addEventListener("afterprint", () => {
  for (const { section } of folded) section.open = false;
});
