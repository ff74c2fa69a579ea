// The matrix: filters that are part of the address, models by configurations, or one row a cell.

const WIDEST = 7; // columns of a task's table, beyond which only widely shared configurations get one
const NO_FILTERS = { q: "", task: "", family: "", configuration: "", status: "", view: "", sort: "", order: "" };

const searched = {
  model: models.name.map((name, model) => `${name} ${families[models.family[model]]} ${models.hub[model] || ""}`.toLowerCase()),
  configuration: configurations.map((name) => name.toLowerCase()),
  reason: reasons.map((reason) => reason.toLowerCase()),
};

/** Filters of an address' query; what it does not name is empty. */
function filtersOf(query) {
  const found = { ...NO_FILTERS };
  for (const [name, value] of new URLSearchParams(query)) if (name in found) found[name] = value;
  return found;
}

function queryOf(filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  return query.size ? `?${query}` : "";
}

/** Which configurations are meant: the one of this id, or those that contain every word. */
function chosenConfigurations(wanted) {
  if (!wanted) return configurations.map(() => true);
  if (configurations.includes(wanted)) return configurations.map((name) => name === wanted);
  const parts = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  return searched.configuration.map((name) => parts.every((part) => name.includes(part)));
}

/** The cells that filters leave, and how many of each status there would be without the filter of statuses. */
function chosenCells(filters) {
  const task = tasks.indexOf(filters.task);
  const family = families.indexOf(filters.family);
  const wanted = filters.q.toLowerCase().split(/\s+/).filter(Boolean);
  const allowed = new Set(filters.status.split(",").filter(Boolean));
  const fits = chosenConfigurations(filters.configuration.trim());
  const counts = statuses.map(() => 0);
  const found = [];
  for (let cell = 0; cell < COUNT; cell++) {
    const model = cells.model[cell];
    if (filters.task && models.task[model] !== task) continue;
    if (filters.family && models.family[model] !== family) continue;
    if (!fits[cells.configuration[cell]]) continue;
    const matches = (word) =>
      searched.model[model].includes(word) ||
      searched.configuration[cells.configuration[cell]].includes(word) ||
      searched.reason[cells.reason[cell]].includes(word);
    if (!wanted.every(matches)) continue;
    counts[cells.status[cell]]++;
    if (allowed.size === 0 || allowed.has(statusOf(cell))) found.push(cell);
  }
  return { found, counts };
}

let matrixRows = null; // the lazily made rows of the page that is shown
const places = new Map(); // where a reader was in an address: {rows, scroll, focus}

function matrixView(query) {
  const filters = filtersOf(query);
  const results = el("div", { id: "results" });
  const count = el("p", { id: "count", class: "count", role: "status", "aria-live": "polite" });
  const form = filterForm(filters, () => refresh());
  let timer = 0;

  function refresh(push = false) {
    const address = `#/${queryOf(filters)}`;
    if (location.hash !== address) history[push ? "pushState" : "replaceState"](null, "", address);
    const { found, counts } = chosenCells(filters);
    form.show(counts);
    const shown = new Set(found.map((cell) => cells.model[cell])).size;
    count.textContent = found.length
      ? `${plural(found.length, "cell")} of ${plural(shown, "model")}`
      : "No cell fits these filters.";
    matrixRows?.forEach((rows) => rows.stop());
    matrixRows = [];
    results.replaceChildren();
    const resort = (sort, order) => {
      Object.assign(filters, { sort, order });
      refresh();
      results.querySelector(`[data-sort="${CSS.escape(sort || "model")}"] button`)?.focus();
      announce(sort ? `Sorted by ${sort}, ${order === "desc" ? "descending" : "ascending"}.` : "In the original order.");
    };
    (filters.view === "cells" ? listOf : gridOf)(results, found, filters, resort);
  }

  form.element.addEventListener("input", (event) => {
    if (event.target.type !== "search" && event.target.id !== "configuration-filter") return;
    clearTimeout(timer);
    timer = setTimeout(() => (form.read(), refresh()), 120);
  });

  const view = el(
    "div",
    { class: "page matrix-page" },
    el("h1", { tabindex: "-1" }, "Support matrix"),
    el(
      "p",
      { class: "lead" },
      `${plural(COUNT, "cell")} of ${plural(models.name.length, "model")}: each model exported under each configuration, run by ExecuTorch, and compared with eager PyTorch.`,
    ),
    form.element,
    count,
    results,
    legend(),
  );
  refresh();
  return view;
}

function legend() {
  return el(
    "p",
    { class: "note legend" },
    "Figures of a cell: speed-up over eager PyTorch (in decoding, or of a call), and file size. ",
    Object.keys(SIGNS)
      .filter((status) => runs[0].statuses[status])
      .map((status) => [badge(status), " "]),
    el("span", { class: "badge never" }, "· never run"),
  );
}

function option(value, label, chosen) {
  return el("option", { value, selected: value === chosen }, label);
}

function filterForm(filters, changed) {
  const field = (label, control) => el("div", { class: "field" }, el("label", { for: control.id }, label), control);
  const select = (id, key, all, values) =>
    el("select", { id, data: { key } }, option("", all, filters[key]), values.map((value) => option(value, value, filters[key])));
  const search = el("input", { type: "search", id: "search", data: { key: "q" }, autocomplete: "off", placeholder: "model, configuration, reason" });
  search.value = filters.q;
  const configurationField = el("input", {
    type: "text",
    id: "configuration-filter",
    list: "configurations",
    data: { key: "configuration" },
    autocomplete: "off",
    placeholder: "an id, or parts: kv 8da4w",
  });
  configurationField.value = filters.configuration;
  const chips = el("div", { class: "chips" });
  const allowed = new Set(filters.status.split(",").filter(Boolean));
  const boxes = statuses.map((status) => {
    const box = el("input", { type: "checkbox", value: status, id: `status-${status}` });
    box.checked = allowed.has(status);
    const count = el("span", { class: "chip-count" });
    const chip = el(
      "label",
      { class: `chip ${tone(status)}`, for: box.id },
      box,
      el("span", { class: "sign", "aria-hidden": "true" }, sign(status)),
      words(status),
      count,
    );
    chips.append(chip);
    return { status, box, chip, count };
  });
  const views = [
    ["", "Models by configurations"],
    ["cells", "One row a cell"],
  ].map(([value, label]) => {
    const radio = el("input", { type: "radio", name: "view", value, id: `view-${value || "grid"}` });
    radio.checked = filters.view === value;
    return el("label", { class: "radio", for: radio.id }, radio, label);
  });
  const clear = el("button", { type: "button", class: "quiet", id: "clear" }, "Clear filters");
  const element = el(
    "form",
    { class: "filters", role: "search", "aria-label": "Filter the matrix", on: { submit: (event) => event.preventDefault() } },
    el(
      "div",
      { class: "fields" },
      field("Search", search),
      field("Task", select("task", "task", "All tasks", tasks)),
      field("Family", select("family", "family", "All families", families)),
      field("Configuration", configurationField),
      el("datalist", { id: "configurations" }, configurations.map((name) => el("option", { value: name }))),
    ),
    el("div", { class: "row" }, el("fieldset", { class: "statuses" }, el("legend", {}, "Status"), chips), el("fieldset", { class: "views" }, el("legend", {}, "View"), views), clear),
  );
  const read = () => {
    for (const control of element.querySelectorAll("[data-key]")) filters[control.dataset.key] = control.value;
    filters.status = boxes.filter(({ box }) => box.checked).map(({ status }) => status).join(",");
    const view = element.querySelector("[name=view]:checked").value;
    if (view !== filters.view) Object.assign(filters, { view, sort: "", order: "" });
  };
  element.addEventListener("change", () => (read(), changed()));
  clear.addEventListener("click", () => {
    for (const control of element.querySelectorAll("[data-key]")) control.value = "";
    for (const { box } of boxes) box.checked = false;
    filters.sort = filters.order = "";
    read();
    changed();
    search.focus();
  });
  return {
    element,
    read,
    show: (counts) =>
      boxes.forEach(({ box, chip, count }, index) => {
        count.textContent = counts[index].toLocaleString("en");
        chip.hidden = counts[index] === 0 && !box.checked && !runs[0].statuses[statuses[index]];
      }),
  };
}

/** A heading that sorts. */
function sortable(key, label, filters, resort, { numeric = false, first = "asc" } = {}) {
  const sorted = filters.sort === key;
  const next = !sorted ? [key, first] : filters.order === first ? [key, first === "asc" ? "desc" : "asc"] : ["", ""];
  const mark = el("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (filters.order === "desc" ? "▼" : "▲") : "");
  return el(
    "th",
    { scope: "col", class: numeric ? "numeric" : null, "aria-sort": sorted ? (filters.order === "desc" ? "descending" : "ascending") : "none", data: { sort: key } },
    el("button", { type: "button", class: "sorter", on: { click: () => resort(...next) } }, numeric ? [mark, label] : [label, mark]),
  );
}

/** Sorted by a figure; those without one come last, whichever way. */
function byFigure(items, figureOf, descending) {
  const way = descending ? -1 : 1;
  return items
    .map((item) => [item, figureOf(item)])
    .sort(([, first], [, second]) => {
      const [a, b] = [first ?? null, second ?? null];
      if (a === null || b === null) return (a === null) - (b === null);
      return way * (typeof a === "string" ? a.localeCompare(b, "en") : a - b);
    })
    .map(([item]) => item);
}

/** A table for each task. */
function gridOf(results, found, filters, resort) {
  const byTask = tasks.map(() => new Map());
  for (const cell of found) {
    const rows = byTask[models.task[cells.model[cell]]];
    const row = rows.get(cells.model[cell]) || new Map();
    row.set(cells.configuration[cell], cell);
    rows.set(cells.model[cell], row);
  }
  const rowsOfAll = [];
  byTask.forEach((rows, task) => rows.size && rowsOfAll.push(...taskGrid(task, rows, filters, resort)));
  if (!rowsOfAll.length) return;
  // One list of rows over all tables: a table is put into the page when its first row is.
  const end = el("div", { class: "end" });
  results.append(end);
  matrixRows.push(lazily(rowsOfAll.length, end, (index) => rowsOfAll[index](end), "row"));
}

function taskGrid(task, rows, filters, resort) {
  const shares = new Map();
  for (const row of rows.values()) for (const name of row.keys()) shares.set(name, (shares.get(name) || 0) + 1);
  let columns = [...shares.keys()].sort((first, second) => shares.get(second) - shares.get(first) || first - second);
  if (columns.length > WIDEST) {
    const common = columns.filter((name) => shares.get(name) * 2 >= rows.size && shares.get(name) > 1);
    columns = common.length ? common : columns.slice(0, WIDEST);
  }
  columns.sort((first, second) => orderOf(first) - orderOf(second));
  const shown = new Set(columns);
  const others = [...shares.keys()].some((name) => !shown.has(name));
  let names = [...rows.keys()];
  const sorting = configurations.indexOf(filters.sort);
  if (filters.sort === "model") names = byFigure(names, (model) => models.name[model], filters.order === "desc");
  else if (shown.has(sorting)) names = byFigure(names, (model) => cells.speedup[rows.get(model).get(sorting) ?? -1], filters.order === "desc");

  let body;
  const begin = (end) => {
    const heading = `task-${tasks[task]}`;
    body = el("tbody");
    const head = el(
      "tr",
      {},
      sortable("model", "Model", filters, resort),
      columns.map((name) =>
        sortable(configurations[name], [configuration(configurations[name]), hidden(" (speed-up)")], filters, resort, { first: "desc" }),
      ),
      others && el("th", { scope: "col" }, "Others"),
    );
    end.before(
      el(
        "section",
        { class: "task", "aria-labelledby": heading },
        el("h2", { id: heading }, tasks[task], el("span", { class: "h-count" }, plural(rows.size, "model"))),
        scrolling(
          `Matrix of ${tasks[task]}`,
          el(
            "table",
            { class: "grid", "aria-rowcount": String(names.length + 1) },
            el("caption", { class: "visually-hidden" }, `${tasks[task]}: models by configurations. A heading's button sorts.`),
            el("thead", {}, head),
            body,
          ),
        ),
      ),
    );
  };
  return names.map((model, index) => (end) => {
    if (index === 0) begin(end);
    body.append(gridRow(model, rows.get(model), columns, others, index + 2));
  });
}

/** The plainest configurations come first: few options, fp32 before other types. */
const orderRank = (() => {
  const keys = configurations.map((name) => {
    const [recipe, type = "", ...options] = name.split("-");
    return [options.length, recipe, type === "fp32" ? "" : type, name];
  });
  const compared = (first, second) => {
    for (let index = 0; index < first.length; index++) if (first[index] !== second[index]) return first[index] < second[index] ? -1 : 1;
    return 0;
  };
  const rank = [];
  [...keys.keys()].sort((first, second) => compared(keys[first], keys[second])).forEach((name, index) => (rank[name] = index));
  return rank;
})();
const orderOf = (name) => orderRank[name];

function gridRow(model, row, columns, others, position) {
  const shown = new Set(columns);
  return el(
    "tr",
    { "aria-rowindex": String(position) },
    el("th", { scope: "row" }, el("a", { href: modelLink(models.name[model]) }, models.name[model])),
    columns.map((name) => gridCell(row.get(name), model, name)),
    others && el("td", { class: "others" }, otherCounts([...row].filter(([name]) => !shown.has(name)).map(([, cell]) => cell), model)),
  );
}

function gridCell(cell, model, name) {
  if (cell === undefined) {
    const run = cellNumbers.has(`${models.name[model]}@${configurations[name]}`);
    return el("td", { class: "never" }, el("span", { "aria-hidden": "true" }, "·"), hidden(run ? "filtered out" : "never run"));
  }
  const status = statusOf(cell);
  const passed = status === "pass";
  return el(
    "td",
    { class: tone(status) },
    el(
      "a",
      { href: cellLink(cellName(cell)) },
      el("span", { class: "sign", "aria-hidden": "true" }, sign(status)),
      passed ? hidden("pass ") : el("span", { class: "word" }, words(status)),
      passed && el("span", { class: "speed" }, ratio(cells.speedup[cell])),
      passed && el("span", { class: "bytes" }, size(cells.bytes[cell])),
    ),
  );
}

function otherCounts(list, model) {
  if (!list.length) return el("span", { class: "nothing" }, NOTHING);
  const counts = new Map();
  for (const cell of list) counts.set(statusOf(cell), (counts.get(statusOf(cell)) || 0) + 1);
  return el(
    "a",
    { href: modelLink(models.name[model]) },
    hidden(`${models.name[model]}, other configurations: `),
    [...counts].map(([status, count]) =>
      el("span", { class: `other ${tone(status)}` }, `${count} `, el("span", { "aria-hidden": "true" }, sign(status)), hidden(words(status)), " "),
    ),
  );
}

const LIST = [
  { key: "model", name: "Model", of: (cell) => models.name[cells.model[cell]] },
  { key: "configuration", name: "Configuration", of: (cell) => configurations[cells.configuration[cell]] },
  { key: "task", name: "Task", of: (cell) => tasks[models.task[cells.model[cell]]] },
  { key: "status", name: "Status", of: (cell) => cells.status[cell] },
  { key: "speedup", name: "Speed-up", numeric: true, of: (cell) => cells.speedup[cell], told: ratio },
  { key: "size", name: "Size", numeric: true, of: (cell) => cells.bytes[cell], told: size },
  { key: "delegated", name: "Delegated", numeric: true, of: (cell) => cells.delegated[cell], told: percent },
  { key: "error", name: "Logit error", numeric: true, of: (cell) => cells.error[cell], told: number },
  { key: "kl", name: "KL to fp32", numeric: true, of: (cell) => cells.kl[cell], told: number },
  { key: "top1", name: "Top-1 to fp32", numeric: true, of: (cell) => cells.top1[cell], told: number },
];

/** One table with a row for each cell. */
function listOf(results, found, filters, resort) {
  if (!found.length) return;
  const column = LIST.find(({ key }) => key === filters.sort);
  const sorted = column ? byFigure(found, column.of, filters.order === "desc") : found;
  const body = el("tbody");
  results.append(
    scrolling(
      "Cells",
      el(
        "table",
        { class: "list", "aria-rowcount": String(sorted.length + 1) },
        el("caption", { class: "visually-hidden" }, "One row a cell. A heading's button sorts."),
        el("thead", {}, el("tr", {}, LIST.map(({ key, name, numeric }) => sortable(key, name, filters, resort, { numeric, first: numeric ? "desc" : "asc" })))),
        body,
      ),
    ),
  );
  const make = (index) => {
    const cell = sorted[index];
    body.append(
      el(
        "tr",
        { "aria-rowindex": String(index + 2) },
        el("th", { scope: "row" }, el("a", { href: modelLink(models.name[cells.model[cell]]) }, models.name[cells.model[cell]])),
        el("td", {}, el("a", { href: cellLink(cellName(cell)) }, configuration(configurations[cells.configuration[cell]]))),
        el("td", { class: "task-name" }, tasks[models.task[cells.model[cell]]]),
        el("td", {}, badge(statusOf(cell))),
        LIST.filter(({ numeric }) => numeric).map(({ of, told }) => el("td", { class: "numeric" }, told(of(cell)))),
      ),
    );
  };
  matrixRows.push(lazily(sorted.length, results.lastChild, make, "cell"));
}
