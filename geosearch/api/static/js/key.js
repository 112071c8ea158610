// The API key: asked for when the server wants one, kept in sessionStorage and nowhere else.

import { byId } from "./elements.js";

const NAME = "geosearch-key";
let waiting = null;

export const current = () => sessionStorage.getItem(NAME);

// Ask once, however many requests wait for the answer. Resolves with the key, or null.
export function ask(problem = "") {
  const dialog = byId("key-dialog");
  byId("key-button").hidden = false;
  byId("key-problem").textContent = problem;
  waiting ??= new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      waiting = null;
      const key = byId("key-input").value.trim();
      byId("key-input").value = "";
      if (dialog.returnValue === "use" && key) sessionStorage.setItem(NAME, key);
      else if (dialog.returnValue === "forget") sessionStorage.removeItem(NAME);
      resolve(dialog.returnValue === "use" ? key || null : null);
      dialog.returnValue = "";
    }, { once: true });
    dialog.showModal();
  });
  return waiting;
}

export function setUp(onChange) {
  byId("key-button").hidden = !current();
  byId("key-button").addEventListener("click", async () => { await ask(); onChange(); });
}
