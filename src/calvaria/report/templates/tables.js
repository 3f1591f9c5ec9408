// Tables sort by a click, or Enter or Space, on a column's title; the third time brings the first order back.
"use strict";
(() => {
  const number = (text) => {
    const found = text.replace("−", "-").match(/^[<\s]*([+-]?\d[\d,]*\.?\d*)/);
    return found ? parseFloat(found[1].replaceAll(",", "")) : text.startsWith("∞") ? Infinity : NaN;
  };
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort ?? cell.textContent.trim();
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (isNaN(x) && isNaN(y)) return a.localeCompare(b);
    if (isNaN(x) || isNaN(y)) return isNaN(x) ? 1 : -1; // what has no number comes last
    return x === y ? 0 : x - y;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const first = [...body.rows];
    const titles = [...table.tHead.rows[0].cells];
    titles.forEach((title, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...title.childNodes);
      title.append(button);
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" };
        const order = next[title.getAttribute("aria-sort") ?? "none"];
        for (const other of titles) other.removeAttribute("aria-sort");
        const rows = [...first];
        if (order !== "none") {
          title.setAttribute("aria-sort", order);
          const sign = order === "ascending" ? 1 : -1;
          rows.sort((a, b) => sign * compare(key(a, column), key(b, column)));
        }
        body.append(...rows);
      });
    });
  }
})();
