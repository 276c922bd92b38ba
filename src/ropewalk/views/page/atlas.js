// The heat map: a square for every row and token, for traces of many rows or a long text. A brush opens its rows below.
import { arcStyle, attended } from "./attention.js";
import { clamp, displayRows, el, number, state } from "./base.js";
import { mix, palette } from "./color.js";
import { FONT, labelWidth, wrap } from "./layout.js";
import { sceneOf } from "./scene.js";
import { marked, setFocus, setHover, shows } from "./selection.js";

const LEFT = 46, GAP = 14, LABEL = 11;

export function makeAtlas(entry, holder, options = {}) {
  const picture = Object.assign(options, { atlas: true, entry, holder, panels: [], rows: [], now: null, observer: null });
  picture.observer = new IntersectionObserver((changes) => changes.forEach((change) => {
    const panel = picture.panels.find((one) => one.canvas === change.target);
    if (!panel) return;
    panel.seen = change.isIntersecting;
    if (panel.seen) paintBand(picture, panel);
  }), { rootMargin: "300px" });
  layOutAtlas(picture);
  watchBrush(picture);
  return picture;
}

// Bands of the text, sizes of the squares, and the numbers.
export function layOutAtlas(picture) {
  const { entry, holder } = picture, width = Math.max(240, Math.floor(holder.clientWidth));
  picture.rows = displayRows(entry);
  picture.scenes = { row: sceneOf(entry, picture.rows, "row") };
  picture.mean = picture.scenes.row.mean;
  picture.limits = picture.fixedLimits?.(picture) || limitsOf(picture);
  picture.tops = picture.limits.high;
  const rows = picture.rows.length - 1, labels = entry.cells.map(({ label }) => label);
  const roomy = Math.max(16, ...labels.map((label) => labelWidth(label, LABEL) + 8)), fits = roomy <= 90 && roomy * labels.length <= width - LEFT - 4;
  picture.turned = !fits && labels.some((label) => label.length > 1 && labelWidth(label, LABEL) > 22);
  const across = clamp((width - LEFT - 4) / labels.length, 1, 26), long = labels.length > 600, least = long ? 7 : picture.turned ? 9 : 8;
  picture.square = fits ? roomy : Math.max(least * state.size, Math.min(across, 26 * state.size));
  const tall = clamp(310 / rows, 5, 16), longest = long ? 38 : 64;
  picture.tall = rows > 12 && labels.length > 300 ? Math.min(tall, 4) : tall;
  const under = picture.turned ? 8 + Math.max(...labels.map((label) => Math.min(longest, labelWidth(label, LABEL)))) : 17;
  const places = Float64Array.from(labels, (_, c) => c), scene = { x: [places.map((c) => c + 1)], left: [places] };
  const bands = wrap([scene], entry.cells, Math.max(1, Math.floor((width - LEFT - 4) / picture.square)), false);
  picture.observer.disconnect();
  picture.height = rows * picture.tall + under;
  picture.panels = bands.map((band, n) => {
    const canvas = el("canvas", { "aria-hidden": "true" }), ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(picture.height * ratio);
    Object.assign(canvas.style, { width: `${width}px`, height: `${picture.height}px`, marginBottom: `${GAP}px` });
    return { ...band, canvas, seen: n < 4 };
  });
  picture.width = width;
  holder.replaceChildren(...picture.panels.map(({ canvas }) => canvas));
  picture.panels.forEach(({ canvas }) => picture.observer.observe(canvas));
  paintAtlas(picture);
}

export const paintAtlas = (picture) => picture.panels.forEach((panel) => panel.seen && paintBand(picture, panel));

// The gaps at both ends of the scale; see heat_limits in views/shades.py.
export function limitsOf({ entry, scenes, rows }) {
  const known = scenes.row.gap.slice(1, rows.length).flatMap((row) => [...row].filter(Number.isFinite)).sort((a, b) => a - b);
  const at = (share) => {
    const place = share * (known.length - 1), low = Math.floor(place);
    return known[low] + (known[Math.min(low + 1, known.length - 1)] - known[low]) * (place - low);
  };
  const logarithmic = entry.kind === "sensitivity";
  if (!known.length) return { low: 1 / 1.2, high: 1.2, logarithmic };
  const high = Math.max(1.2, at(0.99)), low = Math.min(1 / 1.2, at(0.01));
  return { low: logarithmic ? Math.max(low, high ** -2, 1e-6) : low, high, logarithmic };
}

// The place of a gap on the scale: 0 at `low`, a half at the mean, 1 at `high`, outside of that beyond it.
function shareOf(gap, { low, high, logarithmic }) {
  const [value, bottom, middle, top] = logarithmic ? [Math.log(Math.max(gap, 1e-9)), Math.log(low), 0, Math.log(high)] : [gap, low, 1, high];
  return value > middle ? 0.5 + (0.5 * (value - middle)) / (top - middle) : (0.5 * (value - bottom)) / (middle - bottom);
}

function placeIn(picture, panel, cell) {
  const at = cell - panel.start;
  return picture.entry.leftward ? picture.width - 4 - (at + 1) * picture.square : LEFT + at * picture.square;
}

// A band drawn with a pen of pen.js, for files.
export function drawBand(pen, picture, panel) {
  const { entry, rows, square, tall, limits } = picture, bottom = (rows.length - 1) * tall;
  for (let r = 1; r < rows.length; r++) {
    for (let c = panel.start; c < panel.end; c++) {
      const gap = picture.scenes.row.gap[r][c];
      pen.box(placeIn(picture, panel, c), (r - 1) * tall, square + 0.3, tall + 0.3, Number.isNaN(gap) ? palette.rule : mix(palette.heat, clamp(shareOf(gap, limits), 0, 1)));
    }
    pen.text(rows[r].label, LEFT - 5, (r - 0.5) * tall, Math.min(10, tall), palette.soft, { anchor: "right" });
  }
  for (let c = panel.start; c < panel.end; c++) pen.text(entry.cells[c].label, placeIn(picture, panel, c) + square / 2, bottom + 9, LABEL, palette.ink, { squeeze: clamp(square / Math.max(1, labelWidth(entry.cells[c].label, LABEL)), 0.2, 1) });
}

// The middle of a square inside its band's canvas, in pixels.
export function squareOf(picture, panel, cell, row) {
  return [placeIn(picture, panel, cell) + picture.square / 2, (Math.max(1, row) - 0.5) * picture.tall];
}

function paintBand(picture, panel) {
  const { entry, rows, square, tall, limits, turned } = picture, context = panel.canvas.getContext("2d"), ratio = window.devicePixelRatio || 1, half = Math.min(square * 0.2, tall * 0.4);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, picture.width, picture.height);
  for (let r = 1; r < rows.length; r++) {
    const y = (r - 1) * tall, gaps = picture.scenes.row.gap[r];
    for (let c = panel.start; c < panel.end; c++) {
      const x = placeIn(picture, panel, c), share = shareOf(gaps[c], limits);
      context.fillStyle = Number.isNaN(gaps[c]) ? palette.rule : mix(palette.heat, clamp(share, 0, 1));
      context.fillRect(x, y, square + 0.3, tall + 0.3);
      if (share > 1.001) {
        context.fillStyle = palette.paper;
        context.beginPath();
        context.moveTo(x + square / 2, y + tall * 0.25);
        context.lineTo(x + square / 2 + half, y + tall * 0.75);
        context.lineTo(x + square / 2 - half, y + tall * 0.75);
        context.fill();
      }
    }
  }
  const bottom = (rows.length - 1) * tall, every = Math.ceil(10 / tall);
  context.fillStyle = palette.soft;
  context.font = `${Math.min(11, Math.max(9, tall * every))}px ${FONT}`;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let r = 1; r < rows.length; r += every) context.fillText(rows[r].label, LEFT - 5, Math.max(5, (r - 0.5) * tall));
  context.fillStyle = palette.ink;
  context.font = `${Math.min(LABEL, picture.square + 1.5)}px ${FONT}`;
  for (let c = panel.start; c < panel.end; c++) {
    const x = placeIn(picture, panel, c) + square / 2, { label } = entry.cells[c];
    context.save();
    if (turned) {
      context.translate(x, bottom + 5);
      context.rotate(Math.PI / 2);
      context.textAlign = "left";
      context.beginPath();
      context.rect(0, -8, 64, 16);
      context.clip();
      context.fillText(label, 0, 0);
    } else {
      context.textAlign = "center";
      context.fillText(label, x, bottom + 9);
    }
    context.restore();
  }
  for (const [which, cell] of marked(picture)) {
    if (cell < panel.start || cell >= panel.end) continue;
    context.strokeStyle = palette[which];
    context.lineWidth = 2;
    context.strokeRect(placeIn(picture, panel, cell) - 0.5, 0.5, square + 1, bottom);
  }
  const hit = state.hover || state.focus, y = hit && (hit.row - 1) * tall;
  if (state.arcs && shows(picture, hit) && hit.row) {
    for (const one of attended(entry, rows[hit.row], hit.cell)) {
      const { size, color } = arcStyle(one);
      if (size < 0.02 || one.cell < panel.start || one.cell >= panel.end) continue;
      context.strokeStyle = color;
      context.lineWidth = 1 + 2 * Math.min(1, size);
      context.strokeRect(placeIn(picture, panel, one.cell), y, square, tall);
    }
  }
  const { brush } = state;
  if (brush && brush.entry === entry && brush.end > panel.start && brush.start < panel.end) {
    const sides = [Math.max(brush.start, panel.start), Math.min(brush.end, panel.end) - 1].map((cell) => placeIn(picture, panel, cell));
    context.strokeStyle = palette.accent;
    context.lineWidth = 2;
    context.strokeRect(Math.min(...sides), bottom + 0.5, Math.abs(sides[1] - sides[0]) + square, picture.height - bottom - 2);
  }
}

// Pointing tells the numbers, a click pins, dragging opens the rows of a part of the text.
function watchBrush(picture) {
  const { holder } = picture;
  let from = null;
  holder.addEventListener("pointermove", (event) => {
    const hit = findSquare(picture, event);
    if (from !== null && hit) {
      state.brush = { entry: picture.entry, start: Math.min(from, hit.cell), end: Math.max(from, hit.cell) + 1 };
      paintAtlas(picture);
    } else if (event.pointerType === "mouse") setHover(hit);
  });
  holder.addEventListener("pointerleave", () => setHover(null));
  holder.addEventListener("pointerdown", (event) => {
    const hit = findSquare(picture, event);
    if (hit && !event.button) from = hit.cell;
  });
  holder.addEventListener("pointerup", (event) => {
    const hit = findSquare(picture, event), began = from;
    from = null;
    if (began === null || !hit) return;
    if (Math.abs(hit.cell - began) < 2) {
      setFocus(hit);
      openPart(picture, hit.cell - 12, hit.cell + 24);
    } else openPart(picture, Math.min(began, hit.cell), Math.max(began, hit.cell) + 1);
  });
}

// Opens the rows of the cells start..end; closes them where end is negative.
export function openPart(picture, start, end) {
  if (end < 0) {
    state.brush = null;
    picture.opened?.(null);
    return paintAtlas(picture);
  }
  state.brush = { entry: picture.entry, start: clamp(start, 0, picture.entry.cells.length - 1), end: clamp(end, 1, picture.entry.cells.length) };
  picture.opened?.(state.brush);
  paintAtlas(picture);
}

function findSquare(picture, event) {
  const panel = picture.panels.find((one) => one.canvas === event.target);
  if (!panel) return null;
  const box = panel.canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const at = Math.floor((picture.entry.leftward ? picture.width - 4 - x : x - LEFT) / picture.square);
  const cell = clamp(panel.start + at, panel.start, panel.end - 1), row = clamp(1 + Math.floor(y / picture.tall), 1, picture.rows.length - 1);
  return { row, cell, near: true, name: false, picture };
}

export function atlasLegend(picture) {
  const { low, high, logarithmic } = picture.limits, strip = el("i", { class: "ramp", role: "presentation" });
  strip.style.background = `linear-gradient(to right, ${Array.from({ length: 11 }, (_, n) => mix(palette.heat, n / 10)).join()})`;
  return [el("span", {}, `${number(low, 3)}×`), strip, el("span", {}, `${number(high, 3)}×`),
    el("span", {}, `${picture.entry.words.noun} before a token; in the middle 1×, the row's mean${logarithmic ? "; logarithmic" : ""}; △ beyond the scale; gray: not measured`)];
}
