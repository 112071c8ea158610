// Add photos: folders and files go up one after another; what became of each is said.

import { byId, h, notice, onFiles, say } from "./elements.js";
import { server } from "./server.js";
import { count } from "./words.js";

const SUFFIXES = /\.(jpe?g|png|webp|tiff?|hei[cf])$/i;
const OUTCOMES = [["indexed", "added"], ["updated", "updated"], ["duplicates", "known already"], ["unlabelled", "without a place"], ["failed", "failed"]];

export class Add {
  constructor(world, { onDone }) {
    this.world = world;
    this.onDone = onDone;
    this.node = byId("add-result");
    const take = (files) => this.run(files);
    onFiles(byId("add-drop"), byId("add-folder"), take);
    byId("add-files").addEventListener("change", (event) => { take([...event.target.files]); event.target.value = ""; });
  }

  show() {
    this.world.clear();
  }

  hide() {}

  async run(all) {
    if (this.isBusy) return;
    this.isBusy = true;
    const files = all.filter((file) => SUFFIXES.test(file.name));
    const skipped = all.length - files.length;
    const counts = Object.fromEntries(OUTCOMES.map(([name]) => [name, 0]));
    const failures = [];
    const duplicates = [];
    const bar = h("progress", { class: "progress", max: files.length, value: 0, "aria-label": "Photos taken in" });
    const words = h("p", { role: "status" });
    const numbers = h("ul", { class: "counts" });
    const lists = h("div");
    const stop = h("button", { type: "button", onclick: () => this.abort.abort() }, "Stop");
    this.abort = new AbortController();
    this.node.replaceChildren(h("h3", {}, "Taking in"), bar, words, numbers, stop, lists);
    const draw = (done) => {
      bar.value = done;
      words.textContent = `${done} of ${count(files.length, "photo")}`;
      numbers.replaceChildren(...OUTCOMES.map(([name, label]) => h("li", {}, h("b", {}, String(counts[name])), label)));
      lists.replaceChildren(table("Failed", failures, "Why"), table("Known already", duplicates, "As"));
    };
    draw(0);
    let done = 0;
    try {
      await server.upload(files, {
        dataset: byId("add-dataset").value.trim() || null, signal: this.abort.signal,
        onResult: ({ name, outcome, reason }) => {
          counts[outcome] += 1;
          if (outcome === "failed") failures.push([name, reason]);
          if (outcome === "duplicates") duplicates.push([name, reason ?? "the same bytes"]);
          done += 1;
          draw(done);
        },
      });
      words.textContent = `Done: ${count(done, "photo")}${skipped ? `, ${count(skipped, "other file")} left out` : ""}.`;
    } catch (error) {
      lists.append(this.abort.signal.aborted ? notice("warn", "Stopped", "Photos that are in stay in; the same folder can be dropped again.")
        : notice("bad", "The server did not take them", error.message));
    }
    stop.remove();
    if (counts.unlabelled) lists.append(h("p", {}, h("a", { class: "button", href: "#/place" }, `Place ${count(counts.unlabelled, "photo")}`)));
    if (counts.indexed) lists.append(h("p", {}, h("a", { class: "button", href: "#/search" }, "See them")));
    say(words.textContent);
    this.isBusy = false;
    this.onDone();
  }
}

function table(title, rows, second) {
  if (!rows.length) return h("div");
  return h("div", {}, h("h3", {}, `${title} (${rows.length})`),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "File"), h("th", {}, second))),
      h("tbody", {}, rows.map(([name, words]) => h("tr", {}, h("td", {}, name), h("td", {}, words))))));
}
