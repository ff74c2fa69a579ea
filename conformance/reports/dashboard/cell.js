// A cell's page: everything that its record says.

async function cellView(name) {
  const cell = cellNumbers.get(name);
  if (cell === undefined) return missing("cell", name);
  const record = await recordOf(cell);
  const model = models.name[cells.model[cell]];
  const history = await historyOf(cells.model[cell]);
  return el(
    "div",
    { class: "page cell-page" },
    crumbs([["Matrix", "#/"], [model, modelLink(model)], [record.configuration]]),
    el("h1", { tabindex: "-1" }, el("span", { class: "h-model" }, model), " ", configuration(record.configuration)),
    verdict(cell, record),
    headline(cell, record),
    section("Reproduce", command(reproduction(model, record))),
    failurePart(record),
    checksPart(record),
    divergencePart(record),
    generationsPart(record),
    errorPart(record),
    stagesPart(record),
    latencyPart(record),
    delegationPart(record),
    quantizationPart(record),
    cachePart(record),
    historyPart(record.configuration, history),
    provenancePart(cell, record),
  );
}

function missing(kind, name) {
  return el(
    "div",
    { class: "page" },
    crumbs([["Matrix", "#/"]]),
    el("h1", { tabindex: "-1" }, `No such ${kind}`),
    el("p", {}, `The current run has no ${kind} `, el("code", {}, name), "."),
  );
}

function crumbs(steps) {
  return el(
    "nav",
    { class: "crumbs", "aria-label": "Breadcrumb" },
    el("ol", {}, steps.map(([label, link]) => el("li", {}, link ? el("a", { href: link }, label) : el("span", { "aria-current": "page" }, label)))),
  );
}

function verdict(cell, record) {
  const link = record.issue && (/^https?:\/\//.test(record.issue) ? el("a", { href: record.issue, rel: "noreferrer" }, record.issue) : el("code", {}, record.issue));
  return el(
    "div",
    { class: `verdict ${tone(record.status)}${record.reason || link ? "" : " plain"}` },
    el("p", { class: "verdict-status" }, badge(record.status)),
    record.reason && el("div", { class: "reason" }, shortened(record.reason)),
    link && el("p", {}, "Known failure: ", link),
  );
}

function headline(cell, record) {
  const tiles = [
    ["Speed-up over eager", ratio(cells.speedup[cell])],
    ["File", size(record.file_bytes)],
    ["Operators delegated", percent(record.delegated_share)],
    ["Max logit error", number(cells.error[cell])],
    ["KL to fp32", number(cells.kl[cell])],
    ["SQNR to fp32", typeof cells.sqnr[cell] === "number" ? `${cells.sqnr[cell].toFixed(1)} dB` : NOTHING],
  ].filter(([, value]) => value !== NOTHING);
  return tiles.length ? el("dl", { class: "tiles" }, tiles.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value)))) : null;
}

const shell = (word) => (/^[A-Za-z0-9_.+@:\/=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** The command that runs this cell anew. */
function reproduction(model, record) {
  const parts = ["zoo", "run", shell(model), "-c", shell(record.configuration)];
  if (record.scale !== "twin") parts.push("--scale", shell(record.scale));
  if (record.host.threads > 1) parts.push("--threads", String(record.host.threads));
  return parts.join(" ");
}

function failurePart({ failure }) {
  if (!failure) return null;
  return section(
    "Failure",
    terms([
      ["Stage", failure.stage],
      ["Kind", failure.kind],
    ]),
    el("pre", { class: "message", tabindex: "0", role: "region", "aria-label": "Message" }, failure.message),
    failure.stderr.length > 0 && [el("h3", {}, "Standard error"), el("pre", { tabindex: "0", role: "region", "aria-label": "Standard error" }, failure.stderr.join("\n"))],
    failure.traceback && folded("Traceback", () => el("pre", { tabindex: "0", role: "region", "aria-label": "Traceback" }, failure.traceback)),
  );
}

function checksPart({ checks }) {
  const rows = Object.entries(checks).map(([name, check]) => [name, badge(check.status), [shortened(check.message), metricsOf(check.metrics)]]);
  return rows.length > 0 && section("Checks", scrollingTable("What was checked", [{ name: "Check", heading: true }, { name: "Verdict" }, { name: "What was found", wide: true }], rows, { quiet: true }));
}

function metricsOf(metrics) {
  const entries = Object.entries(metrics);
  if (!entries.length) return null;
  return folded("Figures", () => metricTerms(entries));
}

function metricTerms(entries) {
  return el(
    "dl",
    { class: "terms metrics" },
    entries.map(([name, value]) => {
      const nested = value !== null && typeof value === "object";
      const list = nested && Array.isArray(value) && value.every((entry) => entry === null || typeof entry !== "object");
      const told = !nested ? text(value) : list ? value.map(text).join(", ") || "none" : metricTerms(Object.entries(value));
      return el("div", {}, el("dt", {}, words(name)), el("dd", {}, told));
    }),
  );
}

/** Around the place where a program parts from its reference: both sequences, token under token. */
function divergencePart({ generations }) {
  const parted = generations.filter((generation) => typeof generation.diverged_at === "number");
  return section("Where it diverged", parted.map((generation, index) => divergence(generation, index)));
}

const AROUND = 8; // tokens that are shown before the divergence, and after it

function divergence(generation, index) {
  const { reference, tokens, diverged_at: at } = generation;
  const piece = (pieces, position) => (pieces && pieces.length ? pieces[position] : undefined);
  const pieces = { reference: generation.reference_pieces || [], tokens: generation.pieces || [] };
  const from = Math.max(0, at - AROUND);
  const to = Math.min(Math.max(reference.length, tokens.length), at + AROUND + 1);
  const token = (ids, own, position, other) => {
    if (position >= ids.length) return el("td", { class: "token none" }, hidden("ended"));
    const differs = ids[position] !== other[position];
    return el(
      "td",
      { class: `token${differs ? " differs" : ""}${position === at ? " first" : ""}` },
      piece(own, position) !== undefined && el("span", { class: "piece" }, visible(piece(own, position))),
      el("span", { class: "token-id" }, ids[position]),
      differs && hidden(" differs"),
    );
  };
  const positions = Array.from({ length: to - from }, (_, offset) => from + offset);
  const strip = scrolling(
    `Tokens around position ${at}`,
    el(
      "table",
      { class: "strip" },
      el("caption", { class: "visually-hidden" }, `Tokens ${from} to ${to - 1}: the reference above, the program below; they part at ${at}`),
      el(
        "thead",
        {},
        el("tr", {}, el("th", { scope: "col" }, "Position"), positions.map((position) =>
          el("th", { scope: "col", class: position === at ? "first" : null }, position === at ? [el("span", { "aria-hidden": "true" }, "▼ "), position, hidden(" diverged here")] : position))),
      ),
      el(
        "tbody",
        {},
        el("tr", {}, el("th", { scope: "row" }, "Reference"), positions.map((position) => token(reference, pieces.reference, position, tokens))),
        el("tr", {}, el("th", { scope: "row" }, "Program"), positions.map((position) => token(tokens, pieces.tokens, position, reference))),
      ),
    ),
  );
  const rows = () =>
    Array.from({ length: Math.max(reference.length, tokens.length) }, (_, position) => [
      String(position),
      reference[position] ?? NOTHING,
      visible(piece(pieces.reference, position) ?? ""),
      tokens[position] ?? NOTHING,
      visible(piece(pieces.tokens, position) ?? ""),
      position === at ? "parts here" : reference[position] === tokens[position] ? "same" : "differs",
    ]);
  const columns = [
    { name: "Position", heading: true },
    { name: "Reference id", numeric: true },
    { name: "Reference" },
    { name: "Program id", numeric: true },
    { name: "Program" },
    { name: "Compared" },
  ];
  return el(
    "div",
    { class: "divergence" },
    el("h3", {}, el("q", {}, generation.prompt)),
    el("p", {}, `The same ${plural(at, "token")}, then another at position ${at}. The smallest margin of the reference's choices is ${number(generation.smallest_margin)}.`),
    strip,
    folded("All tokens", () => scrollingTable(`All tokens of answer ${index + 1}`, columns, rows(), { quiet: true })),
  );
}

/** A piece of text with its white space as signs. */
const visible = (piece) => piece.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣");

function generationsPart({ generations }) {
  const columns = [
    { name: "Prompt", heading: true, wide: true },
    { name: "What the program said", wide: true },
    { name: "Tokens", numeric: true },
    { name: "Stopped by" },
    { name: "Smallest margin", numeric: true },
    { name: "Compared" },
  ];
  const rows = generations.map((generation) => [
    el("span", { class: "said" }, generation.prompt),
    el("span", { class: "said" }, generation.text),
    generation.tokens.length,
    generation.stop,
    number(generation.smallest_margin),
    typeof generation.diverged_at === "number" ? el("strong", {}, `differs from ${generation.diverged_at} on`) : "same tokens",
  ]);
  return rows.length > 0 && section("Generations", scrollingTable("Reference prompts and what the program said", columns, rows, { quiet: true }));
}

function errorPart({ error_by_position: errors }) {
  if (!errors || !errors.length) return null;
  const known = errors.map((error, position) => [error, position]).filter(([error]) => typeof error === "number");
  if (!known.length) return null;
  const [worst, where] = known.reduce((first, second) => (second[0] > first[0] ? second : first));
  const positive = known.map(([error]) => error).filter((error) => error > 0);
  const floor = positive.length ? Math.min(...positive) : 1e-12;
  const says = `Largest absolute error of a logit at each of ${plural(errors.length, "position")}: at most ${number(worst)}, at position ${where}; the median is ${number(median(known.map(([error]) => error)))}.`;
  return section(
    "Logit error along the sequence",
    figure({
      title: "Logit error by position",
      says,
      make: (colours) => ({
        type: "line",
        data: {
          labels: errors.map((_, position) => position),
          datasets: [
            {
              data: errors.map((error) => (typeof error === "number" ? Math.max(error, floor) : null)),
              borderColor: colours.series[0],
              backgroundColor: errors.map((_, position) => (position === where ? colours.bad : colours.series[0])),
              borderWidth: 1.25,
              pointRadius: errors.map((_, position) => (position === where ? 4 : errors.length > 120 ? 0 : 2)),
              spanGaps: false,
            },
          ],
        },
        options: {
          interaction: { mode: "index", intersect: false },
          plugins: {
            legend: { display: false },
            tooltip: tooltip(colours, { title: (items) => `position ${items[0].label}`, label: (item) => number(errors[item.dataIndex]) }),
          },
          scales: {
            x: axis(colours, "position, the compared texts one after the other", { ticks: { maxTicksLimit: 12, maxRotation: 0 }, grid: { display: false } }),
            y: axis(colours, "max abs error (logarithmic)", { type: "logarithmic", ticks: logTicks(power), ...padded(positive) }),
          },
        },
      }),
      columns: [{ name: "Position", heading: true }, { name: "Max abs error", numeric: true }],
      rows: () => errors.map((error, position) => [String(position), number(error)]),
    }),
  );
}

function median(values) {
  const sorted = [...values].sort((first, second) => first - second);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function stagesPart({ stages }) {
  if (!stages.length) return null;
  const longest = Math.max(...stages.map((stage) => stage.seconds));
  const bar = (value) => {
    const filled = el("span", { class: "fill" });
    filled.style.width = `${(100 * value) / longest}%`;
    return el("span", { class: "bar", "aria-hidden": "true" }, filled);
  };
  const columns = [{ name: "Stage", heading: true }, { name: "Time", numeric: true }, { name: "Share", wide: false }, { name: "Peak memory", numeric: true }, { name: "From" }];
  const total = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  const rows = stages.map((stage) => [
    stage.name,
    seconds(stage.seconds),
    [bar(stage.seconds), hidden(percent(stage.seconds / total))],
    size(stage.peak_memory_bytes),
    stage.cached ? "cached artifact" : "this run",
  ]);
  return section("Stages", scrollingTable(`Stages that were finished, ${seconds(total)} in all`, columns, rows));
}

const MEASURED = [
  ["decode_tokens_per_second", "Decode", (value) => `${number(value, 4)} tokens/s`, "decode_speedup"],
  ["prefill_ms", "Prefill", (value) => `${number(value)} ms`, "prefill_speedup"],
  ["infer_ms", "A call", (value) => `${number(value)} ms`, "infer_speedup"],
  ["load_ms", "Load", (value) => `${number(value)} ms`, null],
];

function latencyPart({ latency }) {
  const { eager = {}, executorch = {} } = latency;
  const rows = MEASURED.filter(([key]) => key in executorch).map(([key, name, told, speed]) => [
    name,
    key in eager ? told(eager[key]) : NOTHING,
    told(executorch[key]),
    speed && speed in executorch ? ratio(executorch[speed]) : NOTHING,
  ]);
  if (!rows.length) return null;
  const conditions = [
    latency.prompt_tokens && `${latency.prompt_tokens} prompt tokens`,
    latency.decode_tokens && `${latency.decode_tokens} decoded tokens`,
    latency.calls && `${latency.calls} calls`,
    latency.blocks && `${latency.blocks} blocks, interleaved`,
    latency.threads && plural(latency.threads, "thread"),
  ].filter(Boolean);
  const columns = [{ name: "Phase", heading: true }, { name: "Eager PyTorch", numeric: true }, { name: "ExecuTorch", numeric: true }, { name: "Speed-up", numeric: true }];
  return section(
    "Latency",
    scrollingTable(`Medians${conditions.length ? ` (${conditions.join(", ")})` : ""}`, columns, rows),
    el("div", { class: "charts" }, Object.entries(latency.samples || {}).map(([phase, samples]) => samplesFigure(phase, samples))),
  );
}

function samplesFigure(phase, { eager, executorch }) {
  if (!eager || !executorch || !eager.length) return null;
  const milliseconds = (values) => values.map((value) => 1000 * value);
  const [first, second] = [milliseconds(eager), milliseconds(executorch)];
  const set = (label, data, color, pointStyle) => ({ label, data, borderColor: color, backgroundColor: color, pointStyle, pointRadius: 4, borderWidth: 1.25 });
  return figure({
    title: `Samples of ${phase}`,
    says: `Milliseconds a step in ${plural(eager.length, "block")}: eager PyTorch has a median of ${number(median(first))}, ExecuTorch of ${number(median(second))}.`,
    height: 220,
    make: (colours) => ({
      type: "line",
      data: {
        labels: eager.map((_, block) => block + 1),
        datasets: [set("eager PyTorch", first, colours.series[1], "triangle"), set("ExecuTorch", second, colours.series[0], "circle")],
      },
      options: {
        plugins: { legend: { labels: { color: colours.text, usePointStyle: true, boxHeight: 7 }, position: "bottom" }, tooltip: tooltip(colours, { label: (item) => `${item.dataset.label}: ${number(item.raw)} ms` }) },
        scales: { x: axis(colours, "block", { grid: { display: false } }), y: axis(colours, "ms", { beginAtZero: true }) },
      },
    }),
    columns: [{ name: "Block", heading: true }, { name: "Eager ms", numeric: true }, { name: "ExecuTorch ms", numeric: true }, { name: "Ratio", numeric: true }],
    rows: () => first.map((value, block) => [String(block + 1), number(value), number(second[block]), ratio(value / second[block])]),
  });
}

function delegationPart({ delegation, delegated_share: share }) {
  if (!delegation || !("delegates" in delegation)) return null;
  const counts = new Map();
  for (const side of ["delegated", "undelegated"])
    for (const [operator, count] of Object.entries(delegation[side] || {})) counts.set(operator, { delegated: 0, undelegated: 0, ...counts.get(operator), [side]: count });
  const rows = [...counts].sort(([, first], [, second]) => second.delegated + second.undelegated - first.delegated - first.undelegated);
  const sum = (side) => rows.reduce((total, [, count]) => total + count[side], 0);
  const top = rows.slice(0, 16);
  const left = rows.filter(([, count]) => count.undelegated).length;
  return section(
    "Delegation",
    figure({
      title: "Operators by where they run",
      says: `${sum("delegated")} operators in ${plural(delegation.delegates, "delegate")}, ${sum("undelegated")} of ${plural(left, "kind")} outside${typeof share === "number" ? `: ${percent(share)} delegated` : ""}.`,
      height: 80 + 24 * top.length,
      make: (colours) => ({
        type: "bar",
        data: {
          labels: top.map(([operator]) => shortOperator(operator)),
          datasets: [
            { label: "delegated", data: top.map(([, count]) => count.delegated), backgroundColor: colours.series[0], maxBarThickness: 16 },
            { label: "not delegated", data: top.map(([, count]) => count.undelegated), backgroundColor: colours.series[1], maxBarThickness: 16 },
          ],
        },
        options: {
          indexAxis: "y",
          plugins: { legend: { labels: { color: colours.text, boxWidth: 12, boxHeight: 12 }, position: "bottom" }, tooltip: tooltip(colours, { title: (items) => top[items[0].dataIndex][0] }) },
          scales: {
            x: axis(colours, "operators", { stacked: true, ticks: { precision: 0 } }),
            y: axis(colours, "", { stacked: true, grid: { display: false }, ticks: { autoSkip: false, color: colours.text } }),
          },
        },
      }),
      note: rows.length > top.length ? `The ${top.length} most frequent of ${rows.length} kinds are drawn; the table has all.` : null,
      columns: [{ name: "Operator", heading: true }, { name: "Delegated", numeric: true }, { name: "Not delegated", numeric: true }],
      rows: () => rows.map(([operator, count]) => [el("code", {}, operator), count.delegated, count.undelegated]),
    }),
  );
}

const shortOperator = (name) => {
  const plain = name.replace(/^aten[_.:]+/, "").replace(/[_.]default$/, "");
  const limit = narrow() ? 18 : 40;
  return plain.length > limit ? `${plain.slice(0, limit - 1)}…` : plain;
};

function quantizationPart({ quantization }) {
  const { layers = [], skipped = [] } = quantization;
  if (!layers.length && !skipped.length) return null;
  const kindsOf = new Map();
  for (const layer of layers) {
    const kind = `${layer.part ? `${layer.part}, ` : ""}${layer.kind}: ${layer.weight_bits} bits${layer.group_size ? `, groups of ${layer.group_size}` : ""}`;
    kindsOf.set(kind, (kindsOf.get(kind) || 0) + 1);
  }
  const columns = [{ name: "Layer", heading: true }, { name: "Part" }, { name: "Kind" }, { name: "Bits", numeric: true }, { name: "Group", numeric: true }, { name: "Shape" }];
  const rows = () =>
    layers.map((layer) => [el("code", {}, layer.name), layer.part || NOTHING, layer.kind, layer.weight_bits, layer.group_size ?? NOTHING, (layer.shape || []).join(" × ")]);
  return section(
    "Quantization",
    terms([
      ["Quantized", [...kindsOf].map(([kind, count]) => el("span", { class: "line" }, `${plural(count, "layer")}: ${kind}`))],
      ["Share of linear weights", percent(quantization.linear_share)],
      ["Embedding untied", quantization.untied ? "yes" : "no"],
      ["Left as they are", skipped.length ? skipped.map((layer) => el("span", { class: "line" }, text(layer))) : null],
    ]),
    layers.length > 0 && folded(`All ${plural(layers.length, "layer")}`, () => scrollingTable("Quantized layers", columns, rows(), { quiet: true })),
  );
}

function cachePart({ cache, max_seq_len: longest, sliding_window: window }) {
  const columns = [{ name: "Kind", heading: true }, { name: "Layers" }, { name: "Capacity", numeric: true }, { name: "Bits", numeric: true }];
  const rows = cache.map((layer) => [layer.kind ?? NOTHING, layer.sliding ? "sliding window" : "full attention", text(layer.capacity), text(layer.bits)]);
  if (!rows.length && !longest) return null;
  return section(
    "Cache",
    terms([
      ["Longest sequence", longest],
      ["Smallest window", window],
    ]),
    rows.length > 0 && scrollingTable("Caches of the program", columns, rows, { quiet: true }),
  );
}

function historyPart(name, history) {
  if (runs.length < 2) return null;
  const known = history.filter((entry) => entry.figures.has(name)).map((entry) => ({ ...entry, figures: entry.figures.get(name) }));
  const line = (title, unit, of, told, colour, logarithmic = false) => {
    const values = known.map(({ figures }) => of(figures) ?? null);
    const present = values.filter((value) => value !== null);
    if (!present.length) return null;
    return figure({
      title,
      says: `${plural(known.length, "run")}: from ${told(present[0])} to ${told(present.at(-1))}.`,
      height: 200,
      make: (colours) => ({
        type: "line",
        data: {
          labels: known.map(({ run, figures }) => [run.label, figures.date, figures.versions.executorch ? `executorch ${figures.versions.executorch}` : ""]),
          datasets: [{ data: values, borderColor: colours.series[colour], backgroundColor: colours.series[colour], pointRadius: 4, borderWidth: 1.5, pointStyle: known.map(({ figures }) => (figures.status === "pass" ? "circle" : "crossRot")) }],
        },
        options: {
          plugins: { legend: { display: false }, tooltip: tooltip(colours, { label: (item) => `${told(values[item.dataIndex])}, ${words(known[item.dataIndex].figures.status)}` }) },
          scales: { x: axis(colours, "", { grid: { display: false }, ticks: { maxRotation: 0 } }), y: axis(colours, unit, logarithmic ? { type: "logarithmic" } : { beginAtZero: true }) },
        },
      }),
      columns: [{ name: "Run", heading: true }, { name: title, numeric: true }],
      rows: () => known.map(({ run, figures }) => [run.label, told(of(figures))]),
    });
  };
  const columns = [{ name: "Run", heading: true, fixed: true }, { name: "Measured", fixed: true }, { name: "Status" }, { name: "Speed-up", numeric: true }, { name: "Size", numeric: true }, { name: "Versions", wide: true }];
  const rows = history.map(({ run, figures }) => {
    const found = figures.get(name);
    return found
      ? [run.label, found.date, badge(found.status), ratio(found.speedup), size(found.bytes), versionsLine(found.versions)]
      : [run.label, NOTHING, "never run", NOTHING, NOTHING, NOTHING];
  });
  return section(
    "History",
    el(
      "div",
      { class: "charts" },
      line("Speed-up over the runs", "times eager", (figures) => figures.speedup, ratio, 0),
      line("Size over the runs", "KiB", (figures) => (figures.bytes === null ? null : figures.bytes / 1024), (value) => size(value === null ? null : value * 1024), 2),
    ),
    scrollingTable("This cell in every run, the oldest first", columns, rows),
  );
}

const versionsLine = (versions) => Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ");

function provenancePart(cell, record) {
  const memory = record.host.memory_bytes;
  return section(
    "Where and with what",
    facts([
      ["Run", moment(record.created) + " UTC"],
      ["Scale", record.scale],
      ["Published checkpoint", record.hub_id ? `${record.hub_id}, ${record.revision || "unpinned"}` : null],
      ["Methods", (record.methods || []).join(", ")],
      ["SHA-256 of the file", record.file_sha256 && el("code", { class: "break" }, record.file_sha256)],
      ...Object.entries(record.versions),
      ...Object.entries(record.host).map(([name, value]) => [name === "memory_bytes" ? "memory" : name, name === "memory_bytes" ? size(memory) : text(value)]),
    ]),
  );
}
