// Mouse and touch on a picture: hover, pin, and (where a picture allows it) dragging a character along its row.
import { changed, clamp, state } from "./base.js";
import { placer } from "./draw.js";
import { setFocus, setHover, togglePin } from "./selection.js";

export function watchPointer(picture) {
  const { holder } = picture;
  let pressed = null;
  holder.addEventListener("pointermove", (event) => {
    if (pressed && picture.drag) return dragged(event);
    if (event.pointerType === "mouse") setHover(find(picture, event));
  });
  holder.addEventListener("pointerleave", () => setHover(null));
  holder.addEventListener("pointerdown", (event) => {
    const hit = find(picture, event);
    if (!hit || event.button) return;
    pressed = { hit, x: event.clientX, moved: false };
    if (picture.drag && hit.near && hit.row > 0) event.target.setPointerCapture(event.pointerId);
  });
  holder.addEventListener("pointerup", (event) => {
    const was = pressed;
    pressed = null;
    if (!was) return;
    if (was.moved) return picture.drag.end();
    const hit = find(picture, event);
    if (!hit || hit.cell !== was.hit.cell) return;
    if (hit.name) return unfold(picture, hit.row);
    setFocus(hit);
    if (event.pointerType === "mouse") togglePin(hit.cell, picture.entry);
  });
  holder.addEventListener("pointercancel", () => {
    if (pressed?.moved) picture.drag.end();
    pressed = null;
  });

  function dragged(event) {
    const far = event.clientX - pressed.x;
    if (!pressed.moved && (Math.abs(far) < 4 || !pressed.hit.near || !pressed.hit.row || !pressed.hit.cell)) return;
    if (!pressed.moved) {
      pressed.moved = true;
      setFocus(pressed.hit);
      picture.drag.begin(pressed.hit);
    }
    picture.drag.move(far * (picture.entry.leftward ? -1 : 1));
  }
}

// The character under the pointer: its row and cell, `near` when the pointer is on the letter, `name` in the gutter.
function find(picture, event) {
  const panel = picture.panels.find((one) => one.canvas === event.target);
  if (!panel) return null;
  const box = panel.canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const row = clamp(Math.floor((y - picture.sizes.top - picture.sizes.strip) / picture.sizes.pitch), 0, picture.rows.length - 1);
  const at = placer(picture, panel);
  let cell = panel.start, best = Infinity;
  for (let c = panel.start; c < panel.end; c++) {
    const far = Math.abs(at(picture.now.x[row][c], row) - x);
    if (far < best) { best = far; cell = c; }
  }
  return { row, cell, near: best < 14, name: x < picture.sizes.gutter - 6, picture };
}

export function unfold(picture, r) {
  const row = picture.rows[r];
  if (row.heads < 2) return;
  if (state.unfolded.has(row.layer)) state.unfolded.delete(row.layer);
  else state.unfolded.add(row.layer);
  changed("layout");
}

