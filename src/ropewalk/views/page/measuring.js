// Sensitivities on a live page: asked for round by round once typing rests, and drawn as they are refined.
import { el } from "./base.js";
import { composer } from "./composer_state.js";
import { choice } from "./controls.js";

const REST = 350;
let waiting = 0, asking = null;

// Whether the picture shows gaps or sensitivities; where the model learned no gaps, sensitivities, unless chosen otherwise.
export const measures = () => Boolean(composer.backend?.measure) && (composer.shows || (composer.last?.learned === false ? "sensitivity" : "increment")) === "sensitivity";

// What is drawn for a text: its sensitivities, where they are known.
export const shownOf = (entry) => (measures() && composer.measured?.text === entry.text && composer.measured.name === entry.name ? composer.measured : entry);

export function stopMeasuring() {
  clearTimeout(waiting);
  asking?.abort();
}

export function measureLater(display) {
  stopMeasuring();
  if (!measures() || composer.note.textContent) return;
  waiting = setTimeout(() => refine(display), REST);
}

async function refine(display) {
  asking = new AbortController();
  const { signal } = asking, request = composer.request();
  try {
    for (let done = false; !done;) {
      const answer = await composer.backend.measure({ model: request.model, text: request.text }, signal);
      if (signal.aborted) return;
      done = answer.done;
      display(answer.entry);
    }
  } catch (error) {
    if (!signal.aborted) composer.say(error.message);
  }
}

export function measureChoice(changed) {
  if (!composer.backend.measure) return null;
  const options = [["increment", "Gaps", "the distances that the model puts between tokens"], ["sensitivity", "Sensitivities", "how much its predictions depend on each distance"]];
  return el("span", { class: "group" }, choice("Picture of", options, () => (measures() ? "sensitivity" : "increment"), (what) => {
    composer.shows = what;
    changed();
  }));
}
