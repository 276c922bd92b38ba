// Movement: a picture glides from its old places to its new ones.
import { clamp, prefersReducedMotion } from "./base.js";

const GLIDE = 650;

export function moveTo(picture, from, to, paintAll, duration = GLIDE) {
  cancelAnimationFrame(picture.frame);
  const fits = from && from.x.length === to.x.length && from.x[0].length === to.x[0].length;
  if (!fits || prefersReducedMotion() || duration <= 0) {
    picture.now = to;
    picture.moving = false;
    paintAll(picture);
    return;
  }
  const began = performance.now();
  picture.moving = true;
  const step = (time) => {
    const part = clamp((time - began) / duration, 0, 1), ease = part < 0.5 ? 4 * part ** 3 : 1 - (2 - 2 * part) ** 3 / 2;
    picture.moving = part < 1;
    picture.now = part < 1 ? between(from, to, ease) : to;
    paintAll(picture);
    if (part < 1) picture.frame = requestAnimationFrame(step);
  };
  picture.frame = requestAnimationFrame(step);
}

function between(from, to, share) {
  const mix = (a, b) => (Number.isFinite(a) && Number.isFinite(b) ? a + (b - a) * share : b);
  const rows = (name) => to[name].map((row, r) => row.map((value, c) => mix(from[name][r][c], value)));
  return { x: rows("x"), left: rows("left"), gap: rows("gap"), unit: mix(from.unit, to.unit) };
}

// Where a new text's characters come from: those it shares with the old text (a common start and end) from their old
// places, the others from their own.
export function comeFrom(oldEntry, old, entry, to) {
  if (!old || old.x.length !== to.x.length) return null;
  const a = oldEntry.cells, b = entry.cells, most = Math.min(a.length, b.length);
  let head = 0, tail = 0;
  while (head < most && a[head].text === b[head].text) head++;
  while (tail < most - head && a[a.length - 1 - tail].text === b[b.length - 1 - tail].text) tail++;
  const source = b.map((_, c) => (c < head ? c : c >= b.length - tail ? c - b.length + a.length : -1));
  const rows = (name) => to[name].map((row, r) => row.map((value, c) => (source[c] < 0 ? value : old[name][r][source[c]])));
  return { x: rows("x"), left: rows("left"), gap: rows("gap"), unit: old.unit };
}
