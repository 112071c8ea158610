// DOM nodes from words: h("p", {class: "quiet"}, "text", node). Text is always text, never markup.

export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

export function notice(kind, title, detail, ...actions) {
  return h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : undefined },
    h("b", {}, title), h("span", {}, detail),
    actions.length ? h("div", { class: "actions" }, ...actions) : null);
}

export function empty(title, detail, action = null) {
  return h("div", { class: "empty" }, h("b", {}, title), h("p", {}, detail), action);
}

export function skeletons(count) {
  return Array.from({ length: count }, () => h("div", { class: "skeleton", "aria-hidden": "true" }));
}

export function say(text) {
  byId("announcer").textContent = text;
}

// Files dropped on a node, or chosen in an input inside it.
export function onFiles(node, input, take) {
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    node.addEventListener(name, (event) => { event.preventDefault(); node.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) {
    node.addEventListener(name, () => node.classList.remove("over"));
  }
  node.addEventListener("drop", async (event) => {
    event.preventDefault();
    const files = await droppedFiles(event.dataTransfer);
    if (files.length) take(files);
  });
}

// All files of a drop; folders are walked to the bottom, hidden entries left out.
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  const walk = async (entry) => {
    if (entry.name.startsWith(".")) return;
    if (entry.isFile) {
      files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const inner of some) await walk(inner);
    }
  };
  for (const entry of entries) await walk(entry);
  return files;
}
