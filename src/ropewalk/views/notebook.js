// In the notebook, beside the pages: tells them the notebook's theme, and gives their frames the height they need.
const dark = () => {
  if (document.body.dataset.jpThemeLight) return document.body.dataset.jpThemeLight === "false";
  for (let node = document.body; node; node = node.parentElement) {
    const [red, green, blue, alpha = 1] = (getComputedStyle(node).backgroundColor.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
    if (alpha > 0) return 0.3 * red + 0.6 * green + 0.1 * blue < 110;
  }
  return getComputedStyle(document.documentElement).colorScheme === "dark";
};

// Answers one page's message; `chosen` is called with what its reader chose.
function answer(frame, event, chosen = null) {
  const message = event.data?.ropewalk;
  if (!message || event.source !== frame.contentWindow) return;
  if (message.ready) event.source.postMessage({ ropewalk: { theme: dark() ? "dark" : "light" } }, "*");
  if (message.height) frame.style.height = `${Math.min(message.height, 900) + 2}px`;
  if (message.chosen) chosen?.(message.chosen);
}
