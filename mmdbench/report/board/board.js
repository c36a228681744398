(() => {
  const by = (id) => document.getElementById(id);
  const all = (where, what) => [...where.querySelectorAll(what)];
  const filters = { group: by("f-group"), bench: by("f-bench"), view: by("f-view"), level: by("f-level"), text: by("f-text") };

  // Sorting: a row without a number is last in either direction.
  const valueOf = (row, place) => {
    const cell = row.cells[place];
    return cell.dataset.value === undefined ? (cell.dataset.name ?? null) : Number(cell.dataset.value);
  };
  const sort = (head, direction) => {
    const table = head.closest("table");
    const place = head.cellIndex;
    for (const other of all(table, "thead th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueOf(row, place), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return direction * (typeof a === "string" ? a.localeCompare(b) : a - b);
    });
    body.append(...rows.map(([, row]) => row));
    if (head.dataset.level) showRanks(table, head.dataset.level);
  };
  const showRanks = (table, level) => {
    const head = table.querySelector(".rank-head");
    if (!head) return;
    head.textContent = `Rank at ${level}`;
    for (const cell of all(table, "td[data-ranks]")) cell.textContent = JSON.parse(cell.dataset.ranks)[level] ?? "–";
  };
  document.addEventListener("click", (event) => {
    const head = event.target.closest?.("thead button")?.parentElement;
    if (!head) return;
    const before = head.getAttribute("aria-sort");
    const first = head.dataset.first === "up" ? 1 : -1;
    sort(head, before ? (before === "ascending" ? -1 : 1) : first);
  });

  // Filters: one protocol, one benchmark, one view.
  const show = () => {
    const wish = Object.fromEntries(Object.entries(filters).map(([name, field]) => [name, field.value]));
    const text = wish.text.trim().toLowerCase();
    const names = new Set();
    let protocols = 0;
    by("l-level").hidden = wish.view !== "parts";
    filters.bench.disabled = wish.view === "parts";
    for (const group of all(document, "[data-group]")) {
      let seen = 0;
      for (const view of all(group, ".view")) {
        const { kind, bench, level, overall } = view.dataset;
        const wanted = kind === wish.view && (kind === "parts" ? level === wish.level : wish.bench ? bench === wish.bench : overall === "yes");
        view.hidden = !wanted;
        if (!wanted) continue;
        let rows = 0;
        for (const row of view.querySelector("tbody").rows) {
          row.hidden = !row.dataset.search.includes(text);
          if (row.hidden) continue;
          rows += 1;
          if (!wish.group || wish.group === group.dataset.group) names.add(`${group.dataset.group} ${row.dataset.search}`);
        }
        view.hidden = !rows;
        seen += rows;
      }
      group.hidden = !seen || (Boolean(wish.group) && wish.group !== group.dataset.group);
      protocols += !group.hidden;
    }
    by("count").textContent = `${names.size} results under ${protocols} ${protocols === 1 ? "protocol" : "protocols"}`;
  };
  for (const field of Object.values(filters)) field.addEventListener("input", show);
  by("filters").addEventListener("submit", (event) => event.preventDefault());
  by("filters").addEventListener("reset", () => setTimeout(show));
  show();
})();
