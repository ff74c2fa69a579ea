// Two runs side by side. What changed was worked out when the page was made (conformance/changes.py); here it is shown.

const WORSE = new Set(store.worse);
const BETTER = new Set(["fixed", "faster", "smaller"]);
const kindTone = (kind) => (WORSE.has(kind) ? "bad" : BETTER.has(kind) ? "good" : "odd");
const kindSign = (kind) => (WORSE.has(kind) ? "▼" : BETTER.has(kind) ? "▲" : "•");

async function compareView(query) {
  const heading = el("h1", { tabindex: "-1" }, "Compare runs");
  if (runs.length < 2) {
    return el(
      "div",
      { class: "page" },
      heading,
      el("p", {}, "This page holds one run, so there is nothing to compare it with. Earlier records are added with:"),
      command("zoo report --html dashboard.html --history earlier-records.jsonl"),
    );
  }
  const parameters = new URLSearchParams(query);
  const valid = (value, other) => (value !== null && /^\d+$/.test(value) && Number(value) < runs.length ? Number(value) : other);
  const chosen = { before: valid(parameters.get("before"), 1), after: valid(parameters.get("after"), 0), kinds: new Set((parameters.get("kind") || "").split(",").filter((kind) => kinds.includes(kind))) };
  const results = el("div", { id: "changes" });
  const count = el("p", { class: "count", id: "change-count", role: "status", "aria-live": "polite" });
  const chips = el("div", { class: "chips" });
  const about = el("div", { class: "versus" });
  const labels = runs.map((run) => `${run.label} · ${moment(run.date)} · ${run.source}`);
  const select = (id, label, key) => {
    const control = el("select", { id }, labels.map((name, index) => option(String(index), name, String(chosen[key]))));
    control.addEventListener("change", () => {
      chosen[key] = Number(control.value);
      show();
    });
    return el("div", { class: "field" }, el("label", { for: id }, label), control);
  };

  async function show() {
    const query = new URLSearchParams({ before: chosen.before, after: chosen.after });
    if (chosen.kinds.size) query.set("kind", [...chosen.kinds].join(","));
    history.replaceState(null, "", `#/compare?${query}`);
    // Runs are numbered from the newest; a comparison goes from the older one to the newer one.
    const [before, after] = [Math.max(chosen.before, chosen.after), Math.min(chosen.before, chosen.after)];
    const changes = before === after ? [] : await unpack(`pair-${before}-${after}`);
    const totals = kinds.map(() => 0);
    for (const [kind] of changes) totals[kind]++;
    about.replaceChildren(runTerms("Before", runs[before]), runTerms("After", runs[after]));
    chips.replaceChildren(
      ...kinds.map((kind, index) => {
        const box = el("input", { type: "checkbox", id: `kind-${kind}`, value: kind, disabled: totals[index] === 0 });
        box.checked = chosen.kinds.has(kind);
        box.addEventListener("change", async () => {
          chosen.kinds[box.checked ? "add" : "delete"](kind);
          await show();
          document.getElementById(`kind-${kind}`).focus();
        });
        return el("label", { class: `chip ${kindTone(kind)}`, for: box.id }, box, el("span", { class: "sign", "aria-hidden": "true" }, kindSign(kind)), kind, el("span", { class: "chip-count" }, totals[index].toLocaleString("en")));
      }),
    );
    const shown = chosen.kinds.size ? changes.filter(([kind]) => chosen.kinds.has(kinds[kind])) : changes;
    const swapped = chosen.before < chosen.after ? " The older run is taken as the one before." : "";
    count.textContent = (before === after ? "That is the same run twice." : shown.length ? `${plural(shown.length, "change")} in ${plural(new Set(shown.map(([, cell]) => cell)).size, "cell")}.` : "Nothing changed.") + swapped;
    matrixRows?.forEach((rows) => rows.stop());
    matrixRows = [];
    results.replaceChildren();
    if (shown.length) listChanges(results, shown);
  }

  await show();
  return el(
    "div",
    { class: "page compare-page" },
    heading,
    el("p", { class: "lead" }, "What is different between two runs: verdicts, stages, structure, and speed where its interval is beyond the margin."),
    el(
      "form",
      { class: "filters", "aria-label": "Which runs, and which changes", on: { submit: (event) => event.preventDefault() } },
      el("div", { class: "fields two" }, select("before", "Before", "before"), select("after", "After", "after")),
      el("fieldset", { class: "statuses" }, el("legend", {}, "Kinds of change"), chips),
    ),
    about,
    count,
    results,
  );
}

function runTerms(label, run) {
  const statuses = Object.entries(run.statuses).map(([status, count]) => [badge(status), ` ${count.toLocaleString("en")} `]);
  return el(
    "section",
    { "aria-label": `The run ${label.toLowerCase()}` },
    el("h2", {}, `${label}: ${run.label}`),
    terms([
      ["From", run.source],
      ["Newest record", `${moment(run.date)} UTC`],
      ["Cells", statuses],
      ["Versions", run.versions.map((versions) => el("span", { class: "line" }, versionsLine(versions)))],
    ]),
  );
}

function listChanges(results, shown) {
  const body = el("tbody");
  const columns = ["Change", "Cell", "Figure", "Before", "After", "What"];
  const numericFigures = ["Before", "After"];
  results.append(
    scrolling(
      "Changes",
      el(
        "table",
        { class: "list", "aria-rowcount": String(shown.length + 1) },
        el("caption", { class: "visually-hidden" }, "Changes from the run before to the run after"),
        el("thead", {}, el("tr", {}, columns.map((name) => el("th", { scope: "col", class: numericFigures.includes(name) ? "numeric" : null }, name)))),
        body,
      ),
    ),
  );
  const told = (figure, value) => (figure === "file_bytes" && typeof value === "number" ? size(value) : typeof value === "string" ? words(value) : text(value));
  const make = (index) => {
    const [kind, cell, figure, before, after, what] = shown[index];
    const [model, id] = [cell.slice(0, cell.lastIndexOf("@")), cell.slice(cell.lastIndexOf("@") + 1)];
    const label = [model, " ", configuration(id)];
    body.append(
      el(
        "tr",
        { "aria-rowindex": String(index + 2) },
        el("td", {}, el("span", { class: `badge ${kindTone(kinds[kind])}` }, el("span", { class: "sign", "aria-hidden": "true" }, kindSign(kinds[kind])), kinds[kind])),
        el("th", { scope: "row" }, cellNumbers.has(cell) ? el("a", { href: cellLink(cell) }, label) : label),
        el("td", {}, words(figure)),
        el("td", { class: "numeric" }, told(figure, before)),
        el("td", { class: "numeric" }, told(figure, after)),
        el("td", { class: "wide" }, what),
      ),
    );
  };
  matrixRows.push(lazily(shown.length, results.lastChild, make, "change"));
}
