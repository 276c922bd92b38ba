// Keys: arrows move over characters and rows, Enter pins, 1 2 3 choose the scale, + and - the size, Esc clears.
import { clamp, state } from "./base.js";
import { setScale, setSize } from "./controls.js";
import { speak } from "./detail.js";
import { unfold } from "./pointer.js";
import { clearSelection, setFocus, shows, togglePin } from "./selection.js";
import { stage } from "./stage.js";

export function watchKeys(holder) {
  holder.addEventListener("keydown", (event) => {
    if (event.target !== holder || event.ctrlKey || event.metaKey || event.altKey) return;
    const picture = stage.pictures.find((one) => one.holder === holder), done = picture && key(picture, event);
    if (done) event.preventDefault();
  });
  holder.addEventListener("focus", () => {
    const picture = stage.pictures.find((one) => one.holder === holder);
    if (picture && !shows(picture, state.focus) && holder.matches(":focus-visible")) go(picture, 0, 1);
  });
}

function key(picture, event) {
  const now = shows(picture, state.focus) ? state.focus : { cell: 0, row: Math.min(1, picture.rows.length - 1) };
  const ahead = picture.entry.leftward ? -1 : 1, panel = picture.panels.find(({ start, end }) => now.cell >= start && now.cell < end);
  const length = panel ? panel.end - panel.start : 1;
  const steps = {
    ArrowRight: [ahead, 0], ArrowLeft: [-ahead, 0], ArrowDown: [0, 1], ArrowUp: [0, -1],
    Home: [-now.cell, 0], End: [Infinity, 0], PageDown: [length, 0], PageUp: [-length, 0],
  };
  if (event.shiftKey && picture.drag && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
    picture.drag.nudge(now, (event.key === "ArrowRight" ? 1 : -1) * ahead);
    return true;
  }
  if (steps[event.key]) {
    go(picture, now.cell + steps[event.key][0], now.row + steps[event.key][1]);
    return true;
  }
  if (event.key === "Enter" || event.key === " ") {
    if (state.focus) togglePin(now.cell, picture.entry);
    return true;
  }
  if (event.key.toLowerCase() === "h" && now.row) {
    unfold(picture, now.row);
    return true;
  }
  if (event.key === "Escape") {
    clearSelection();
    return true;
  }
  return shortcut(event.key);
}

function shortcut(name) {
  const scale = { 1: "row", 2: "same", 3: "integer" }[name];
  if (scale) setScale(scale);
  else if (name === "+" || name === "=") setSize(1.15);
  else if (name === "-") setSize(1 / 1.15);
  else return false;
  return true;
}

function go(picture, cell, row) {
  const hit = { cell: clamp(cell, 0, picture.entry.cells.length - 1), row: clamp(row, 0, picture.rows.length - 1), picture, near: true };
  state.hover = null;
  setFocus(hit);
  speak(hit);
  const panel = picture.panels.find(({ start, end }) => hit.cell >= start && hit.cell < end);
  panel?.canvas.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("textarea, input, select, .picture");
  if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey) shortcut(event.key);
});
