"use strict";
(() => {
  const root = document.documentElement;

  // Theme: the system's unless one is chosen. Storage may be forbidden for files; then the choice
  // lasts as long as the page.
  const theme = document.getElementById("theme");
  const remembered = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("decouple-theme") || "";
      localStorage.setItem("decouple-theme", value);
    } catch { /* no storage */ }
    return value || "";
  };
  const paint = (value) => {
    if (value) root.dataset.theme = value;
    else delete root.dataset.theme;
  };
  theme.value = remembered();
  paint(theme.value);
  theme.addEventListener("change", () => paint(remembered(theme.value)));
  theme.parentElement.hidden = false;

  // Filters.
  const form = document.getElementById("filters");
  const body = document.querySelector("#forest tbody");
  const rows = [...body.rows];
  const said = document.getElementById("shown");
  const none = document.getElementById("none");
  const texts = new Map(rows.map((row) => [row, row.cells[0].textContent.toLowerCase()]));
  const filter = () => {
    const { document: stem, tier, verdict, text } = form.elements;
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits =
        (!stem.value || row.dataset.document === stem.value) &&
        (!tier.value || row.dataset.tierName === tier.value) &&
        (!verdict.value || row.dataset.verdictName === verdict.value) &&
        words.every((word) => texts.get(row).includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    said.textContent = `${shown} of ${rows.length}`;
    none.hidden = shown > 0;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;

  // Sorting: a button in each heading that can be sorted by; a third press restores the order.
  const heads = [...document.querySelectorAll("#forest th[data-key]")];
  const number = (key) => key !== "claim";
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const key = head.dataset.key;
      const now = { none: "ascending", ascending: "descending", descending: "none" }[
        head.getAttribute("aria-sort")
      ];
      for (const other of heads) other.setAttribute("aria-sort", other === head ? now : "none");
      const ordered = [...rows];
      if (now !== "none") {
        const sign = now === "ascending" ? 1 : -1;
        ordered.sort((a, b) => {
          const [x, y] = [a.dataset[key], b.dataset[key]];
          return sign * (number(key) ? x - y : x.localeCompare(y, "en"));
        });
      }
      body.append(...ordered);
    });
  }

  // A link to something folded away opens what it is folded in.
  const reveal = () => {
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch { /* no such code: then it is the name as it stands */ }
    const target = document.getElementById(name);
    if (!target) return;
    for (let node = target; node; node = node.parentElement) {
      if (node instanceof HTMLDetailsElement) node.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // Paper cannot be unfolded. Source and tables of numbers stay where they can be looked up.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open], .predicate, .numbers)")];
    for (const each of folded) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
  });
})();
