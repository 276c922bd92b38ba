// The film: frames of one text, glided through; a slider and a button.
import { clamp, el, entries, on, state } from "./base.js";
import { warmest } from "./color.js";
import { updateDetail } from "./detail.js";
import { restand } from "./picture.js";
import { tintsOf } from "./scene.js";
import { stage } from "./stage.js";

export function makePlayer() {
  const slider = el("input", { type: "range", min: "0", max: String(entries.length - 1), step: "any", value: "0", "aria-label": "training step", oninput: () => {
    stop();
    showFrame(Number(slider.value));
  } });
  const button = el("button", { type: "button", class: "play", onclick: () => (running ? stop() : start()) }, "▶ Play");
  const label = el("output", {}, entries[0].name);
  let running = 0, last = 0;

  // One color scale for the whole film: that of its last frame, so that what training led to is not pale.
  const tops = {};
  stage.options = { fixedTops: (picture) => tops[state.scale] ||= warmest(tintsOf(entries[entries.length - 1], picture.rows, state.scale).slice(1)) };

  function showFrame(place) {
    const low = Math.min(entries.length - 1, Math.floor(place)), high = Math.min(entries.length - 1, low + 1), share = place - low;
    const [picture] = stage.pictures, near = entries[share < 0.5 ? low : high];
    const values = near.values.map((_, n) => entries[low].values[n].map((value, t) => value + (entries[high].values[n][t] - value) * share));
    picture.entry = { ...near, values };
    label.textContent = near.name;
    restand(picture, true);
    updateDetail();
  }
  function start() {
    if (Number(slider.value) >= entries.length - 1) slider.value = "0";
    button.textContent = "❚❚ Pause";
    last = performance.now();
    running = requestAnimationFrame(tick);
  }
  function stop() {
    cancelAnimationFrame(running);
    running = 0;
    button.textContent = "▶ Play";
  }
  function tick(time) {
    const place = clamp(Number(slider.value) + (time - last) / 900, 0, entries.length - 1);
    last = time;
    slider.value = String(place);
    showFrame(place);
    if (place < entries.length - 1) running = requestAnimationFrame(tick);
    else stop();
  }
  on("layout", () => showFrame(Number(slider.value)));
  return el("div", { class: "player" }, button, slider, label);
}
