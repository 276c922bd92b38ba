// The bar of controls: scale, bars above the text, overlays, size, theme.
import { SCALES, changed, clamp, el, entries, on, state } from "./base.js";
import { setTheme } from "./color.js";
import { layOut, show } from "./picture.js";
import { saveMenu } from "./save.js";
import { stage } from "./stage.js";

export const bar = el("div", { class: "controls" });

export function setScale(scale) {
  if (scale === state.scale) return;
  state.scale = scale;
  for (const picture of stage.pictures) {
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
  return synced(group, () => buttons.forEach((button) => button.setAttribute("aria-checked", String(button.dataset.value === chosen()))));
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

export function refreshControls() {
  const group = (label, ...items) => (items.length ? el("div", { class: "group" }, label ? el("span", { class: "label" }, label) : null, ...items) : null);
  const next = { auto: "light", light: "dark", dark: "auto" };
  const theme = el("button", { type: "button", class: "plain", title: "colors: as the system, light, dark", onclick: () => {
    setTheme(next[state.theme]);
    theme.textContent = `◐ ${state.theme}`;
  } }, "◐ auto");
  bar.replaceChildren(...[
    choice("Scale", SCALES, () => state.scale, setScale),
    group("show", ...strips(), ...overlayToggles()),
    group("", el("button", { type: "button", class: "plain", "aria-label": "smaller", onclick: () => setSize(1 / 1.15) }, "A−"),
      el("button", { type: "button", class: "plain", "aria-label": "larger", onclick: () => setSize(1.15) }, "A+"), theme),
    saveMenu(),
  ].filter(Boolean));
}
