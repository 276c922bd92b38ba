// The page's data and state, and small helpers. Everything below lives in one function scope.
const payload = JSON.parse(document.getElementById("data").textContent);
const app = document.getElementById("app");
const state = {
  scale: "line", view: "one", a: 0, b: 1, size: 1, strip: "none", theme: "auto",
  overlays: new Set(), unfolded: new Set(), hover: null, focus: null, pins: [],
};
const entries = payload.entries.map(readEntry);

function readEntry(told) {
  const file = told.file ? JSON.parse(told.file) : told.trace;
  const key = file.kind === "increment" ? "increments" : "values";
  return {
    name: told.name, file: told.file || null, kind: file.kind, unit: file.unit, gap: file.gap,
    text: file.text, tokens: file.tokens, spans: file.spans,
    lines: file.lines.map(({ layer, head }) => ({ layer, head })),
    values: file.lines.map((line) => Float64Array.from(line[key], Math.fround)),
    surprisal: file.surprisal, entropy: file.entropy, entropyAfter: file.entropy_after,
    context: file.context, provenance: file.provenance, hash: file.hash || "",
    cells: told.cells.map(([start, end, text, label]) => ({ start, end, text, label })),
    leftward: told.leftward, overlays: told.overlays, expected: told.expected || null,
  };
}

// The rows a picture shows: integer spacing first, then one per layer, or one per head where a layer is unfolded.
function rowsOf(entry) {
  const layers = new Map();
  entry.lines.forEach((line, n) => {
    if (!layers.has(line.layer)) layers.set(line.layer, []);
    layers.get(line.layer).push(n);
  });
  const rows = [{ label: "integer", layer: -1, members: [], heads: 1 }];
  for (const [layer, members] of layers) {
    const name = layer === null ? "all" : `L${layer}`;
    if (members.length > 1 && state.unfolded.has(layer)) {
      for (const n of members) {
        rows.push({ label: `${name}.h${entry.lines[n].head}`, layer, members: [n], heads: members.length });
      }
    } else rows.push({ label: name, layer, members, heads: members.length });
  }
  return rows;
}

function valuesOf(entry, row) {
  if (row.members.length === 1) return entry.values[row.members[0]];
  return Float64Array.from(entry.tokens, (_, t) => {
    let sum = 0;
    for (const n of row.members) sum += entry.values[n][t];
    return Math.fround(sum / row.members.length);
  });
}

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && typeof value !== "string") node[key] = value;
    else if (value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

function plural(count, what) {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// One registry of what must be redone when something changed: "layout" (breaks, sizes), "draw" (colours, marks).
const listeners = { layout: [], draw: [], text: [] };
const on = (what, run) => listeners[what].push(run);
const changed = (what, detail) => listeners[what].forEach((run) => run(detail));
