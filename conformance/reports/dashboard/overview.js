// Charts over many models.

function overviewView(query) {
  const parameters = new URLSearchParams(query);
  const chosen = { task: parameters.get("task") || "", quality: parameters.get("quality") in QUALITIES ? parameters.get("quality") : "kl" };
  const holder = el("div", { id: "overview" });
  const count = el("p", { class: "count", role: "status", "aria-live": "polite" });
  const control = (id, label, key, options) => {
    const select = el("select", { id }, options.map(([value, name]) => option(value, name, chosen[key])));
    select.addEventListener("change", () => {
      chosen[key] = select.value;
      const wanted = new URLSearchParams(Object.entries(chosen).filter(([name, value]) => value && !(name === "quality" && value === "kl")));
      history.replaceState(null, "", `#/charts${wanted.size ? `?${wanted}` : ""}`);
      draw();
    });
    return el("div", { class: "field" }, el("label", { for: id }, label), select);
  };

  function draw() {
    dropFigures();
    const { found } = chosenCells({ ...NO_FILTERS, task: chosen.task });
    const passed = found.filter((cell) => statusOf(cell) === "pass");
    count.textContent = `${plural(passed.length, "cell")} that passed`;
    const byConfiguration = new Map();
    for (const cell of passed) {
      const name = configurations[cells.configuration[cell]];
      if (!byConfiguration.has(name)) byConfiguration.set(name, []);
      byConfiguration.get(name).push(cell);
    }
    const shared = [...byConfiguration].sort(([, first], [, second]) => second.length - first.length).slice(0, 20);
    holder.replaceChildren(
      el(
        "div",
        { class: "charts" },
        spreadFigure(shared, "Speed-up by configuration", (cell) => cells.speedup[cell], ratio, ratioBars),
        spreadFigure(
          shared,
          "Size by configuration",
          (cell) => (plainBytes(cells.model[cell]) ? cells.bytes[cell] / plainBytes(cells.model[cell]) : null),
          (value) => `${value.toFixed(2)} of fp32`,
          (entries, colours) => sizeBars(entries, colours, "share of the model's fp32 program"),
        ),
      ),
      byConfiguration.size > shared.length ? el("p", { class: "note" }, `The ${shared.length} configurations that most models share, of ${byConfiguration.size}.`) : "",
      qualityFigure(passed, chosen.quality, { relative: true }),
    );
    drawFigures();
  }

  const view = el(
    "div",
    { class: "page overview-page" },
    el("h1", { tabindex: "-1" }, "Charts"),
    el("p", { class: "lead" }, "What each configuration brings and costs, over all models that run under it. A model's page has its own."),
    el(
      "form",
      { class: "filters", "aria-label": "What the charts show", on: { submit: (event) => event.preventDefault() } },
      el(
        "div",
        { class: "fields" },
        control("chart-task", "Task", "task", [["", "All tasks"], ...tasks.map((task) => [task, task])]),
        control("chart-quality", "Quality", "quality", Object.entries(QUALITIES).map(([value, { name }]) => [value, name])),
      ),
    ),
    count,
    holder,
  );
  view.addEventListener("zoo:shown", draw);
  return view;
}

/** The median over models, for each configuration; the quartiles are in the table. */
function spreadFigure(shared, title, of, told, bars) {
  const entries = shared
    .map(([label, list]) => ({ label, values: list.map(of).filter((value) => typeof value === "number").sort((first, second) => first - second) }))
    .filter(({ values }) => values.length)
    .map(({ label, values }) => {
      const at = (share) => values[Math.min(values.length - 1, Math.floor(share * values.length))];
      const middle = median(values);
      return { label, value: middle, low: at(0.25), high: at(0.75), models: values.length, told: `median ${told(middle)} of ${plural(values.length, "model")}` };
    })
    .sort((first, second) => second.value - first.value);
  if (!entries.length) return null;
  return figure({
    title,
    says: `Medians over models, from ${told(entries.at(-1).value)} (${entries.at(-1).label}) to ${told(entries[0].value)} (${entries[0].label}).`,
    height: barHeight(entries),
    make: (colours) => bars(entries, colours),
    columns: [{ name: "Configuration", heading: true }, { name: "Models", numeric: true }, { name: "Median", numeric: true }, { name: "Lower quartile", numeric: true }, { name: "Upper quartile", numeric: true }],
    rows: () => entries.map((entry) => [entry.label, entry.models, told(entry.value), told(entry.low), told(entry.high)]),
  });
}
