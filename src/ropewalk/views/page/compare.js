// Two traces next to each other, or the difference of their gaps.
import { limitsOf } from "./atlas.js";
import { clamp, displayRows, el, entries, number, plural, state } from "./base.js";
import { palette, quantile, warm, warmest } from "./color.js";
import { choice, synced } from "./controls.js";
import { makePicture } from "./picture.js";
import { sceneOf, tintsOf } from "./scene.js";
import { sameCells } from "./selection.js";
import { stage } from "./stage.js";

const VIEWS = [["one", "One"], ["side", "Side by side"], ["difference", "Difference"]];

function bar() {
  const names = (which) => el("label", {}, which.toUpperCase(), el("select", { "aria-label": `trace ${which.toUpperCase()}`, onchange: (event) => {
    state[which] = Number(event.target.value);
    state.brush = null;
    state.pins = [];
    state.focus = state.hover = null;
    stage.rebuild();
  } }, ...entries.map((entry, n) => el("option", { value: String(n), selected: n === state[which] }, entry.name))));
  const second = names("b");
  synced(second, () => second.hidden = state.view === "one");
  return el("div", { class: "compare" }, names("a"), second, choice("View", VIEWS, () => state.view, (view) => {
    state.view = view;
    stage.rebuild();
  }));
}

// Why two traces have no difference, or null where they have one.
function incomparable(a, b) {
  if (a.text !== b.text) return "The two traces are of different texts: a difference needs the same text. They are shown side by side.";
  if (!sameCells(a, b) || a.cells.some((cell, c) => cell.start !== b.cells[c].start)) {
    return "The two models cut this text into different tokens, so that gaps do not correspond. They are shown side by side.";
  }
  const counts = [displayRows(a).length, displayRows(b).length];
  if (counts[0] !== counts[1]) return `One trace has ${plural(counts[0] - 1, "row")}, the other ${counts[1] - 1}: rows do not correspond. They are shown side by side.`;
  return null;
}

// A picture of A's characters at even spacing; between them bars, up where A's gap is wider, down where B's is.
function differencePicture(a, b, holder) {
  const picture = { difference: true, differences: null, other: b, drawBar: drawDifference };
  picture.makeRows = (entry) => {
    const rows = displayRows(entry), others = displayRows(b), scale = state.scale === "same" ? "same" : "row";
    picture.sides = [sceneOf(a, rows, scale).gap, sceneOf(b, others, scale).gap];
    picture.differences = picture.sides[0].map((row, r) => row.map((gap, c) => gap - picture.sides[1][r][c]));
    const sizes = picture.differences.slice(1).flatMap((row) => [...row].filter(Number.isFinite).map(Math.abs));
    picture.highest = Math.max(0.5, quantile(sizes, 0.995) || 0);
    picture.agreement = picture.sides[0].map((row, r) => correlation(row, picture.sides[1][r]));
    return rows.map((row, r) => ({ ...row, label: row.label === others[r].label ? row.label : `${row.label}−${others[r].label}` }));
  };
  picture.nameNote = (r) => `r ${number(picture.agreement[r], 2)}`;
  return makePicture(a, holder, picture);
}

function drawDifference(pen, picture, r, c, a, b, y, foot) {
  const value = picture.differences[r][c];
  if (!Number.isFinite(value)) return;
  const share = clamp(value / picture.highest, -1, 1), tall = Math.abs(share) * picture.sizes.pitch * 0.3, zero = y + foot;
  const wide = Math.max(2, Math.min(Math.abs(b - a), picture.sizes.size) * 0.8);
  pen.box((a + b) / 2 - wide / 2, share > 0 ? zero - tall : zero, wide, tall, share > 0 ? warm(0.9) : palette.cool, 0.95, 1);
}

function correlation(a, b) {
  const pairs = [...a].map((value, c) => [value, b[c]]).filter(([one, other]) => Number.isFinite(one) && Number.isFinite(other));
  const mean = (n) => pairs.reduce((sum, pair) => sum + pair[n], 0) / pairs.length, [ma, mb] = [mean(0), mean(1)];
  const sum = (f) => pairs.reduce((total, pair) => total + f(pair[0] - ma, pair[1] - mb), 0);
  return sum((x, y) => x * y) / Math.sqrt(sum((x) => x * x) * sum((_, y) => y * y));
}

// Two pictures next to each other: one color scale, and the same breaks where the cells are the same.
function together(shown, entry) {
  const other = shown[0] === entry ? shown[1] : shown[0], rows = displayRows(other), comparable = !incomparable(...shown) || sameTokens(...shown);
  return {
    partner: () => (comparable ? { entry: other, rows: displayRows(other) } : null),
    fixedTops: (picture) => (shown[0].kind === shown[1].kind
      ? Math.max(warmest(tintsOf(entry, picture.rows, state.scale).slice(1)), warmest(tintsOf(other, rows, state.scale).slice(1))) : null),
  };
}

const sameTokens = (a, b) => sameCells(a, b) && a.cells.every((cell, c) => cell.start === b.cells[c].start && cell.end === b.cells[c].end);

function commonLimits(shown) {
  if (shown[0].kind !== shown[1].kind) return null;
  return () => {
    const all = shown.map((entry) => {
      const rows = displayRows(entry);
      return limitsOf({ entry, rows, scenes: { row: sceneOf(entry, rows, "row") } });
    });
    return { ...all[0], low: Math.min(...all.map(({ low }) => low)), high: Math.max(...all.map(({ high }) => high)) };
  };
}

export const comparison = { bar, incomparable, differencePicture, together, commonLimits };
