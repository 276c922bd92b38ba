// The page inside a notebook's output. It asks the notebook for its theme, and says how high it is and what is chosen.
import { on, state } from "./base.js";
import { setTheme } from "./color.js";
import { build } from "./main.js";
import { stage } from "./stage.js";

const say = (what) => parent.postMessage({ ropewalk: what }, "*");

addEventListener("message", (event) => {
  const theme = event.data?.ropewalk?.theme;
  if (event.source === parent && ["light", "dark"].includes(theme)) setTheme(theme);
});

build();

let said = "";
on("draw", () => {
  const row = state.focus && stage.pictures.find((picture) => picture === state.focus.picture)?.rows[state.focus.row];
  const chosen = { cell: state.focus?.cell ?? null, row: row?.label ?? null, pins: state.pins };
  if (JSON.stringify(chosen) === said) return;
  said = JSON.stringify(chosen);
  say({ chosen });
});
new ResizeObserver(() => say({ height: Math.ceil(document.getElementById("app").getBoundingClientRect().height) })).observe(document.getElementById("app"));
say({ ready: true });
