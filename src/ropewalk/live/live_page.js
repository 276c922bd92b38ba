// The live page: the local server answers.
import { attach } from "../views/page/composer.js";
import { composer } from "../views/page/composer_state.js";
import { build } from "../views/page/main.js";
import { download } from "../views/page/save.js";
import { stage } from "../views/page/stage.js";

async function post(what, request, signal) {
  const response = await fetch(what, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request), signal });
  const answer = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
  if (answer.error) throw new Error(answer.error);
  return answer;
}

const backend = {
  ready: Promise.resolve(),
  ask: (request, signal) => post("trace", request, signal),
  measure: (request, signal) => post("sensitivities", request, signal),
};

async function savePage() {
  try {
    const answer = await post("page", composer.request());
    download(answer.page, "ropewalk.html", "text/html");
  } catch (error) {
    composer.say(error.message);
  }
}

stage.saveItems.push(["This page (HTML)", savePage]);
build(attach(backend));
