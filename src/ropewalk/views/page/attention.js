// What each token attends to: arcs in the row that is pointed at, and a list of the largest weights.
import { el, state } from "./base.js";
import { mix, palette } from "./color.js";

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

// The arrays of an entry, unpacked when they are first needed.
function attentionOf(entry) {
  const given = entry.attention;
  if (!given || given.unpacked) return given;
  const { count, tokens, weights, even, window: long } = given;
  return entry.attention = { unpacked: true, count, window: long, tokens: new Uint16Array(bytes(tokens).buffer), weights: bytes(weights), even: even && bytes(even) };
}

// The cells that a cell's last token attends to most in a row, each with its weight and the weight at even spacing (null
// where the spacing is even), largest first. Cell -1 stands for what comes before the text.
export function attended(entry, row, c) {
  const { whole = entry, offset = 0 } = entry, { cells } = whole, attention = attentionOf(whole), cell = cells[c + offset], found = new Map();
  if (!attention || !cell || !row.members.length) return [];
  const cellOf = cellsOfTokens(whole);
  for (const n of row.members) {
    const from = (n * whole.tokens.length + cell.end - 1) * attention.count;
    for (let at = from; at < from + attention.count; at++) {
      const token = attention.tokens[at] - 2, share = 1 / (255 * row.members.length);
      if (token === -2) continue;
      const target = token < 0 ? -1 : cellOf[token], old = found.get(target) || { weight: 0, even: attention.even ? 0 : null };
      old.weight += attention.weights[at] * share;
      if (attention.even) old.even += attention.even[at] * share;
      found.set(target, old);
    }
  }
  return [...found].map(([target, one]) => ({ ...one, label: target < 0 ? "start" : cells[target].label, back: target < 0 ? null : cell.end - cells[target].end, cell: target < 0 ? -1 : target - offset }))
    .sort((a, b) => b.weight - a.weight);
}

function cellsOfTokens(entry) {
  if (!entry.cellOf) {
    entry.cellOf = [];
    entry.cells.forEach((cell, c) => { for (let t = cell.start; t < cell.end; t++) entry.cellOf[t] = c; });
  }
  return entry.cellOf;
}

// How an attended token is drawn: by its weight, or by what the spacing adds to it and takes from it.
export function arcStyle({ weight, even }) {
  if (!state.moved || even === null) return { size: weight, color: palette.accent };
  return { size: Math.abs(weight - even) * 2, color: mix(palette.heat, weight > even ? 0.88 : 0.06) };
}

export function attentionTable(picture, hit) {
  const row = picture.rows[hit.row], found = state.arcs ? attended(picture.entry, row, hit.cell) : [];
  if (!found.length) return null;
  const percent = (value) => `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`, even = found[0].even !== null;
  return el("section", {}, el("table", {}, el("caption", {}, `${row.label} attends from here to`),
    el("thead", {}, el("tr", {}, ...["", "tokens back", "weight", ...(even ? ["at even spacing"] : [])].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...found.slice(0, 6).map((one) => el("tr", {}, el("th", { scope: "row" }, one.label), el("td", {}, one.back === null ? "before the text" : String(one.back)),
      el("td", {}, percent(one.weight)), even ? el("td", {}, percent(one.even)) : null)))));
}
