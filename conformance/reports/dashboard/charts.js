// Charts: a canvas with a sentence that says what it shows, and the same figures as a table.

const live = new Map(); // canvas → {chart, make}
let waiting = [];

Chart.defaults.animation = false;
Chart.defaults.responsive = true;
Chart.defaults.maintainAspectRatio = false;
Chart.defaults.font.family = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif";
Chart.defaults.font.size = 12;

/** The page's colours as they are now. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return {
    text: get("--text"),
    muted: get("--muted"),
    line: get("--line"),
    strong: get("--strong-line"),
    surface: get("--surface"),
    series: ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"].map(get),
    good: get("--good"),
    bad: get("--bad"),
  };
}

/**
 * A figure. `make(colours)` gives Chart.js its configuration; `says` is the text alternative; `rows()` the table's rows, which are
 * made when the table is opened. `open(index)` is called with the index of a point that was clicked.
 */
function figure({ title, says, height = 260, make, columns, rows, note = null }) {
  const canvas = el("canvas", { role: "img", "aria-label": `${title}. ${says}` });
  const plot = el("div", { class: "plot" }, canvas);
  plot.style.height = `${height}px`;
  waiting.push([canvas, make]);
  return el(
    "figure",
    { class: "chart" },
    el("figcaption", {}, el("strong", {}, title), el("span", { class: "says" }, says)),
    plot,
    note && el("p", { class: "note" }, note),
    folded("Figures as a table", () => scrollingTable(title, columns, rows(), { quiet: true })),
  );
}

/** Draw the figures that were made since, once they are in the page. */
function drawFigures() {
  for (const [canvas, make] of waiting) if (canvas.isConnected) live.set(canvas, { chart: new Chart(canvas, make(palette())), make });
  waiting = [];
}

function dropFigures() {
  for (const { chart } of live.values()) chart.destroy();
  live.clear();
  waiting = [];
}

/** Draw all figures anew, for other colours. */
function recolour() {
  for (const [canvas, { chart, make }] of live) {
    chart.destroy();
    live.set(canvas, { chart: new Chart(canvas, make(palette())), make });
  }
}

const narrow = () => matchMedia("(max-width: 640px)").matches;

/** A configuration's id in lines of at most `width` characters, broken at hyphens. */
function wrapped(id, width = narrow() ? 16 : 34) {
  const lines = [""];
  for (const part of String(id).split(/(?<=-)/)) {
    if (lines.at(-1).length + part.length > width && lines.at(-1)) lines.push("");
    lines[lines.length - 1] += part;
  }
  return lines;
}

function axis(colours, title, more = {}) {
  const { ticks = {}, grid = {}, ...rest } = more;
  return {
    title: { display: Boolean(title), text: title, color: colours.muted },
    ticks: { color: colours.muted, ...ticks },
    grid: { color: colours.line, ...grid },
    border: { color: colours.strong },
    ...rest,
  };
}

/** Ticks of a logarithmic axis: powers of ten, and the fewer of them there are the more between. */
function logTicks(format) {
  return {
    autoSkip: true,
    maxRotation: 0,
    callback(value) {
      const lead = Number((value / 10 ** Math.floor(Math.log10(value) + 1e-9)).toPrecision(6));
      const decades = Math.log10(this.max / this.min);
      const told = decades < 0.8 ? [1, 1.5, 2, 3, 4, 5, 7] : decades < 2.5 ? [1, 2, 5] : [1];
      return told.includes(lead) ? format(value) : null;
    },
  };
}

const plainRatio = (value) => `${Number(value.toPrecision(2))}×`;
const power = (value) => (value >= 0.01 && value < 1e4 ? String(Number(value.toPrecision(3))) : value.toExponential(0).replace("e+", "e"));

function tooltip(colours, callbacks) {
  return { backgroundColor: colours.text, titleColor: colours.surface, bodyColor: colours.surface, displayColors: false, callbacks };
}

/** Bars of ratios that begin at 1: to the right is faster, to the left slower. Entries: {label, value, range}. */
function ratioBars(entries, colours) {
  return {
    type: "bar",
    data: {
      labels: entries.map((entry) => wrapped(entry.label)),
      datasets: [
        {
          data: entries.map((entry) => entry.value),
          base: 1,
          backgroundColor: entries.map((entry) => (entry.value >= 1 ? colours.series[0] : colours.series[1])),
          maxBarThickness: 18,
        },
      ],
    },
    options: {
      indexAxis: "y",
      plugins: {
        legend: { display: false },
        tooltip: tooltip(colours, { title: (items) => entries[items[0].dataIndex].label, label: (item) => entries[item.dataIndex].told }),
      },
      scales: {
        x: axis(colours, "times as fast as eager PyTorch (logarithmic)", {
          type: "logarithmic",
          ticks: logTicks(plainRatio),
          grid: { color: (context) => (context.tick?.value === 1 ? colours.strong : colours.line) },
          ...padded(entries.map((entry) => entry.value).concat(1)),
        }),
        y: axis(colours, "", { grid: { display: false }, ticks: { autoSkip: false, color: colours.text } }),
      },
    },
  };
}

function sizeBars(entries, colours, title = "MiB") {
  return {
    type: "bar",
    data: {
      labels: entries.map((entry) => wrapped(entry.label)),
      datasets: [{ data: entries.map((entry) => entry.value), backgroundColor: colours.series[2], maxBarThickness: 18 }],
    },
    options: {
      indexAxis: "y",
      plugins: {
        legend: { display: false },
        tooltip: tooltip(colours, { title: (items) => entries[items[0].dataIndex].label, label: (item) => entries[item.dataIndex].told }),
      },
      scales: {
        x: axis(colours, title, { beginAtZero: true }),
        y: axis(colours, "", { grid: { display: false }, ticks: { autoSkip: false, color: colours.text } }),
      },
    },
  };
}

/** Limits of a logarithmic axis around values. */
function padded(values, factor = 1.25) {
  let [least, most] = [Infinity, 0];
  for (const value of values) if (value > 0) [least, most] = [Math.min(least, value), Math.max(most, value)];
  return most ? { min: least / factor, max: most * factor } : {};
}

const barHeight = (entries) => 70 + entries.length * Math.max(26, 6 + 14 * Math.max(...entries.map((entry) => wrapped(entry.label).length)));

/** How a configuration rounds, for the points of a scatter. */
const ROUNDINGS = ["8-bit weights", "4-bit weights", "8-bit activations", "4-bit weights, 8-bit activations", "16-bit floats", "cache or attention"];
const POINTS = ["circle", "triangle", "rect", "rectRot", "star", "crossRot"];
function rounding(name) {
  if (/8da4w/.test(name)) return 3;
  if (/8da8w/.test(name)) return 2;
  if (/(^|-)(enc)?4w/.test(name) || /emb4w/.test(name)) return 1;
  if (/(^|-)(enc|emb|encemb)?8w/.test(name)) return 0;
  if (/fp16|bf16/.test(name)) return 4;
  return 5;
}

/** What quantization costs against what it saves. Points: {x, y, label, told, group}. */
function scatter(points, colours, { x, y, logarithmic, open, xFormat }) {
  const groups = ROUNDINGS.map((label, group) => ({ label, group, points: points.filter((point) => point.group === group) })).filter(
    (group) => group.points.length,
  );
  return {
    type: "scatter",
    data: {
      datasets: groups.map(({ label, group, points: own }) => ({
        label,
        data: own,
        pointStyle: POINTS[group],
        backgroundColor: `${colours.series[group]}b0`,
        borderColor: colours.series[group],
        pointRadius: points.length > 2000 ? 3 : 5,
        pointHoverRadius: 7,
      })),
    },
    options: {
      onClick: (event, found) => found.length && open(groups[found[0].datasetIndex].points[found[0].index]),
      plugins: {
        legend: { labels: { color: colours.text, usePointStyle: true, boxHeight: 7 }, position: "bottom" },
        tooltip: tooltip(colours, { title: (items) => items[0].raw.label, label: (item) => item.raw.told }),
      },
      scales: {
        x: axis(colours, x, { ticks: { callback: xFormat } }),
        y: axis(colours, y, logarithmic ? { type: "logarithmic", ticks: logTicks(power), ...padded(points.map((point) => point.y), 2) } : {}),
      },
    },
  };
}
