// From scene units to pixels: letter widths, panels that wrap the text, and the size of a unit.
import { clamp, state } from "./base.js";
import { quantile } from "./color.js";
import { cutShort, sceneOf } from "./scene.js";

export const FONT = 'ui-sans-serif, system-ui, "Segoe UI", "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';
const LINE_END = /[\n\r\u2028\u2029]$/u;
const ruler = document.createElement("canvas").getContext("2d");
const widths = new Map();

export function labelWidth(label, size) {
  const key = `${size} ${label}`;
  if (!widths.has(key)) {
    if (widths.size > 20000) widths.clear();
    ruler.font = `${size}px ${FONT}`;
    widths.set(key, ruler.measureText(label).width);
  }
  return widths.get(key);
}

// The browser's font size over the usual one.
const fontScale = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16 || 1;

// Sizes in pixels for this width of the picture.
function metrics(width, { cells }) {
  const narrow = width < 560, size = (narrow ? 15 : 16) * state.size * fontScale();
  const pitch = size * 2.75;
  const widest = Math.max(...cells.slice(0, 2000).map(({ label }) => labelWidth(label, size)));
  const gutter = narrow ? 60 : 68, right = 14, inset = Math.max(size * 0.7, Math.min(widest / 2, width / 12)); // half a word at each end
  return {
    width, size, pitch, gutter, right, inset, room: width - gutter - right - 2 * inset, band: size * 1.5,
    strip: state.strip === "none" ? 0 : 34, top: 6, bottom: 4,
  };
}

// Cell ranges [start, end): no panel wider than `limit` on any row; a panel ends after a line end, and after a blank in its last third
// where there is one, so that words stay whole.
export function wrap(scenes, cells, limit, lineEnds = true) {
  const sides = scenes.flatMap(({ x, left }) => x.map((row, r) => [row, left[r]]));
  const ended = (place) => lineEnds && LINE_END.test(cells[place - 1].text) && !LINE_END.test(cells[place].text); // an empty line is no panel
  const panels = [];
  for (let start = 0; start < cells.length;) {
    const spans = sides.map(([x, left]) => [Math.min(x[start], left[start]), Math.max(x[start], left[start])]);
    let end = start + 1;
    for (; end < cells.length; end++) {
      let widest = 0;
      sides.forEach(([x, left], r) => {
        spans[r][0] = Math.min(spans[r][0], x[end], left[end]);
        spans[r][1] = Math.max(spans[r][1], x[end], left[end]);
        widest = Math.max(widest, spans[r][1] - spans[r][0]);
      });
      if (widest > limit || ended(end)) break;
    }
    if (end < cells.length && !ended(end)) {
      const earliest = start + Math.max(1, Math.floor(((end - start) * 2) / 3));
      for (let place = end; place >= earliest; place--) {
        if (/\s$/u.test(cells[place - 1].text)) { end = place; break; }
      }
    }
    panels.push({ start, end });
    start = end;
  }
  return panels;
}

export function extent(scene, { start, end }) {
  let widest = 0;
  scene.x.forEach((x, r) => widest = Math.max(widest, reach(x, scene.left[r], start, end)[2]));
  return widest;
}

// Lowest and highest place of the cells start..end on one row, and their distance.
export function reach(x, left, start, end) {
  let low = Infinity, high = -Infinity;
  for (let c = start; c < end; c++) {
    low = Math.min(low, x[c], left[c]);
    high = Math.max(high, x[c], left[c]);
  }
  return [low, high, high - low];
}

// `partner` is another entry of the same cells, whose panels must be the same.
// Panels, and the pixels that one unit takes in each scale; breaks are the same in every scale, so that characters
// move along their row when the scale changes.
export function arrange(entry, rows, width, factors, { partner = null, cut = true } = {}) {
  const sizes = metrics(width, entry), available = sizes.room;
  const scenes = {};
  for (const scale of ["row", "same", "integer"]) scenes[scale] = sceneOf(entry, rows, scale, factors && factors[scale]);
  const wide = entry.cells.map((cell) => labelWidth(cell.label, sizes.size) / (cell.end - cell.start));
  const placed = Object.fromEntries(Object.keys(scenes).map((scale) => [scale, cut ? cutShort(scenes[scale]) : scenes[scale]]));
  const roomy = clamp(sizes.size * 0.3 + quantile(wide, 0.8), 4, 60), whole = { start: 0, end: entry.cells.length };
  const nearly = available / Math.max(extent(placed.row, whole), extent(placed.integer, whole));
  const ideal = nearly >= roomy * 0.8 && nearly < roomy ? nearly * 0.999 : roomy; // a little narrower, rather than one word left over
  const partnerScenes = partner ? ["row", "integer"].map((scale) => cutShort(sceneOf(partner.entry, partner.rows, scale))) : [];
  const panels = wrap([placed.row, placed.integer, ...partnerScenes], entry.cells, available / ideal);
  const base = Math.max(...["row", "integer"].map((scale) => Math.max(...panels.map((p) => extent(placed[scale], p)))));
  const stretched = panels.length === 1 ? clamp(available / base, ideal, ideal * 1.5) : ideal;
  const unit = {};
  for (const scale of Object.keys(scenes)) {
    const partners = partnerScenes.length && scale !== "same" ? [partnerScenes[scale === "row" ? 0 : 1]] : [];
    const widest = Math.max(...panels.flatMap((panel) => [placed[scale], ...partners].map((one) => extent(one, panel))));
    unit[scale] = widest > 0 ? Math.min(stretched, available / widest) : stretched;
  }
  return { sizes, panels, scenes, unit };
}
