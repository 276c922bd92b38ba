// A picture: the panels of one entry as canvases, painted only where they are on the screen.
import { cellSignal, displayRows, el, state } from "./base.js";
import { warmest } from "./color.js";
import { drawPanel, panelHeight, tooClose } from "./draw.js";
import { arrange, extent } from "./layout.js";
import { moveTo } from "./motion.js";
import { canvasPen } from "./pen.js";
import { cutShort, sceneOf, tintsOf } from "./scene.js";

export function makePicture(entry, holder, options = {}) {
  const picture = Object.assign(options, { entry, holder, panels: [], rows: [], observer: null });
  const seen = new IntersectionObserver((changes) => {
    for (const change of changes) {
      const panel = picture.panels.find((one) => one.canvas === change.target);
      if (!panel) continue;
      panel.seen = change.isIntersecting;
      if (panel.seen) paint(picture, panel);
    }
  }, { rootMargin: "200px" });
  picture.observer = seen;
  layOut(picture);
  return picture;
}

// Recomputes rows, breaks and sizes. The picture moves there from where it is when `move` is set.
export function layOut(picture, move = false) {
  const { entry, holder } = picture, width = Math.max(240, Math.floor(holder.clientWidth));
  const before = picture.now, breaks = picture.panels.map((panel) => panel.end).join();
  picture.rows = (picture.makeRows || displayRows)(entry);
  const laid = arrange(entry, picture.rows, width, picture.factors?.(), { partner: picture.partner?.(), cut: cuts(picture) });
  Object.assign(picture, { sizes: laid.sizes, scenes: laid.scenes, unit: laid.unit, mean: laid.scenes.row.mean });
  picture.strip = stripOf(picture);
  if (laid.panels.map((panel) => panel.end).join() !== breaks || !picture.panels.length) rebuild(picture, laid.panels);
  for (const panel of picture.panels) sizeCanvas(picture, panel);
  show(picture, move ? before : null);
}

function rebuild(picture, panels) {
  picture.observer.disconnect();
  picture.panels = panels.map((panel) => ({ ...panel, canvas: el("canvas", { "aria-hidden": "true" }), seen: false }));
  picture.holder.replaceChildren(...picture.panels.map((panel) => panel.canvas));
  picture.panels.forEach((panel, n) => {
    panel.seen = n < 3;
    picture.observer.observe(panel.canvas);
  });
}

function sizeCanvas(picture, { canvas }) {
  const ratio = window.devicePixelRatio || 1, height = Math.ceil(panelHeight(picture));
  canvas.width = Math.round(picture.sizes.width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${picture.sizes.width}px`;
  canvas.style.height = `${height}px`;
}

// Very wide gaps are cut short, but not under the hand that widens one.
const cuts = ({ drag, entry }) => !(drag && entry.kind === "increment");

// Distances from even spacing times `state.exaggerate`, and a unit that fits the width.
function exaggerated(picture, scale, gap) {
  const { entry, sizes, scenes } = picture, drawn = scenes[scale], times = state.exaggerate;
  const even = drawn.mean.map((mean, r) => (picture.rows[r].members.length ? mean * drawn.factor[r] : 1));
  const away = (at, index, r) => index * even[r] + times * (at - index * even[r]);
  const x = drawn.x.map((row, r) => row.map((at, c) => away(at, entry.cells[c].start, r)));
  const left = drawn.left.map((row, r) => row.map((at, c) => away(at, c ? entry.cells[c - 1].end - 1 : entry.cells[0].start, r)));
  const available = sizes.room;
  const widest = Math.max(1e-9, ...picture.panels.map((panel) => extent({ x, left }, panel)));
  return { x, left, gap, unit: Math.min(picture.unit[scale], available / widest) };
}

// The places of all cells in the scale that is chosen now.
export function target(picture) {
  const scale = picture.difference ? "integer" : state.scale;
  const gap = tintsOf(picture.entry, picture.rows, state.scale, picture.factors?.()?.[state.scale === "same" ? "same" : "row"]);
  if (scale !== "integer" && state.exaggerate > 1) return exaggerated(picture, scale, gap);
  return { ...(cuts(picture) ? cutShort(picture.scenes[scale]) : picture.scenes[scale]), gap, unit: picture.unit[scale] };
}

export function show(picture, from) {
  const to = target(picture);
  picture.tops = picture.fixedTops?.(picture) || warmest(to.gap.slice(1));
  moveTo(picture, from, to, paintAll);
}

// The same panels and sizes for changed numbers: at once, without gliding. `fit` lets a row shrink to the width.
export function restand(picture, fit = false) {
  const factors = picture.factors?.();
  for (const scale of ["row", "same", "integer"]) picture.scenes[scale] = sceneOf(picture.entry, picture.rows, scale, factors?.[scale]);
  picture.mean = picture.scenes.row.mean;
  picture.strip = stripOf(picture);
  const available = picture.sizes.room;
  for (const scale of fit ? ["row", "same"] : []) {
    const widest = Math.max(1e-9, ...picture.panels.map((panel) => extent(picture.scenes[scale], panel)));
    picture.unit[scale] = Math.min(picture.unit.integer, available / widest);
  }
  moveTo(picture, null, target(picture), paintAll);
}

function paint(picture, panel) {
  const context = panel.canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, panel.canvas.width, panel.canvas.height);
  drawPanel(canvasPen(context), picture, panel);
  context.globalAlpha = 1;
}

export function paintAll(picture) {
  picture.panels.forEach((panel) => panel.seen && paint(picture, panel));
}

// How many characters are too close to their neighbors to be printed, counting every row once.
export function crowded(picture) {
  const { x, left, unit } = target(picture);
  let hidden = 0;
  for (const panel of picture.panels) {
    for (let r = 1; r < x.length; r++) {
      let last = -Infinity, printed = null;
      for (let c = panel.start; c < panel.end; c++) {
        const at = x[r][c] * unit, { label } = picture.entry.cells[c];
        if (tooClose(Math.abs(at - last), label, printed, picture.sizes.size)) hidden++;
        else [last, printed] = [at, label];
      }
    }
  }
  return left.length ? hidden : 0;
}

// The numbers of the bars above the text (changes below 0.01 nats do not fill the height), one per cell: sums for surprisal (a character's bytes), firsts for entropy.
function stripOf(picture) {
  const kept = {};
  return () => {
    if (!kept[state.strip]) {
      const values = picture.entry.cells.map((cell) => cellSignal(picture.entry, cell, state.strip, picture.before));
      kept[state.strip] = { values, highest: values.reduce((most, one) => (Number.isFinite(one) ? Math.max(most, Math.abs(one)) : most), state.strip === "change" ? 0.01 : 1e-9) };
    }
    return kept[state.strip];
  };
}

