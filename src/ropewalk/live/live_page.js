// The live page: the local server answers.
import { attach } from "../views/page/composer.js";
import { composer } from "../views/page/composer_state.js";
import { build } from "../views/page/main.js";
import { download } from "../views/page/save.js";
import { stage } from "../views/page/stage.js";

const backend = {
  ready: Promise.resolve(),
  async ask(request, signal) {
    const response = await fetch("trace", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request), signal,
    });
    const answer = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
    if (answer.error) throw new Error(answer.error);
    return answer;
  },
};

async function savePage() {
  try {
    const response = await fetch("page", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(composer.request()),
    });
    const answer = await response.json();
    if (answer.error) throw new Error(answer.error);
    download(answer.page, "ropewalk.html", "text/html");
  } catch (error) {
    composer.say(error.message);
  }
}

stage.saveItems.push(["This page (HTML)", savePage]);
build(attach(backend));
