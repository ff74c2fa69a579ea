// A model's page: its configurations side by side.

async function modelView(name) {
  const model = modelNumbers.get(name);
  if (model === undefined) return missing("model", name);
  const own = cellsOfModel[model];
  const earlier = await historyOf(model);
  const of = (cell) => configurations[cells.configuration[cell]];
  const counts = new Map();
  for (const cell of own) counts.set(statusOf(cell), (counts.get(statusOf(cell)) || 0) + 1);
  const columns = [
    { name: "Configuration", heading: true },
    { name: "Status" },
    { name: "Speed-up", numeric: true },
    { name: "Size", numeric: true },
    { name: "Delegated", numeric: true },
    { name: "Logit error", numeric: true },
    { name: "KL to fp32", numeric: true },
    { name: "Top-1 to fp32", numeric: true },
  ];
  const rows = own.map((cell) => [
    el("a", { href: cellLink(cellName(cell)) }, configuration(of(cell))),
    badge(statusOf(cell)),
    ratio(cells.speedup[cell]),
    size(cells.bytes[cell]),
    percent(cells.delegated[cell]),
    number(cells.error[cell]),
    number(cells.kl[cell]),
    number(cells.top1[cell]),
  ]);
  const notGreen = own.filter((cell) => reasons[cells.reason[cell]]);
  return el(
    "div",
    { class: "page model-page" },
    crumbs([["Matrix", "#/"], [name]]),
    el("h1", { tabindex: "-1" }, name),
    el(
      "p",
      { class: "lead" },
      `${tasks[models.task[model]]}, family `,
      el("a", { href: `#/${queryOf({ family: families[models.family[model]] })}` }, families[models.family[model]]),
      models.hub[model] ? [", published as ", el("code", {}, models.hub[model])] : null,
      ". ",
      [...counts].map(([status, count]) => [badge(status), ` ${count} `]),
    ),
    section("Configurations", scrollingTable("Configurations of this model", columns, rows, { quiet: true }), command(`zoo run ${shell(name)}`)),
    section("Speed-up and size", el("div", { class: "charts" }, speedupFigure(own, of), sizeFigure(own, of))),
    section("Quality against size", qualityFigure(own, "kl", { relative: false })),
    modelHistory(own, of, earlier),
    notGreen.length > 0 && section("Why", terms(notGreen.map((cell) => [configuration(of(cell)), shortened(reasons[cells.reason[cell]])]))),
  );
}

function speedupFigure(own, of) {
  const entries = own
    .filter((cell) => typeof cells.speedup[cell] === "number")
    .map((cell) => ({ cell, label: of(cell), value: cells.speedup[cell], told: ratio(cells.speedup[cell]) }))
    .sort((first, second) => second.value - first.value);
  if (!entries.length) return null;
  return figure({
    title: "Speed-up over eager PyTorch",
    says: `From ${entries.at(-1).told} (${entries.at(-1).label}) to ${entries[0].told} (${entries[0].label}).`,
    height: barHeight(entries),
    make: (colours) => ratioBars(entries, colours),
    columns: [{ name: "Configuration", heading: true }, { name: "Speed-up", numeric: true }],
    rows: () => entries.map((entry) => [el("a", { href: cellLink(cellName(entry.cell)) }, entry.label), entry.told]),
  });
}

function sizeFigure(own, of) {
  const sized = own.filter((cell) => typeof cells.bytes[cell] === "number");
  if (!sized.length) return null;
  const unit = Math.max(...sized.map((cell) => cells.bytes[cell])) >= 2 ** 22 ? ["MiB", 2 ** 20] : ["KiB", 2 ** 10];
  const entries = sized
    .map((cell) => ({ cell, label: of(cell), value: cells.bytes[cell] / unit[1], told: size(cells.bytes[cell]) }))
    .sort((first, second) => first.value - second.value);
  return figure({
    title: "Size of the file",
    says: `From ${entries[0].told} (${entries[0].label}) to ${entries.at(-1).told} (${entries.at(-1).label}).`,
    height: barHeight(entries),
    make: (colours) => sizeBars(entries, colours, unit[0]),
    columns: [{ name: "Configuration", heading: true }, { name: "Size", numeric: true }],
    rows: () => entries.map((entry) => [el("a", { href: cellLink(cellName(entry.cell)) }, entry.label), entry.told]),
  });
}

const QUALITIES = {
  kl: { name: "KL divergence to fp32", title: "KL divergence to fp32, nats (logarithmic)", logarithmic: true },
  sqnr: { name: "SQNR to fp32", title: "SQNR to fp32, dB", logarithmic: false },
  top1: { name: "Top-1 agreement with fp32", title: "top-1 agreement with fp32", logarithmic: false },
};

/** Bytes of the program with which the sizes of a model are compared: fp32 without any option; null if there is none. */
function plainBytes(model) {
  for (const plain of ["xnnpack-fp32", "portable-fp32"]) {
    const bytes = cells.bytes[cellNumbers.get(`${models.name[model]}@${plain}`)];
    if (typeof bytes === "number") return bytes;
  }
  return null;
}

function qualityFigure(own, quality, { relative }) {
  const { title, logarithmic, name } = QUALITIES[quality];
  const points = [];
  for (const cell of own) {
    const y = cells[quality][cell];
    const base = relative ? plainBytes(cells.model[cell]) : 2 ** 10;
    if (typeof y !== "number" || typeof cells.bytes[cell] !== "number" || !base || (logarithmic && y <= 0)) continue;
    const id = configurations[cells.configuration[cell]];
    const x = cells.bytes[cell] / base;
    points.push({ x, y, cell, group: rounding(id), label: relative ? cellName(cell) : id, told: `${relative ? `${x.toFixed(2)} of the size of fp32` : size(cells.bytes[cell])}, ${number(y)}` });
  }
  if (!points.length) return el("p", { class: "note" }, "Nothing here has both a quality and a size that could be compared with fp32.");
  const best = points.reduce((first, second) => (second.x < first.x ? second : first));
  return figure({
    title: `${name} against size`,
    says: `${plural(points.length, "program")} that ${points.length === 1 ? "rounds" : "round"} or ${points.length === 1 ? "forgets" : "forget"}. The smallest is ${best.label}: ${best.told}.`,
    height: 380,
    make: (colours) =>
      scatter(points, colours, {
        x: relative ? "size, as a share of the model's fp32 program" : "KiB",
        y: title,
        logarithmic,
        xFormat: (value) => (relative ? Number(value.toFixed(2)) : value.toLocaleString("en")),
        open: (point) => (location.hash = cellLink(cellName(point.cell))),
      }),
    columns: [{ name: "Program", heading: true }, { name: "Rounds" }, { name: relative ? "Size of fp32's" : "Size", numeric: true }, { name, numeric: true }],
    rows: () => points.map((point) => [el("a", { href: cellLink(cellName(point.cell)) }, point.label), ROUNDINGS[point.group], relative ? percent(point.x) : size(cells.bytes[point.cell]), number(point.y)]),
  });
}

/** Speed-up of the configurations over the runs. */
function modelHistory(own, of, history) {
  if (runs.length < 2) return null;
  const series = own.slice(0, 40).map((cell) => ({ cell, label: of(cell), values: history.map(({ figures }) => figures.get(of(cell))) }));
  const columns = [{ name: "Configuration", heading: true }, ...history.map(({ run }) => ({ name: run.label, numeric: true }))];
  const rows = series.map(({ cell, label, values }) => [
    el("a", { href: cellLink(cellName(cell)) }, configuration(label)),
    ...values.map((figures) => (figures ? (figures.status === "pass" ? ratio(figures.speedup) : words(figures.status)) : NOTHING)),
  ]);
  return section("History", scrollingTable("Speed-up in every run, the oldest first; what did not pass has its status", columns, rows));
}
