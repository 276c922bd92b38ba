// A gap set by hand: dragged along its row, or nudged with Shift and an arrow key.
import { clamp, displayRows, state } from "./base.js";
import { warmest } from "./color.js";
import { composer } from "./composer_state.js";
import { setStrip } from "./controls.js";
import { restand } from "./picture.js";
import { gapToken, sceneOf, tintsOf } from "./scene.js";
import { stage } from "./stage.js";

const GAP_STEP = 0.25;

// While a gap is dragged and afterwards, rows keep the scale that they had before: a wider gap pushes, nothing shrinks.
export function baseFactors() {
  if (!composer.edits.size || !composer.baseEntry || stage.pictures[0]?.entry.kind === "sensitivity") return null;
  const rows = stage.pictures[0]?.rows.length ? stage.pictures[0].rows : displayRows(composer.baseEntry);
  return Object.fromEntries(["row", "same", "integer"].map((scale) => [scale, sceneOf(composer.baseEntry, rows, scale).factor]));
}

export function baseTops(picture) {
  return composer.edits.size && composer.baseEntry && picture.entry.kind !== "sensitivity" ? warmest(tintsOf(composer.baseEntry, picture.rows, state.scale).slice(1)) : null;
}

export function setGap(entry, { layer, head, token, value }) {
  const n = entry.rows.findIndex((row) => row.layer === layer && row.head === head);
  if (n >= 0 && token < entry.tokens.length) entry.values[n][token] = value;
}

function placeGap(hit, change) {
  const { entry, rows } = stage.pictures[0], token = gapToken(entry, hit.cell);
  if (entry.kind !== "increment" || token === null) return;
  for (const n of rows[hit.row].members) {
    const { layer, head } = entry.rows[n], key = `${layer}/${head}/${token}`;
    const gap = { layer, head, token, value: clamp(change(entry.values[n][token], key), 0, 200) };
    composer.edits.set(key, gap);
    setGap(entry, gap);
  }
}

export const drag = {
  begin(hit) {
    const { entry } = stage.pictures[0];
    if (composer.shownText !== composer.text() || entry.kind !== "increment") return;
    composer.dragging = { hit, entry, values: entry.values.map((row) => row.slice()) };
  },
  move(pixels) {
    const held = composer.dragging, [picture] = stage.pictures;
    if (!held || state.scale === "integer") return;
    const { hit } = held, token = gapToken(held.entry, hit.cell), scene = picture.scenes[state.scale];
    const units = pixels / picture.unit[state.scale] / scene.factor[hit.row];
    const members = picture.rows[hit.row].members;
    let n = 0;
    placeGap(hit, () => held.values[members[n++]][token] + units);
    restand(picture, true);
    composer.ask();
  },
  end() {
    if (!composer.dragging) return;
    composer.dragging = null;
    composer.showResult();
    composer.ask();
  },
  nudge(hit, direction) {
    if (!hit.cell || !hit.row || composer.shownText !== composer.text()) return;
    placeGap(hit, (value) => value + (direction * GAP_STEP) / stage.pictures[0].scenes.row.factor[hit.row]);
    restand(stage.pictures[0], true);
    composer.ask();
  },
};

export function forgetGaps() {
  composer.edits.clear();
  composer.hold = false;
  if (state.strip === "change") setStrip("none");
  composer.ask();
}

// Whether a gap shown on this row before this cell was set by hand.
export function marksGap({ entry, rows }, r, cell) {
  if (!composer.edits.size || composer.shownText !== composer.text()) return false;
  const token = gapToken(entry, cell), set = (n) => composer.edits.has(`${entry.rows[n].layer}/${entry.rows[n].head}/${token}`);
  return token !== null && rows[r].members.some(set);
}
