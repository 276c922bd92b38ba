// The page's data and state, and small helpers.
export const payload = JSON.parse(document.getElementById("data").textContent);
export const state = {
  scale: "row", view: "one", a: 0, b: 1, size: 1, strip: "none", theme: "auto",
  overlays: new Set(), unfolded: new Set(), hover: null, focus: null, pins: [],
  layout: null, layers: payload.layers || null, sorted: false, exaggerate: 1, brush: null, arcs: true, moved: false, options: false,
};
export const entries = payload.entries.map(readEntry);

export function readEntry(given) {
  const file = given.file ? JSON.parse(given.file) : given.trace;
  const key = file.kind === "increment" ? "increments" : "values";
  return {
    name: given.name, file: given.file || null, kind: file.kind, unit: file.unit, gap: file.gap,
    text: file.text, tokens: file.tokens, spans: file.spans,
    rows: file.rows.map(({ layer, head }) => ({ layer, head })),
    values: file.rows.map((row) => Float64Array.from(row[key], (value) => (value === null ? NaN : Math.fround(value)))),
    surprisal: file.surprisal, entropy: file.entropy, entropyAfter: file.entropy_after,
    context: file.context, provenance: file.provenance, hash: file.hash || "",
    cells: given.cells.map(([start, end, text, label]) => ({ start, end, text, label })),
    leftward: given.leftward, symbols: given.symbols || "", attention: given.attention || null, overlays: given.overlays, expected: given.expected || null,
    errors: file.rows[0].errors ? file.rows.map((row) => row.errors) : null, findings: given.findings || [],
    words: given.words || { noun: "gap", title: "", lead: "", squares: "", unit: "" },
  };
}

// The three scales, with what each means; see views/scene.py.
export const SCALES = [
  ["row", "Scale per row", "every row is drawn with the same mean: compare patterns, not widths between rows; the true mean is under its name"],
  ["same", "One scale", "all rows share one scale: compare lengths between rows"],
  ["integer", "Even spacing", "one step per token, as in a model without learned spacing; the tint still shows what was learned"],
];

// The rows a picture shows: even spacing first, then one per layer, or one per head where a layer is unfolded.
export function displayRows(entry) {
  const layers = new Map();
  entry.rows.forEach((row, n) => {
    if (!layers.has(row.layer)) layers.set(row.layer, []);
    layers.get(row.layer).push(n);
  });
  const rows = [{ label: "even", layer: -1, members: [], heads: 1 }];
  for (const [layer, members] of layers) {
    const name = layer === null ? "all" : `L${layer}`;
    if (members.length > 1 && state.unfolded.has(layer)) {
      for (const n of members) {
        rows.push({ label: `${name}.h${entry.rows[n].head}`, layer, members: [n], heads: members.length });
      }
    } else rows.push({ label: name, layer, members, heads: members.length });
  }
  const [even, ...learned] = rows, chosen = learned.filter(({ layer }) => !state.layers || layer === null || state.layers.includes(layer));
  if (state.sorted) {
    const std = new Map(chosen.map((row) => [row, variation(valuesOf(entry, row))]));
    chosen.sort((a, b) => std.get(b) - std.get(a));
  }
  return [even, ...(chosen.length ? chosen : learned)];
}

// The standard deviation of a row's numbers over its mean.
export function variation(values) {
  const known = values.slice(1).filter(Number.isFinite), mean = known.reduce((sum, one) => sum + one, 0) / known.length;
  return Math.sqrt(known.reduce((sum, one) => sum + (one - mean) ** 2, 0) / known.length) / Math.abs(mean) || 0;
}

// Whether the numbers are no distances; their size is drawn as one.
export const isMagnitude = ({ kind }) => kind === "sensitivity" || kind === "forget";

// Whether too many rows or tokens of a trace are shown to write every row in full; see views/sparklines.py.
export const isLarge = (entry) => new Set(entry.rows.map(({ layer }) => layer).filter((layer) => !state.layers || state.layers.includes(layer))).size > 8 || entry.tokens.length > 300;

// The cells start..end of an entry as an entry of its own.
export function sliceEntry(entry, start, end) {
  const cells = entry.cells.slice(start, end), first = cells[0].start, last = cells[cells.length - 1].end;
  const part = (numbers) => numbers.slice(first, last);
  return {
    ...entry, cells: cells.map((cell) => ({ ...cell, start: cell.start - first, end: cell.end - first })), text: cells.map(({ text }) => text).join(""),
    tokens: part(entry.tokens), spans: part(entry.spans), values: entry.values.map(part), errors: entry.errors && entry.errors.map(part),
    surprisal: part(entry.surprisal), entropy: part(entry.entropy), entropyAfter: part(entry.entropyAfter), expected: entry.expected && part(entry.expected),
    file: null, findings: [], attention: null, whole: entry, offset: start,
  };
}

export function valuesOf(entry, row) {
  if (row.members.length === 1) return entry.values[row.members[0]];
  return Float64Array.from(entry.tokens, (_, t) => {
    let sum = 0;
    for (const n of row.members) sum += entry.values[n][t];
    return Math.fround(sum / row.members.length);
  });
}

export function el(tag, props = {}, ...children) {
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

export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

export function plural(count, what) {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
export const prefersReducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function cellSignal(entry, cell, what, before) {
  const sum = (signal) => {
    let total = 0;
    for (let t = cell.start; t < cell.end; t++) total += signal[t] === null ? NaN : signal[t];
    return total;
  };
  if (what === "surprisal") return sum(entry.surprisal);
  if (what === "change") return before ? sum(entry.surprisal) - sum(before.surprisal) : NaN;
  return entry.entropy[cell.start] ?? NaN;
}

// One registry of what must be redone when something changed: "layout" (breaks, sizes), "draw" (colors, marks).
const listeners = { layout: [], draw: [], text: [] };
export const on = (what, run) => listeners[what].push(run);
export const changed = (what, detail) => listeners[what].forEach((run) => run(detail));
