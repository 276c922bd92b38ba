// One panel: rows, bands of the wide gaps, threads, characters, marks. Reads a picture, decides no numbers.
import { arcStyle, attended } from "./attention.js";
import { clamp, number, state } from "./base.js";
import { palette, tint } from "./color.js";
import { labelWidth, reach } from "./layout.js";
import { marked, shows } from "./selection.js";

const BLANK = /^[␣⏎⇥◆�]$/u;

// Whether a label stands too close to the last one that was printed, even when both are squeezed: it keeps only its tick.
export const tooClose = (far, label, last, size) => far < Math.max(0.26 * size, last === null ? 0 : 0.225 * (labelWidth(label, size) + labelWidth(last, size)));

export function placer(picture, panel) {
  const { now, sizes, entry } = picture;
  const origins = now.x.map((x, r) => reach(x, now.left[r], panel.start, panel.end)[0]);
  return (units, r) => {
    const run = (units - origins[r]) * now.unit + sizes.inset;
    return entry.leftward ? sizes.width - sizes.right - run : sizes.gutter + run;
  };
}

export const rowMiddle = (picture, r) => picture.sizes.top + picture.sizes.strip + (r + 0.5) * picture.sizes.pitch;
export const panelHeight = (picture) => rowMiddle(picture, picture.rows.length - 0.5) + picture.sizes.bottom;

export function drawPanel(pen, picture, panel) {
  const { now, rows, sizes, entry } = picture, { start, end } = panel, at = placer(picture, panel);
  const xs = now.x.map((x, r) => Array.from({ length: end - start }, (_, i) => at(x[start + i], r)));
  const top = sizes.band * (picture.difference ? 0.8 : 0.56), foot = sizes.band * 0.46;
  rows.forEach((row, r) => {
    const y = rowMiddle(picture, r);
    pen.path([[sizes.gutter, y + foot, sizes.width - sizes.right, y + foot]], palette.rule, 1);
    if (row.members.length || picture.difference) drawBands(pen, picture, panel, r, y, at, top, foot);
  });
  const threads = [], ticks = [];
  for (let r = 0; r < rows.length && !picture.difference; r++) {
    const y = rowMiddle(picture, r);
    for (const [i, x] of xs[r].entries()) {
      ticks.push([x, y + foot, x, y + foot + 3]);
      if (r + 1 < rows.length) threads.push([x, y + foot + 3, xs[r + 1][i], rowMiddle(picture, r + 1) - top]);
    }
  }
  pen.curves(threads, palette.faint, 0.8, 0.55);
  pen.path(ticks, palette.soft, 1, 0.7);
  drawOverlays(pen, picture, panel, at, top, foot);
  for (const [which, cell] of marked(picture)) {
    if (cell < start || cell >= end) continue;
    const color = palette[which], i = cell - start;
    if (!picture.difference) pen.curves(rows.slice(1).map((_, r) => [xs[r][i], rowMiddle(picture, r) + foot, xs[r + 1][i], rowMiddle(picture, r + 1) - top]), color, 2, 0.9);
  }
  rows.forEach((_, r) => drawLetters(pen, picture, panel, r, xs[r], top, foot));
  drawArcs(pen, picture, panel, xs, top);
  rows.forEach((row, r) => drawName(pen, picture, row, r));
  if (sizes.strip) drawStrip(pen, picture, panel, xs[0]);
  if (!entry.leftward && start > 0) drawContinued(pen, picture, panel, at);
}

function drawBands(pen, picture, { start, end }, r, y, at, top, foot) {
  const { now, tops } = picture;
  for (let c = start; c < end; c++) {
    const color = picture.difference ? null : tint(now.gap[r][c], tops);
    const a = at(now.left[r][c], r), b = at(now.x[r][c], r);
    if (!picture.difference && c && Number.isNaN(now.gap[r][c])) pen.box(Math.min(a, b), y + foot - 4, Math.max(1, Math.abs(b - a)), 4, palette.faint, 0.6);
    if (color) pen.box(Math.min(a, b), y - top, Math.max(1, Math.abs(b - a)), top + foot, color, 1, 2);
    if (now.cut?.[r][c]) pen.text("//", (a + b) / 2, y, picture.sizes.size, palette.ink, { weight: "600" });
    if (picture.difference) picture.drawBar(pen, picture, r, c, a, b, y, foot);
  }
}

function drawLetters(pen, picture, { start }, r, xs, top, foot) {
  const { entry, rows, sizes, now } = picture, y = rowMiddle(picture, r) - sizes.size * (picture.difference && r ? 0.42 : 0.04);
  const quiet = !rows[r].members.length;
  let last = -Infinity, printed = null;
  const chosen = new Map(marked(picture).map(([which, cell]) => [cell, which]));
  xs.forEach((x, i) => {
    const cell = start + i, { label } = entry.cells[cell], which = chosen.get(cell);
    if (tooClose(Math.abs(x - last), label, printed, sizes.size) && !which) return;
    last = x;
    printed = label;
    const width = labelWidth(label, sizes.size), near = (j) => Math.min(width, Math.abs((xs[j] ?? Infinity) - x));
    const squeeze = clamp((near(i - 1) + near(i + 1)) / 2 / width, 0.5, 1), blank = BLANK.test(label);
    const tinted = !quiet && now.gap[r][cell] > 1.02;
    const color = which && !tinted ? palette[which] : quiet || (blank && !tinted) ? palette.soft : palette.ink;
    const mine = which === "accent" && (state.focus || state.hover)?.row === r;
    if (mine) pen.frame(x - width / 2 - 4, y - top + 1, width + 8, top + foot - 2, palette.accent, 4);
    pen.text(label, x, y, sizes.size, color, {
      squeeze, alpha: now.fade?.[cell] ?? 1, weight: which ? "600" : "",
      tall: label.length > 6 ? sizes.pitch : 0,
    });
    if (picture.edited?.(picture, r, cell)) pen.text("◆", x, y - top - 3, sizes.size * 0.6, palette.accent);
  });
}

function drawName(pen, picture, row, r) {
  const { sizes } = picture, y = rowMiddle(picture, r), small = Math.min(11, sizes.size * 0.68);
  if (!row.members.length) {
    pen.text("even", 4, y, small, palette.soft, { anchor: "left" });
    return;
  }
  const folded = row.heads > 1 && row.members.length > 1 ? " ▸" : row.heads > 1 ? " ▾" : "";
  pen.text(row.label + folded, 4, y - small * 0.55, small * 1.15, palette.ink, { anchor: "left", weight: "600" });
  pen.text(picture.nameNote ? picture.nameNote(r) : `mean ${picture.entry.cells.length > 1 ? number(picture.mean[r], 3) : "–"}`, 4, y + small * 0.75, small * 0.9, palette.soft, { anchor: "left" });
}

// A ghost of the character that ended the panel before: the first gap of a panel begins there. None where it would
// lie under the first letter: that gap begins at a character's last token, closer to the next than its letter is wide.
function drawContinued(pen, picture, { start }, at) {
  const { entry, rows, sizes, now } = picture, { label } = entry.cells[start - 1];
  const both = (labelWidth(label, sizes.size) + labelWidth(entry.cells[start].label, sizes.size)) / 2;
  if (rows.some((_, r) => Math.abs(now.x[r][start] - now.left[r][start]) * now.unit < both * 0.8)) return;
  for (let r = 0; r < rows.length; r++) {
    pen.text(label, at(now.left[r][start], r), rowMiddle(picture, r) - sizes.size * 0.04, sizes.size, palette.soft, { alpha: 0.35 });
  }
}

// Arcs from the character that is pointed at to those that its row attends to.
function drawArcs(pen, picture, { start, end }, xs, top) {
  const hit = state.hover || state.focus;
  if (!state.arcs || picture.difference || !shows(picture, hit) || hit.cell < start || hit.cell >= end) return;
  const y = rowMiddle(picture, hit.row) - top + 2, from = xs[hit.row][hit.cell - start];
  for (const one of attended(picture.entry, picture.rows[hit.row], hit.cell)) {
    const { size, color } = arcStyle(one), known = one.cell >= start && one.cell < end;
    if (size < 0.01 || one.cell === hit.cell) continue;
    const to = known ? xs[hit.row][one.cell - start] : picture.entry.leftward ? picture.sizes.width - picture.sizes.right : picture.sizes.gutter;
    pen.arch(from, to, y, 8 + Math.min(picture.sizes.pitch * 0.8, Math.abs(to - from) * 0.35), color, 0.8 + 5 * Math.min(1, size), known ? 0.35 + 0.6 * Math.min(1, size) : 0.3);
  }
}

function drawOverlays(pen, picture, { start, end }, at, top, foot) {
  const { entry, rows, now, sizes } = picture;
  entry.overlays.forEach((overlay, n) => {
    if (!state.overlays.has(overlay.name)) return;
    const color = palette[`mark-${n % 4}`], offsets = new Set(overlay.offsets), strokes = [];
    for (let c = start; c < end; c++) {
      if (!c || !offsets.has(entry.spans[entry.cells[c].start][0])) continue;
      const middle = (r) => at((now.left[r][c] + now.x[r][c]) / 2, r) + n * 2;
      const letters = (labelWidth(entry.cells[c - 1].label, sizes.size) + labelWidth(entry.cells[c].label, sizes.size)) / 2;
      for (let r = 0; r < rows.length; r++) {
        const y = rowMiddle(picture, r), clear = Math.abs(now.x[r][c] - now.left[r][c]) * now.unit > letters + 3;
        if (clear) strokes.push([middle(r), y - top, middle(r), y + foot]);
        else strokes.push([middle(r), y - top, middle(r), y - sizes.size * 0.6], [middle(r), y + sizes.size * 0.5, middle(r), y + foot]);
        if (r + 1 < rows.length) strokes.push([middle(r), y + foot, middle(r + 1), rowMiddle(picture, r + 1) - top]);
      }
    }
    pen.path(strokes, color, 1.5, 0.9, [[], [5, 3], [2, 3], [7, 3, 2, 3]][n % 4]);
  });
}

// Bars above the text: one number per cell, on one scale for the whole text.
function drawStrip(pen, picture, { start, end }, xs) {
  const { sizes, now } = picture, { values, highest } = picture.strip(), floor = sizes.top + sizes.strip - 6;
  const wide = clamp(now.unit * 0.6, 1.5, 10);
  for (let c = start; c < end; c++) {
    if (!Number.isFinite(values[c])) continue;
    const tall = (Math.abs(values[c]) / highest) * (sizes.strip - 10);
    pen.box(xs[c - start] - wide / 2, floor - tall, wide, Math.max(1, tall), values[c] < 0 ? palette.cool : palette.drop, 0.85, 1);
  }
  pen.text(state.strip === "change" ? "Δ nats" : "nats", 4, floor - 4, 10, palette.soft, { anchor: "left" });
}

