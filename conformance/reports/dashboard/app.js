// Addresses, the theme, printing.

const main = document.getElementById("main");
let shownAddress = null;
let opened = 0;

/** What an address shows: a function that gives the page, and which entry of the navigation it belongs to. */
function routeOf(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const [, kind = "", ...rest] = path.split("/");
  let name = rest.join("/");
  try {
    name = decodeURIComponent(name);
  } catch {
    // Not one of our addresses; the name is shown as it is.
  }
  if (kind === "cell") return { page: "matrix", title: name, make: () => cellView(name) };
  if (kind === "model") return { page: "matrix", title: name, make: () => modelView(name) };
  if (kind === "charts") return { page: "charts", title: "Charts", make: () => overviewView(query) };
  if (kind === "compare") return { page: "compare", title: "Compare runs", make: () => compareView(query) };
  return { page: "matrix", title: "Support matrix", matrix: true, make: () => matrixView(query) };
}

async function show(first = false) {
  const address = location.hash || "#/";
  const visit = ++opened;
  const route = routeOf(address);
  document.body.dataset.route = route.matrix ? "matrix" : address.split(/[/?]/)[1] || "matrix";
  for (const link of document.querySelectorAll("nav [data-page]")) {
    if (link.dataset.page === route.page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  dropFigures();
  matrixRows?.forEach((rows) => rows.stop());
  matrixRows = null;
  let view;
  try {
    const made = route.make();
    view = made instanceof Promise ? await made : made;
  } catch (error) {
    console.error(error);
    view = el("div", { class: "page" }, el("h1", { tabindex: "-1" }, "This page could not be shown"), el("p", {}, String(error)));
  }
  if (visit !== opened) return; // Another address was opened meanwhile.
  document.title = `${route.title} · executorch-zoo`;
  main.replaceChildren(view);
  drawFigures();
  view.dispatchEvent(new Event("zoo:shown"));
  const place = places.get(address);
  if (place && matrixRows?.length) matrixRows[0].until(place.rows - 1);
  if (!first) {
    const last = place?.focus && [...main.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === place.focus);
    (last || main.querySelector("h1")).focus({ preventScroll: true });
  }
  scrollTo(0, place ? place.scroll : 0);
  shownAddress = address;
  performance.mark(`zoo:${document.body.dataset.route}`);
}

/** Remember where the reader is before a link leads away. */
main.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='#/']");
  if (!link) return;
  places.set(location.hash || "#/", { rows: matrixRows?.[0]?.rendered() ?? 0, scroll: scrollY, focus: link.getAttribute("href") });
});
for (const link of document.querySelectorAll("header a[href^='#/']")) link.addEventListener("click", () => places.delete(link.getAttribute("href")));

addEventListener("hashchange", () => show());

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // The part after # is the address of what is shown.
  main.focus();
});

const themeButton = document.getElementById("theme");
const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const tellTheme = () => themeButton.setAttribute("aria-pressed", String(dark()));
themeButton.addEventListener("click", () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("zoo-theme", theme);
  } catch {
    // It holds until the page is closed.
  }
  tellTheme();
  recolour();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (tellTheme(), recolour()));

const pixelRatio = Chart.defaults.devicePixelRatio;
addEventListener("beforeprint", () => {
  document.documentElement.dataset.printing = "";
  Chart.defaults.devicePixelRatio = 2; // Paper is finer than most screens.
  matrixRows?.forEach((rows) => rows.all());
  recolour();
});
addEventListener("afterprint", () => {
  delete document.documentElement.dataset.printing;
  Chart.defaults.devicePixelRatio = pixelRatio;
  recolour();
});

const newest = runs[0];
document.getElementById("provenance").textContent =
  `${plural(newest.cells, "cell")}, the newest of ${moment(newest.date)} UTC, at scale ${newest.scales.join(", ")}` +
  `, with ${newest.versions.map(versionsLine).join("; ")}. ` +
  (runs.length > 1 ? `${plural(runs.length - 1, "earlier run")} beside it.` : "No earlier run beside it.");
tellTheme();
show(true).then(() => {
  document.documentElement.dataset.ready = "";
  performance.mark("zoo:ready");
});
