"use strict";
(function () {
  function compare(first, second, numeric) {
    // Empty cells stay last in either direction.
    if (first === "" || second === "") { return null; }
    return numeric ? Number(first) - Number(second) : first.localeCompare(second, "en", { numeric: true });
  }
  function sort(table, column, ascending) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, function (row) {
      return { row: row, key: row.cells[column].dataset.key || "" };
    });
    const numeric = rows.every(function (entry) { return entry.key === "" || !isNaN(Number(entry.key)); });
    rows.sort(function (a, b) {
      const order = compare(a.key, b.key, numeric);
      if (order === null) { return (a.key === "") - (b.key === ""); }
      return ascending ? order : -order;
    });
    rows.forEach(function (entry) { body.appendChild(entry.row); });
  }
  document.querySelectorAll("table.sortable th button").forEach(function (button) {
    button.addEventListener("click", function () {
      const head = button.closest("th");
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      head.parentElement.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(head.closest("table"), head.cellIndex, ascending);
    });
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (part) { part.open = true; });
  });
})();
