// Elements and figures. Text reaches the page as text nodes only, so that no name can become markup.

/** An element. `attributes`: `class`, `on` (listeners by event), `data` (dataset), or any attribute; null ones are left out. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") element.className = value;
    else if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (key === "data") Object.assign(element.dataset, value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Text for those who do not see the page. */
const hidden = (text) => el("span", { class: "visually-hidden" }, text);

/** Say something to those who do not see it happen. */
function announce(text) {
  const announcer = document.getElementById("announcer");
  if (announcer.textContent !== text) announcer.textContent = text;
}

const NOTHING = "–";

/** A number with `digits` significant digits; scientific where it is very small or large. */
function number(value, digits = 3) {
  if (typeof value !== "number") return NOTHING;
  if (value === 0 || Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e7) return value.toExponential(digits - 1).replace("e+", "e");
  return value.toLocaleString("en", { maximumSignificantDigits: Math.max(digits, size >= 1 ? Math.floor(Math.log10(size)) + 1 : 0) });
}

function ratio(value) {
  if (typeof value !== "number") return NOTHING;
  return `${value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)}×`;
}

function size(bytes) {
  if (typeof bytes !== "number") return NOTHING;
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  return bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 10).toFixed(0)} KiB`;
}

function percent(value) {
  return typeof value !== "number" ? NOTHING : `${(100 * value).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
}

function seconds(value) {
  if (typeof value !== "number") return NOTHING;
  return value >= 1 ? `${value.toFixed(value >= 100 ? 0 : 2)} s` : `${number(1000 * value)} ms`;
}

const day = (date) => (date || "").slice(0, 10);
const moment = (date) => (date || "").slice(0, 16).replace("T", " ");
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const words = (status) => status.replaceAll("_", " ");
const text = (value) =>
  value === null || value === undefined ? NOTHING : typeof value === "number" ? number(value, 4) : typeof value === "string" ? value : JSON.stringify(value);

/** What a status looks like: a sign beside its word or its name, never a colour alone. */
const SIGNS = {
  pass: ["✓", "good"],
  known_failure: ["!", "warn"],
  not_applicable: ["–", "none"],
  fail: ["✕", "bad"],
  crash: ["✕", "bad"],
  oom: ["✕", "bad"],
  timeout: ["✕", "bad"],
  fixed: ["✕", "bad"],
  blocked: ["‖", "odd"],
  inconclusive: ["?", "odd"],
};
const sign = (status) => (SIGNS[status] || ["?", "odd"])[0];
const tone = (status) => (SIGNS[status] || ["?", "odd"])[1];

function badge(status) {
  return el("span", { class: `badge ${tone(status)}` }, el("span", { class: "sign", "aria-hidden": "true" }, sign(status)), words(status));
}

/** A region for a table, which scrolls sideways by itself and which keyboards can reach, but only while it is too narrow. */
function scrolling(label, ...children) {
  const region = el("div", { class: "scrolling" }, ...children);
  new ResizeObserver(() => {
    if (!region.isConnected) return;
    const fits = region.firstElementChild.scrollWidth <= region.clientWidth + 1;
    region.classList.toggle("fits", fits);
    for (const [name, value] of [["role", "region"], ["aria-label", label], ["tabindex", "0"]])
      if (fits) region.removeAttribute(name);
      else region.setAttribute(name, value);
  }).observe(region);
  return region;
}

/**
 * A table. `columns`: {name, heading (it names the rows), numeric, wide (long texts), fixed (never broken)}; `rows`: arrays of texts or nodes.
 * The caption is seen unless `quiet`.
 */
function table(caption, columns, rows, { quiet = false } = {}) {
  const head = columns.map((column) => el("th", { scope: "col", class: column.numeric ? "numeric" : null }, column.name));
  return el(
    "table",
    {},
    el("caption", { class: quiet ? "visually-hidden" : null }, caption),
    el("thead", {}, el("tr", {}, head)),
    el("tbody", {}, rows.map((row) => tableRow(columns, row))),
  );
}

function tableRow(columns, row) {
  return el(
    "tr",
    {},
    row.map((value, index) => {
      const column = columns[index];
      const style = ["numeric", "wide", "fixed"].filter((name) => column[name]).join(" ") || null;
      return column.heading ? el("th", { scope: "row", class: style }, value) : el("td", { class: style }, value);
    }),
  );
}

const scrollingTable = (caption, columns, rows, options) => scrolling(caption, table(caption, columns, rows, options));

/** Something that is made when it is first opened. */
function folded(label, make) {
  const details = el("details", {}, el("summary", {}, label));
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(make()));
  return details;
}

/** Terms and what they are. Pairs without a value are left out. */
function terms(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== NOTHING);
  return el("dl", { class: "terms" }, shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** The same in as many columns as there is room for. */
function facts(pairs) {
  const list = terms(pairs);
  list.classList.add("facts");
  return list;
}

const LONG = 400; // characters

/** A text; of a long one the beginning, and the whole on demand. */
function shortened(whole) {
  if (whole.length <= LONG) return el("span", {}, whole);
  return el("div", {}, el("span", {}, `${whole.slice(0, LONG)}…`), folded("The whole text", () => el("p", { class: "reason" }, whole)));
}

/** A part of a page with its heading; nothing if it has nothing in it. */
function section(heading, ...children) {
  const content = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  if (!content.length) return null;
  const id = `part-${heading.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return el("section", { class: "part", "aria-labelledby": id }, el("h2", { id }, heading), ...content);
}

/** A configuration's id, which may be broken at its hyphens. */
function configuration(name) {
  return el("span", { class: "id" }, name.split(/(?<=-)/).map((part, index) => (index ? [el("wbr"), part] : part)));
}

/** A command with a button that copies it. */
function command(line) {
  const button = el("button", { type: "button", class: "quiet" }, "Copy", hidden(` the command ${line}`));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line);
      announce("Copied.");
      button.firstChild.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousSibling);
      announce("The command is selected; copy it with the keyboard.");
    }
  });
  return el("p", { class: "command" }, el("code", {}, line), button);
}

/**
 * Rows that are made a part at a time, when the end of what is there comes near; before printing all of them.
 * `make(index)` puts row `index` into the page; `holder` is what the button for more is put after.
 */
function lazily(count, holder, make, noun = "row", part = 60) {
  let done = 0;
  const button = el("button", { type: "button", class: "more" });
  const more = (wanted) => {
    const end = Math.min(count, done + wanted);
    while (done < end) make(done++);
    button.textContent = `Show all ${plural(count, noun)}`;
    button.hidden = done >= count;
    if (done >= count) observer.disconnect();
  };
  const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(part), { rootMargin: "1200px" });
  button.addEventListener("click", () => more(count));
  holder.after(button);
  more(part);
  if (done < count) observer.observe(button);
  return { all: () => more(count), until: (index) => index >= done && more(index + 1 - done), rendered: () => done, stop: () => observer.disconnect() };
}
