// The bar of controls: scale, bars above the text, overlays, size, theme.
import { SCALES, changed, clamp, el, entries, isLarge, on, payload, state } from "./base.js";
import { keepTheme } from "./color.js";
import { linkOf, readLayers } from "./link.js";
import { layOut, show } from "./picture.js";
import { saveMenu } from "./save.js";
import { stage } from "./stage.js";
import { tourButton } from "./tour.js";

export const bar = el("div", { class: "controls" });

export function setScale(scale) {
  if (scale === state.scale) return;
  state.scale = scale;
  for (const picture of stage.pictures.filter((one) => !one.atlas)) {
    if (picture.difference) layOut(picture);
    else show(picture, picture.now);
  }
  changed("draw");
}

export function setSize(times) {
  state.size = clamp(state.size * times, 0.6, 2.2);
  changed("layout");
}

// Controls that show the state follow it for as long as they are in the document.
const followers = new WeakMap();

export function synced(node, follow) {
  node.dataset.synced = "";
  followers.set(node, follow);
  return node;
}

on("draw", () => document.querySelectorAll("[data-synced]").forEach((node) => followers.get(node)()));

export function choice(label, options, chosen, pick) {
  const buttons = options.map(([value, name, note], n) => el("button", {
    type: "button", role: "radio", "aria-checked": String(value === chosen()), title: note ? `${note} (key ${n + 1})` : null,
    "data-value": value, onclick: () => pick(value),
  }, name));
  const group = el("div", { class: "choice", role: "radiogroup", "aria-label": label }, ...buttons);
  const follow = () => buttons.forEach((button) => {
    const on = button.dataset.value === chosen();
    button.setAttribute("aria-checked", String(on));
    button.setAttribute("tabindex", on ? "0" : "-1");
  });
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = buttons[(buttons.findIndex((button) => button.dataset.value === chosen()) + step + buttons.length) % buttons.length];
    next.click();
    (document.querySelector(`[role=radiogroup][aria-label="${label}"] [data-value="${next.dataset.value}"]`) || next).focus();
  });
  follow();
  return synced(group, follow);
}

export function toggle(name, note, isOn, flip) {
  const button = el("button", { type: "button", class: "toggle", "aria-pressed": String(isOn()), title: note || null, onclick: flip }, name);
  return synced(button, () => button.setAttribute("aria-pressed", String(isOn())));
}

function strips() {
  const any = (name) => !entries.length || entries.some((entry) => entry[name].some((value) => value !== null));
  const found = ["surprisal", "entropy"].filter(any);
  return found.map((name) => toggle(name, `bars of ${name} above the text, in nats`, () => state.strip === name, () => setStrip(state.strip === name ? "none" : name)));
}

export function setStrip(name) {
  state.strip = name;
  changed("layout");
}

function overlayToggles() {
  const names = new Map(entries.flatMap((entry) => entry.overlays.map((one) => [one.name, one.note])));
  return [...names].map(([name, note]) => toggle(name, note, () => state.overlays.has(name), () => {
    if (!state.overlays.delete(name)) state.overlays.add(name);
    changed("draw");
  }));
}

const LAYOUTS = [["rows", "Rows", "every token at its place"], ["heat", "Heat map", "a square for every row and token"]];

// Rows, or a heat map where there are too many rows or tokens.
export const layoutOf = () => state.layout || (entries.some(isLarge) ? "heat" : "rows");

function setLayout(layout) {
  state.layout = layout;
  stage.rebuild();
}

const many = () => entries.some((entry) => new Set(entry.rows.map(({ layer }) => layer)).size > 2);
const layersOf = () => [...new Set(entries.flatMap((entry) => entry.rows.map(({ layer }) => layer)))].filter((layer) => layer !== null);
const unfoldedAll = () => state.unfolded.size > 0;

function unfoldAll() {
  if (unfoldedAll()) state.unfolded.clear();
  else layersOf().forEach((layer) => state.unfolded.add(layer));
  if (entries.some((entry) => entry.rows.some(({ layer }) => layer === null))) state.unfolded.add(null);
  changed("layout");
}

function layersBox() {
  const box = el("input", { type: "text", size: 9, class: "layers", placeholder: "all, or 0-5,12", "aria-label": "layers shown, such as 0-5,12", value: state.layers ? state.layers.join() : "", onchange: () => {
    state.layers = box.value.trim() ? readLayers(box.value) : null;
    if (box.value.trim() && !state.layers) return box.setAttribute("aria-invalid", "true");
    stage.rebuild(); // few layers are rows, many a heat map
    const again = document.querySelector(".layers");
    if (again instanceof HTMLElement) again.focus();
  } });
  return box;
}

// Exaggerates what differs from the mean, so that a weak contrast can be seen; the legend says that it is not to scale.
function exaggerateSlider() {
  const slider = el("input", { type: "range", min: "1", max: "10", step: "1", value: String(state.exaggerate), "aria-label": "exaggerate deviations from even spacing", oninput: () => {
    state.exaggerate = Number(slider.value);
    for (const picture of stage.pictures.filter((one) => !one.atlas && !one.difference)) show(picture, null);
    changed("draw");
  } });
  const label = el("output", {}, `×${state.exaggerate}`);
  return synced(el("label", { class: "group" }, el("span", { class: "label" }, "exaggerate"), slider, label), () => {
    label.textContent = `×${state.exaggerate}`;
    slider.value = String(state.exaggerate);
  });
}

function copyButton() {
  const button = el("button", { type: "button", class: "plain", onclick: async () => {
    const done = await navigator.clipboard?.writeText(linkOf()).then(() => true, () => false);
    if (!done) history.replaceState(null, "", linkOf());
    button.textContent = done ? "Link copied" : "Link is in the address bar";
    setTimeout(() => button.textContent = "Copy link", 1800);
  } }, "Copy link");
  return button;
}

// Arcs to what a token attends to, and whether they show the weights or what the spacing changes about them.
function attentionToggles() {
  const redraw = () => changed("draw"), known = entries.some((entry) => entry.attention);
  if (!known && !stage.askAgain) return [];
  const flip = () => {
    state.arcs = !state.arcs;
    if (state.arcs && !known) stage.askAgain?.();
    redraw();
  };
  return [toggle("attention", "arcs from the character you point at to those that its row attends to", () => state.arcs, flip),
    entries.some((entry) => entry.attention?.even) ? toggle("moved by spacing", "arcs show what the spacing adds (warm) or takes (blue), against even spacing", () => state.moved, () => {
      state.moved = !state.moved;
      redraw();
    }) : null];
}

function themeButton() {
  const next = { auto: "light", light: "dark", dark: "auto" };
  const button = el("button", { type: "button", class: "plain", title: "colors: as the system, light, dark", onclick: () => {
    keepTheme(next[state.theme]);
    button.textContent = `◐ ${state.theme}`;
  } }, `◐ ${state.theme}`);
  return button;
}

const group = (label, ...items) => (items.some(Boolean) ? el("div", { class: "group" }, label ? el("span", { class: "label" }, label) : null, ...items) : null);

// What is needed less often, folded away.
function options() {
  const inside = [
    many() ? group("rows", layersBox(), toggle("most varied first", "rows in the order of their standard deviation", () => state.sorted, () => {
      state.sorted = !state.sorted;
      changed("layout");
    })) : null,
    entries.some((entry) => new Set(entry.rows.map(({ head }) => head)).size > 1) ? toggle("heads", "a row for each head instead of their mean", unfoldedAll, unfoldAll) : null,
    exaggerateSlider(),
    group("", el("button", { type: "button", class: "plain", "aria-label": "smaller", onclick: () => setSize(1 / 1.15) }, "A−"),
      el("button", { type: "button", class: "plain", "aria-label": "larger", onclick: () => setSize(1.15) }, "A+"), themeButton()),
  ];
  const node = el("details", { class: "options", open: state.options, ontoggle: () => state.options = node.open }, el("summary", {}, "Options"), el("div", { class: "group" }, ...inside.filter(Boolean)));
  return node;
}

export function refreshControls() {
  bar.replaceChildren(...[
    layoutOf() === "rows" || stage.pictures.some((picture) => !picture.atlas) ? choice("Scale", SCALES, () => state.scale, setScale) : null, // squares have one scale
    payload.mode !== "film" ? choice("Layout", LAYOUTS, layoutOf, setLayout) : null,
    group("show", ...strips(), ...overlayToggles(), ...attentionToggles()),
    payload.mode === "page" ? copyButton() : null,
    saveMenu(),
    tourButton(),
    options(),
  ].filter(Boolean));
}
