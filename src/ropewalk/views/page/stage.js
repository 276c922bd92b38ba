// The pictures that are shown now. `rebuild` and `options` are set by the modules that assemble the page.
import { el } from "./base.js";

export const stage = { pictures: [], options: {}, rebuild: () => {}, saveItems: [], comparison: null, askAgain: null, node: el("div", { class: "stage" }), message: el("p", { class: "message", role: "status", hidden: true }) };
