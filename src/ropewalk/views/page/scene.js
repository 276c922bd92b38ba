// The position of every cell in every row: the same numbers as views/scene.py with placement "first".
import { isMagnitude, valuesOf } from "./base.js";

export function positionsOf(entry, row, scale) {
  const count = entry.tokens.length;
  const positions = new Float64Array(count);
  if (scale === "integer" || !row.members.length) return positions.map((_, t) => t);
  const values = valuesOf(entry, row);
  if (entry.kind === "position") return values;
  const size = isMagnitude(entry) ? Math.abs : (value) => value;
  const steps = (entry.gap === "after" ? values.slice(0, -1) : values.slice(1)).filter(Number.isFinite);
  const usual = steps.reduce((sum, one) => sum + size(one), 0) / Math.max(1, steps.length); // where nothing was measured
  for (let t = 1; t < count; t++) positions[t] = positions[t - 1] + (Number.isNaN(values[entry.gap === "after" ? t - 1 : t]) ? usual : size(values[entry.gap === "after" ? t - 1 : t]));
  return positions;
}

// x, left: per row and cell, in the scene's unit; gap: the same before each cell, NaN for the first; mean: of each
// row's steps in the trace's unit; factor: scene units per unit of the trace. `factors` fixes the last.
export function sceneOf(entry, rows, scale, factors = null) {
  const positions = rows.map((row) => positionsOf(entry, row, scale));
  const mean = positions.map((row) => {
    let sum = 0;
    for (let t = 1; t < row.length; t++) sum += Math.abs(row[t] - row[t - 1]);
    return row.length > 1 ? sum / (row.length - 1) : 1;
  });
  const learned = mean.filter((_, r) => rows[r].members.length);
  const common = learned.reduce((sum, one) => sum + one, 0) / learned.length;
  const factor = factors || mean.map((own, r) => {
    const unit = scale === "same" && rows[r].members.length ? common : own;
    return unit > 0 ? 1 / unit : 1;
  });
  const x = [], left = [], gap = [], end = [];
  positions.forEach((row, r) => {
    const { cells } = entry, zero = row[cells[0].start];
    x.push(Float64Array.from(cells, (cell) => (row[cell.start] - zero) * factor[r]));
    left.push(Float64Array.from(cells, (_, c) => (row[c ? cells[c - 1].end - 1 : cells[0].start] - zero) * factor[r]));
    const unmeasured = unmeasuredCells(entry, rows[r]);
    gap.push(x[r].map((at, c) => (c && !unmeasured?.has(c) ? at - left[r][c] : NaN)));
    end.push((row[cells[cells.length - 1].end - 1] - zero) * factor[r] + 1);
  });
  return { x, left, gap, end, mean, factor };
}

export const LONGEST = 8; // see views/long_gaps.py

// The places x and left with every gap at most LONGEST wide, so that one does not push its row out of sight; cut: 1 for those.
export function cutShort({ x, left }) {
  if (!x.some((row, r) => row.some((at, c) => at - left[r][c] > LONGEST))) return { x, left, cut: null };
  const cut = x.map((row, r) => Uint8Array.from(row, (at, c) => Number(at - left[r][c] > LONGEST))), near = [], begun = [];
  x.forEach((row, r) => {
    let shift = 0;
    begun.push(new Float64Array(row.length));
    near.push(row.map((at, c) => {
      begun[r][c] = left[r][c] - shift;
      shift += Math.max(0, at - left[r][c] - LONGEST);
      return at - shift;
    }));
  });
  return { x: near, left: begun, cut };
}

// The token whose increment is the gap before a cell; null for the first cell, which has none.
export function gapToken(entry, c) {
  if (!c) return null;
  return entry.gap === "after" ? entry.cells[c - 1].end - 1 : entry.cells[c].start;
}

// The cells of a row without a measured gap before them; null where all have one.
function unmeasuredCells(entry, row) {
  if (!row.members.some((n) => entry.values[n].some(Number.isNaN))) return null;
  return new Set(entry.cells.map((_, c) => c).filter((c) => c && row.members.some((n) => Number.isNaN(entry.values[n][gapToken(entry, c)]))));
}

// What tints a gap: its length against the mean, even while the characters stand at even spacing.
export function tintsOf(entry, rows, scale, factors) {
  return sceneOf(entry, rows, scale === "integer" ? "row" : scale, factors).gap;
}
