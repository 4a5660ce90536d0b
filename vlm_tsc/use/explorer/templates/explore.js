"use strict";
// Without this file the pages still show and filter; asking the model needs it.
const token = document.querySelector("meta[name=explorer-token]").content;

async function ask(path, form) {
  const headers = { "Content-Type": "application/json", "X-Explorer-Token": token };
  const fields = {};
  for (const [name, value] of new FormData(form)) { // boxes of one name: what is ticked, with commas
    fields[name] = name in fields ? `${fields[name]},${value}` : value;
  }
  const body = JSON.stringify(fields);
  return fetch(path, { method: "POST", headers, body });
}

function tell(target, kind, text) {
  const line = document.createElement("p");
  line.className = kind;
  line.textContent = text;
  target.replaceChildren(line);
}

// Buttons rest while the model works; the first answer also waits for the model to be loaded.
async function working(form, target, work) {
  const buttons = [...form.querySelectorAll("button")];
  buttons.forEach((button) => { button.disabled = true; });
  const started = Date.now();
  const show = () => tell(target, "busy", `Asking the model … ${Math.round((Date.now() - started) / 1000)} s`);
  show();
  const clock = setInterval(show, 1000);
  try {
    await work(() => clearInterval(clock));
  } catch (error) {
    clearInterval(clock);
    tell(target, "warning", "The explorer does not answer: was it ended?");
  } finally {
    clearInterval(clock);
    buttons.forEach((button) => { button.disabled = false; });
  }
}

for (const form of document.querySelectorAll("form[data-post]")) {
  const target = document.getElementById(form.dataset.into);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    working(form, target, async (stop) => {
      const response = await ask(form.dataset.post, form);
      const text = await response.text();
      stop();
      if (response.headers.get("content-type").startsWith("text/html")) target.innerHTML = text; // escaped by the server
      else tell(target, "warning", text);
    });
  });
  const fill = form.querySelector("button[data-fill]");
  if (fill) fill.addEventListener("click", () => working(form, target, async (stop) => {
    const response = await ask(fill.dataset.fill, form);
    const text = await response.text();
    stop();
    if (response.ok) {
      form.elements[fill.dataset.field].value = text;
      target.replaceChildren();
    } else target.innerHTML = text;
  }));
}

for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
}

for (const area of document.querySelectorAll("textarea[data-drop]")) {
  const over = (is) => (event) => { event.preventDefault(); area.classList.toggle("over", is); };
  area.addEventListener("dragover", over(true));
  area.addEventListener("dragleave", over(false));
  area.addEventListener("drop", async (event) => {
    over(false)(event);
    const [file] = event.dataTransfer.files;
    area.value = file ? await file.text() : event.dataTransfer.getData("text");
  });
}

// Arrow keys turn pages and cases, unless somebody writes.
document.addEventListener("keydown", (event) => {
  const relation = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  if (!relation || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest("input, select, textarea, [tabindex]")) return;
  document.querySelector(`a[rel=${relation}]`)?.click();
});
