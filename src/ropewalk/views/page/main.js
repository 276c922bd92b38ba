// Assembles the page: which pictures are shown, and what surrounds them.
import { changed, displayRows, el, entries, on, payload, state } from "./base.js";
import { readPalette } from "./color.js";
import { compareBar, differencePicture, incomparable } from "./compare.js";
import { bar, refreshControls, synced } from "./controls.js";
import { panelOf, spoken, updateDetail } from "./detail.js";
import { placer, rowMiddle } from "./draw.js";
import { watchKeys } from "./keyboard.js";
import { legend, notes, updateLegend, updateNotes } from "./legend.js";
import { layOut, makePicture, paintAll } from "./picture.js";
import { makePlayer } from "./player.js";
import { watchPointer } from "./pointer.js";
import { svgOf } from "./save.js";
import { sceneOf } from "./scene.js";
import { sameCells } from "./selection.js";
import { stage } from "./stage.js";

stage.rebuild = () => {
  if (!entries.length) return;
  for (const picture of stage.pictures) {
    picture.observer.disconnect();
    cancelAnimationFrame(picture.frame);
  }
  const shown = [entries[state.a], ...(state.view === "one" ? [] : [entries[state.b]])];
  const reason = state.view === "difference" ? incomparable(...shown) : null, apart = state.view === "difference" && !reason;
  stage.message.textContent = reason || "";
  stage.message.hidden = !reason;
  stage.node.classList.toggle("two", shown.length > 1 && !apart);
  const columns = (apart ? shown.slice(0, 1) : shown).map((entry, n) => {
    const holder = el("div", { class: "picture", tabIndex: 0, role: "application", "aria-roledescription": "rows of characters",
      "aria-label": `Rows of characters: ${entry.name}. Arrow keys move, Enter pins, 1 2 3 choose the scale.` });
    const title = shown.length > 1 ? el("h2", {}, apart ? `A ${shown[0].name} minus B ${shown[1].name}` : `${"AB"[n]} ${entry.name}`) : null;
    return [entry, holder, el("section", {}, title, holder)];
  });
  stage.node.replaceChildren(...columns.map(([, , section]) => section));
  state.pinned = sameCells(shown[0], state.pinned || shown[0]) ? shown[0] : state.pinned;
  stage.pictures = columns.map(([entry, holder]) => {
    const picture = apart ? differencePicture(shown[0], shown[1], holder) : makePicture(entry, holder, { ...stage.options });
    watchPointer(picture);
    watchKeys(holder);
    return picture;
  });
  changed("draw");
};

on("draw", () => {
  stage.pictures.forEach((picture) => picture.moving || paintAll(picture));
  updateLegend();
  updateDetail();
});
on("layout", () => {
  stage.pictures.forEach((picture) => layOut(picture, true));
  updateNotes();
  changed("draw");
});

let measured = 0;
new ResizeObserver(() => {
  const width = stage.node.clientWidth;
  if (Math.abs(width - measured) < 2) return;
  measured = width;
  if (stage.pictures.length) changed("layout");
}).observe(stage.node);

function header() {
  const name = () => (entries.length === 1 ? ` · ${entries[0].name}` : ""), label = el("span", {}, name());
  const lead = payload.mode === "film" ? "A sentence leaves even spacing while the model is trained."
    : "Each row is a layer of the model, and every character stands where that layer puts it. The wider and warmer the gap before a character, the further the layer keeps it from the one before.";
  return el("header", {}, el("h1", {}, "How far apart does a model think its tokens are?"), el("p", { class: "lead" }, lead),
    el("p", { class: "by" }, el("b", {}, "ropewalk"), synced(label, () => label.textContent = name())));
}

// Puts the page together. `extra` holds what a live page adds: composer, below, footer, and `start` to run at the end.
export function build(extra = {}) {
  document.documentElement.classList.add(`mode-${payload.mode}`);
  readPalette();
  refreshControls();
  if (entries.length > 1 && payload.mode === "page") state.view = "side";
  if (payload.mode === "page") entries.forEach((entry) => entry.overlays.forEach((one) => state.overlays.add(one.name)));
  document.getElementById("app").replaceChildren(...[header(), extra.composer, compareBar(), payload.mode === "film" ? makePlayer() : null, bar, legend, stage.message,
    el("div", { class: "desk" }, el("main", {}, stage.node, extra.below), panelOf), notes, extra.footer, spoken].filter(Boolean));
  stage.rebuild();
  if (entries.length) updateNotes();
  extra.start?.();
  // For tests and scripts: the state and the numbers behind the picture.
  window.ropewalk = { state, entries, stage, sceneOf, displayRows, placeOf, svgOf: () => svgOf(stage.pictures[0]) };
}

// The position of a character in the window, in pixels.
function placeOf(picture, cell, row) {
  const panel = picture.panels.find(({ start, end }) => cell >= start && cell < end);
  panel.canvas.scrollIntoView({ block: "nearest" });
  const box = panel.canvas.getBoundingClientRect();
  return [box.left + placer(picture, panel)(picture.now.x[row][cell], row), box.top + rowMiddle(picture, row)];
}
