"use strict";
// A table sorts by the column whose header is pressed; what is undefined stays last in both directions.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], headers = [...table.tHead.rows[0].cells];
  const told = table.parentElement.querySelector("[role=status]");
  headers.forEach((header, column) => {
    const name = header.textContent.trim(), button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const up = header.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1;
      const key = (row) => row.cells[column].dataset.sort ?? "";
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (column ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true }));
      };
      body.append(...[...body.rows].sort(order));
      headers.forEach((other) => other.setAttribute("aria-sort", "none"));
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      told.textContent = `Sorted by ${name}, ${up ? "ascending" : "descending"}.`;
    });
  });
}
