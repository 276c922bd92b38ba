// Which character is hovered, focused or pinned.
import { changed, state } from "./base.js";

export function sameCells(a, b) {
  return a === b || (a.text === b.text && a.cells.length === b.cells.length);
}

export function shows(picture, hit) {
  return hit && sameCells(picture.entry, hit.picture.entry);
}

export function pinnedHere(entry, cell) {
  return sameCells(entry, state.pinned) && state.pins.includes(cell);
}

// The cells with a thread of their own: pins, then the focused or hovered one.
export function marked(picture) {
  const pins = sameCells(picture.entry, state.pinned) ? state.pins : [];
  const found = pins.map((cell, n) => [n ? "pin-b" : "pin-a", cell]), hit = state.hover || state.focus;
  const live = shows(picture, hit) ? hit : null;
  if (live && !pins.includes(live.cell)) found.push(["accent", live.cell]);
  else if (live) found.push([pins.indexOf(live.cell) ? "pin-b" : "pin-a", live.cell]);
  return found.filter(([, cell]) => cell < picture.entry.cells.length);
}

export function setHover(hit) {
  if (hit && state.hover && hit.cell === state.hover.cell && hit.row === state.hover.row) return;
  if (!hit && !state.hover) return;
  state.hover = hit;
  changed("draw");
}

export function setFocus(hit) {
  state.focus = hit;
  changed("draw");
}

export function togglePin(cell, entry) {
  if (!sameCells(entry, state.pinned)) state.pins = [];
  state.pinned = entry;
  const at = state.pins.indexOf(cell);
  if (at >= 0) state.pins.splice(at, 1);
  else state.pins = [...state.pins, cell].slice(-2);
  changed("draw");
}

export function clearSelection() {
  state.focus = state.hover = null;
  clearPins();
}

export function clearPins() {
  state.pins = [];
  changed("draw");
}
