// What the text box holds and what was answered. `ask` is set by composer.js.
import { el, payload, state } from "./base.js";

export const composer = {
  model: (payload.models || [])[0], edits: new Map(), hold: false, base: payload.first, last: payload.first, shows: null, measured: null, entry: null, busy: false, again: false,
  box: el("textarea", { rows: "2", dir: "auto", spellcheck: "false", "aria-label": "text", placeholder: "Type something …", autocapitalize: "off", autocomplete: "off" }),
  note: el("p", { class: "problem", role: "status", hidden: true }), result: el("section", { class: "result", "aria-label": "What the model expects" }),
};

composer.say = (text) => {
  composer.note.textContent = text || "";
  composer.note.hidden = !text;
};

composer.text = () => [...composer.box.value].slice(0, payload.longest).join("");

composer.request = () => ({
  model: composer.model, text: composer.text(), hold: composer.hold, sensitivities: composer.shows === "sensitivity" || (!composer.shows && composer.last?.learned === false), attention: Boolean(payload.attention && state.arcs),
  edits: [...composer.edits.values()].map(({ layer, head, token, value }) => [layer, head, token, value]),
});

