// The answers of the local server.
const backend = {
  ready: Promise.resolve(),
  async ask(request, signal) {
    const response = await fetch("trace", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request), signal,
    });
    const told = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
    if (told.error) throw new Error(told.error);
    return told;
  },
};

async function savePage() {
  try {
    const response = await fetch("page", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(composer.request()),
    });
    const told = await response.json();
    if (told.error) throw new Error(told.error);
    download(told.page, "ropewalk.html", "text/html");
  } catch (error) {
    composer.say(error.message);
  }
}
