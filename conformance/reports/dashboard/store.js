// The records: a summary of every cell that is read at once, and what is packed until it is looked at.

const store = JSON.parse(document.getElementById("summary").textContent);
const { cells, models, configurations, families, tasks, statuses, reasons, runs, kinds } = store;
const COUNT = cells.model.length;

const cellName = (cell) => `${models.name[cells.model[cell]]}@${configurations[cells.configuration[cell]]}`;
const statusOf = (cell) => statuses[cells.status[cell]];
const GREEN = new Set(["pass", "known_failure", "not_applicable"]);

const cellNumbers = new Map();
const cellsOfModel = models.name.map(() => []);
for (let cell = 0; cell < COUNT; cell++) {
  cellNumbers.set(cellName(cell), cell);
  cellsOfModel[cells.model[cell]].push(cell);
}
const modelNumbers = new Map(models.name.map((name, index) => [name, index]));

const encode = (name) => encodeURIComponent(name).replaceAll("%40", "@");
const cellLink = (name) => `#/cell/${encode(name)}`;
const modelLink = (name) => `#/model/${encode(name)}`;

const parsed = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve);
  else resolve();
});
const unpacked = new Map();

/** What a packed block says; null if there is no such block. */
function unpack(id) {
  if (!unpacked.has(id)) unpacked.set(id, inflate(id));
  return unpacked.get(id);
}

async function inflate(id) {
  await parsed; // The packed blocks come after this code.
  const block = document.getElementById(id);
  if (block === null) return null;
  const binary = atob(block.textContent.trim());
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

/** The whole record of a cell. */
async function recordOf(cell) {
  const model = cells.model[cell];
  return (await unpack(`model-${model}`)).cells[cellsOfModel[model].indexOf(cell)];
}

/** What every run has of a model, from the oldest run to the newest: [{run, figures by configuration}]. */
async function historyOf(model) {
  const { history } = await unpack(`model-${model}`);
  return history
    .map((own, number) => {
      const figures = new Map();
      for (const [name, [status, speedup, bytes, date, version]] of Object.entries(own))
        figures.set(name, { status: statuses[status], speedup, bytes, date, versions: runs[number].versions[version] });
      return { run: runs[number], figures };
    })
    .reverse();
}
