// The state of the page in the address, so that a link or a reload brings the same view; for pages of saved traces.
import { entries, on, payload, state } from "./base.js";
import { stage } from "./stage.js";

const own = () => payload.mode === "page";
let waiting = 0;

export function readState() {
  if (!own()) return;
  const given = new URLSearchParams(location.hash.slice(1)), number = (name) => Number(given.get(name));
  if (["row", "same", "integer"].includes(given.get("scale"))) state.scale = given.get("scale");
  if (["rows", "heat"].includes(given.get("layout"))) state.layout = given.get("layout");
  if (["one", "side", "difference"].includes(given.get("view")) && entries.length > 1) state.view = given.get("view");
  if (["light", "dark"].includes(given.get("theme"))) state.theme = given.get("theme");
  if (given.has("layers")) state.layers = readLayers(given.get("layers"));
  state.sorted = given.get("sorted") === "1";
  if (number("times") >= 1 && number("times") <= 10) state.exaggerate = number("times");
  for (const name of ["a", "b"]) if (given.has(name) && entries[number(name)]) state[name] = number(name);
  if (given.has("pins")) state.pins = given.get("pins").split(",").map(Number).filter((cell) => Number.isInteger(cell) && cell >= 0 && cell < entries[state.a].cells.length).slice(0, 2);
}

// Layers from text such as "0-5,12"; null for all, and for anything else.
export function readLayers(text) {
  const layers = [];
  for (const part of text.split(",")) {
    const found = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part);
    if (!found) return null;
    for (let layer = Number(found[1]); layer <= Number(found[2] ?? found[1]); layer++) layers.push(layer);
  }
  return layers;
}

export function linkOf() {
  const given = new URLSearchParams({ scale: state.scale });
  const add = (name, value, usual) => value !== usual && value !== null && given.set(name, String(value));
  add("layout", state.layout, null);
  add("view", state.view, entries.length > 1 ? payload.view || "side" : "one");
  add("theme", state.theme, "auto");
  add("layers", state.layers?.join(), undefined);
  add("sorted", state.sorted ? 1 : 0, 0);
  add("times", state.exaggerate, 1);
  add("a", state.a, 0);
  add("b", state.b, 1);
  if (state.pins.length && state.pinned === stage.pictures[0]?.entry) given.set("pins", state.pins.join());
  return `${location.href.split("#")[0]}#${given}`;
}

export function watchState() {
  if (!own()) return;
  const write = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      try {
        history.replaceState(null, "", linkOf());
      } catch { /* a sandboxed frame has no history of its own */ }
    }, 150);
  };
  on("draw", write);
  on("layout", write);
}
