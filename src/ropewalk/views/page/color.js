// Colors from the style sheet, and the scale of gaps: no tint up to the mean, then warmer; backward steps blue.
import { changed, clamp, state } from "./base.js";

export const palette = {};
const RAMP = 5, FAINTEST = 1.02; // gaps up to here are not tinted; see views/shades.py
const HEAT = [0, 0.3, 0.5, 0.65, 0.85, 1]; // places of the heat map's colors on its scale; see views/heat_picture.py

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "soft", "faint", "rule", "accent", "pin-a", "pin-b", "backward", "cool", "drop",
    "mark-0", "mark-1", "mark-2", "mark-3"]) palette[name] = style.getPropertyValue(`--${name}`).trim();
  palette.heat = Array.from({ length: HEAT.length }, (_, n) => channels(style.getPropertyValue(`--heat-${n}`).trim()));
  palette.ramp = Array.from({ length: RAMP }, (_, n) => channels(style.getPropertyValue(`--ramp-${n}`).trim()));
}

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// Color of a gap in units of the mean, `top` being the warmest; null where nothing is tinted.
export function tint(gap, top) {
  if (!Number.isFinite(gap)) return null;
  if (gap < 0) return palette.backward;
  return gap <= FAINTEST ? null : warm((gap - 1) / (top - 1));
}

// The color at a place 0..1 of the heat map's scale.
export function mix(colors, share) {
  let n = 0;
  while (n < HEAT.length - 2 && share > HEAT[n + 1]) n++;
  const part = (share - HEAT[n]) / (HEAT[n + 1] - HEAT[n]);
  return `rgb(${colors[n].map((value, i) => Math.round(value + (colors[n + 1][i] - value) * part)).join()})`;
}

export function warm(share) {
  const place = clamp(share, 0, 1) * (RAMP - 1), low = Math.min(RAMP - 2, Math.floor(place));
  const mixed = palette.ramp[low].map((value, n) => Math.round(value + (palette.ramp[low + 1][n] - value) * (place - low)));
  return `rgb(${mixed.join()})`;
}

// The warmest gap of these rows: the widest but for a rare outlier, at least 1.2 times the mean; see views/shades.py.
export function warmest(tints) {
  const all = [];
  tints.forEach((row) => row.forEach((gap) => Number.isFinite(gap) && all.push(gap)));
  return Math.max(1.2, quantile(all, 0.995) || 1.2);
}

export function quantile(values, share) {
  if (!values.length) return NaN;
  const sorted = Float64Array.from(values).sort(), place = share * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
}

// The theme that was chosen on this machine before, where the browser keeps it.
export function readTheme() {
  try {
    state.theme = localStorage.getItem("ropewalk-theme") || state.theme;
  } catch { /* a sandboxed frame keeps nothing */ }
}

export function keepTheme(theme) {
  setTheme(theme);
  try {
    localStorage.setItem("ropewalk-theme", theme);
  } catch { /* as above */ }
}

export function setTheme(theme) {
  state.theme = ["light", "dark"].includes(theme) ? theme : "auto";
  if (state.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = state.theme;
  readPalette();
  changed("draw");
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(state.theme));
