// The model inside the browser: onnxruntime-web runs model.onnx, and answers are made as live/answers.py makes them.
import { payload } from "../views/page/base.js";
import { attach } from "../views/page/composer.js";
import { composer } from "../views/page/composer_state.js";
import { build } from "../views/page/main.js";
import { writingOf } from "./writing.js";

const END = 256;
const site = payload.site;
let runtime = null, session = null, loading = null;

const backend = {
  get ready() {
    loading ||= load().catch((error) => {
      loading = null;
      throw error;
    });
    return loading;
  },
  async ask(request) {
    const text = request.text, { bytes, cells, leftward } = writingOf(text), base = composer.baseEntry;
    const held = request.hold && request.edits.length && base?.text === text ? base.values : null;
    const run = await measure(bytes, request.edits, held);
    const { surprisal, entropy, entropyAfter } = run;
    const trace = {
      kind: "increment", unit: "token-equivalents", gap: site.gap, text, tokens: [...bytes], spans: [...bytes].map((_, t) => [t, t + 1]),
      rows: site.rows.map(([layer, head], n) => ({ layer, head, increments: run.increments[n] })), surprisal, entropy, entropy_after: entropyAfter,
      context: { start: "document", window: site.context, windows: run.windows }, provenance: site.provenance,
    };
    const loss = surprisal.reduce((sum, one) => sum + one, 0) / surprisal.length;
    return { entry: { name: request.model, trace, cells, leftward, overlays: peaks(entropy, cells), expected: run.expected }, model: request.model, loss, following: run.following };
  },
};

async function load() {
  if (location.protocol === "file:") throw new Error("Opened as a file, this page cannot load its model. Serve the folder, for example with: python -m http.server");
  composer.say("Loading the model …");
  const near = (name) => new URL(name, location.href).href;
  runtime = await import(near("runtime/ort.wasm.min.mjs"));
  runtime.env.wasm.wasmPaths = near("runtime/");
  runtime.env.wasm.numThreads = 1;
  const model = await fetched(near("model.onnx"));
  session = await runtime.InferenceSession.create(model, { executionProviders: ["wasm"] });
  composer.say("");
}

async function fetched(address) {
  const response = await fetch(address);
  if (!response.ok || !response.body) throw new Error(`The model did not load (status ${response.status}); reload the page.`);
  const parts = [], reader = response.body.getReader();
  for (let size = 0; ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    composer.say(`Loading the model … ${Math.round((size / site.bytes) * 100)} % of ${(site.bytes / 1e6).toFixed(1)} MB`);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

// [first, keep, last): read tokens first..last, keep what was measured from `keep` on; see measure/capture.py.
function windowsOf(total, context) {
  const found = [[0, 0, Math.min(total, context)]];
  for (let last = found[0][2]; last < total;) {
    const keep = last;
    last = Math.min(total, last + context - Math.floor(context / 2));
    found.push([Math.max(0, last - context), keep, last]);
  }
  return found;
}

async function measure(bytes, edits, held) {
  const tokens = [END, ...bytes], total = tokens.length, count = site.rows.length;
  const increments = site.rows.map(() => []), after = [], surprisal = [], entropy = [], places = windowsOf(total, site.context);
  for (const [first, keep, last] of places) {
    const size = last - first, { d, logits, vocabulary } = await pass(tokens.slice(first, last), first, edits, held);
    for (let n = 0; n < count; n++) for (let t = Math.max(keep, 1); t < last; t++) increments[n].push(d[n * size + t - first]);
    for (let t = first; t < last; t++) {
      const row = logits.subarray((t - first) * vocabulary, (t - first + 1) * vocabulary);
      const next = t + 1 >= Math.max(keep, first + 1) ? spread(row) : null;
      if (next && t + 1 < last) {
        surprisal[t] = surprise(row, tokens[t + 1]);
        entropy[t] = next.entropy;
      }
      if (next && t >= keep) after[t] = next;
    }
  }
  const expected = after.slice(0, -1).map((one) => one.likeliest.slice(0, 3));
  return { increments, surprisal, entropy, entropyAfter: after.slice(1).map((one) => one.entropy),
    expected, following: after[total - 1].likeliest, windows: places.length };
}

async function pass(tokens, first, edits, held) {
  const size = tokens.length, count = site.rows.length, keep = new Float32Array(count * size).fill(1), shift = new Float32Array(count * size);
  const set = (n, t, value) => {
    const at = t + 1 - first; // the start token comes before the text
    if (at < 0 || at >= size) return;
    keep[n * size + at] = 0;
    shift[n * size + at] = value;
  };
  if (held) held.forEach((row, n) => row.forEach((value, t) => set(n, t, value)));
  for (const [layer, head, token, value] of edits) set(site.rows.findIndex(([ownLayer, ownHead]) => ownLayer === layer && ownHead === head), token, value);
  const { Tensor } = runtime, out = await session.run({
    tokens: new Tensor("int64", BigInt64Array.from(tokens, BigInt), [1, size]),
    keep: new Tensor("float32", keep, [1, count, size]), shift: new Tensor("float32", shift, [1, count, size]),
  });
  return { d: out.increments.data, logits: out.logits.data, vocabulary: out.logits.dims[2] };
}

function normal(row) {
  let top = -Infinity, sum = 0;
  for (const value of row) top = Math.max(top, value);
  for (const value of row) sum += Math.exp(value - top);
  return top + Math.log(sum);
}

const surprise = (row, token) => normal(row) - row[token];

function spread(row) {
  const whole = normal(row), shares = Array.from(row, (value) => Math.exp(value - whole));
  const entropy = shares.reduce((sum, share, n) => sum - (share ? share * (row[n] - whole) : 0), 0);
  const likeliest = shares.map((share, n) => [n, share]).sort((a, b) => b[1] - a[1]).slice(0, 8).map(([token, share]) => [tokenName(token), share]);
  return { entropy, likeliest };
}

// Where the entropy before a character is a peak above the mean: the overlay of views/overlays.py.
function peaks(entropy, cells) {
  const level = cells.map((cell) => entropy[cell[0]]), mean = level.reduce((sum, one) => sum + one, 0) / level.length;
  const offsets = cells.filter((cell, n) => n && level[n] > mean && level[n] >= level[n - 1] && level[n] >= (level[n + 1] ?? -Infinity)).map((cell) => cell[0]);
  return [{ name: "entropy peaks", offsets, note: "entropy before the character: a peak above the mean" }];
}

// A byte token as the page writes it; see tokens in live/answers.py.
function tokenName(token) {
  if (token === END) return "end of text";
  if (token === 32) return "␣";
  if (token === 10) return "⏎";
  if (token > 32 && token < 127) return String.fromCharCode(token);
  return `byte ${token.toString(16).toUpperCase().padStart(2, "0")}`;
}

build(attach(backend));
