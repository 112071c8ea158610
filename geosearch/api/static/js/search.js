// Search: a photo, words, the look of a place, or a mix, under any area, time, country and data set.

import * as address from "./address.js";
import * as areas from "./areas.js";
import { card } from "./cards.js";
import { Clusters } from "./clusters.js";
import { byId, empty, h, notice, onFiles, say, skeletons } from "./elements.js";
import { ofFile } from "./images.js";
import { openPhoto } from "./photo.js";
import { server } from "./server.js";
import { Timespan } from "./timespan.js";
import { coordinate, count, degrees, seconds } from "./words.js";

const PAGE = 120;
const PARTS = { image: "Photo", text: "Words", gps: "Place" };

export class Search {
  constructor(world, drawing) {
    this.world = world;
    this.drawing = drawing;
    this.form = byId("search-form");
    this.grid = byId("search-grid");
    this.weights = {};
    this.clusters = new Clusters(world, { onPhotos: (hits, place) => this.#cluster(hits, place) });
    this.timespan = new Timespan(byId("timespan"), () => this.#changed());
    this.#listen();
  }

  limit(stats) {
    if (stats.first && stats.last) this.timespan.limit(stats.first.slice(0, 7), stats.last.slice(0, 7));
    fill(this.form.country, stats.countries);
    fill(this.form.dataset, stats.datasets);
    this.#setFields();
  }

  show(params) {
    this.isShown = true;
    this.params = params;
    this.like = params.get("like");
    if (this.like) this.image = null;
    this.at = coordinate(params.get("at") ?? "");
    this.area = areas.fromParams(params);
    this.weights = Object.fromEntries((params.get("weights") ?? "").split(",").map((w) => w.split(":")).filter((w) => w.length === 2).map(([n, v]) => [n, Number(v)]));
    this.#setFields();
    this.#parts();
    this.world.showArea(this.area);
    this.#run();
  }

  hide() {
    this.isShown = false;
    this.drawing.stop();
    this.clusters.hide();
    this.world.clear();
    this.world.showArea(null);
    this.abort?.abort();
  }

  #setFields() {
    const { params, form } = this;
    if (!params) return;
    form.text.value = params.get("text") ?? "";
    for (const name of ["country", "dataset"]) {
      const value = params.get(name) ?? "";
      if (value && ![...form[name].options].some((o) => o.value === value)) form[name].append(h("option", { value }, value));
      form[name].value = value;
    }
    form.diverse.checked = params.has("diverse");
    this.timespan.set(params.get("since"), params.get("until"));
  }

  #listen() {
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.#changed(); });
    this.form.addEventListener("change", (event) => { if (event.target.name && event.target.name !== "text") this.#changed(); });
    const drop = byId("search-drop");
    onFiles(drop, drop.querySelector("input"), ([file]) => { this.image = file; this.like = null; this.#changed(); });
    byId("search-at").addEventListener("click", () => this.#draw("point", byId("search-at")));
    for (const button of this.form.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => this.#draw(button.dataset.tool, button));
    }
    byId("area-clear").addEventListener("click", () => { this.area = null; this.#changed(); });
    byId("area-set").addEventListener("click", () => {
      const center = coordinate(byId("area-center").value);
      const radius = Number(byId("area-radius").value);
      if (!center || !(radius > 0)) {
        byId("area-words").textContent = "Write the centre as latitude, longitude: 55.70, 13.19; and a radius above 0.";
        byId("area-center").focus();
        return;
      }
      this.area = { kind: "circle", ...center, km: radius };
      this.#changed();
    });
    for (const button of document.querySelectorAll("[data-export]")) {
      button.addEventListener("click", () => this.#export(button));
    }
  }

  async #draw(tool, button) {
    if (button.getAttribute("aria-pressed") === "true") return this.drawing.stop();
    button.setAttribute("aria-pressed", "true");
    this.world.map.getContainer().focus({ preventScroll: true });
    const area = await this.drawing.start(tool);
    button.setAttribute("aria-pressed", "false");
    if (!area) return undefined;
    if (area.kind === "point") this.at = area;
    else this.area = area;
    return this.#changed();
  }

  // The state as the address has it. A photo from this machine cannot be in a link.
  #changed() {
    const { form } = this;
    const asked = this.#asked();
    const weights = Object.entries(this.weights).filter(([name, value]) => asked.includes(name) && value !== 1);
    const params = {
      text: form.text.value.trim(), like: this.like, at: this.at ? `${this.at.lat.toFixed(5)},${this.at.lon.toFixed(5)}` : null,
      weights: weights.map((pair) => pair.join(":")).join(","),
      ...areas.toParams(this.area), country: form.country.value, dataset: form.dataset.value,
      ...this.timespan.value, diverse: form.diverse.checked ? "1" : null,
    };
    const next = address.link("search", params);
    if (next === location.hash) this.show(address.read().params);
    else location.hash = next;
  }

  #asked() {
    return [this.image || this.like ? "image" : null, this.form.text.value.trim() ? "text" : null, this.at ? "gps" : null].filter(Boolean);
  }

  // What is asked for, as chips that can be taken away, and a slider for each when there are several.
  #parts() {
    const remove = (name, take) => h("button", { type: "button", "aria-label": `Remove ${name}`, onclick: () => { take(); this.#changed(); } }, "✕");
    const parts = [];
    if (this.image) parts.push(h("span", { class: "part" }, ofFile(this.image, "").firstChild, "your photo", remove("the photo", () => { this.image = null; })));
    if (this.like) parts.push(h("span", { class: "part" }, "like a photo of the collection", remove("the photo", () => { this.like = null; })));
    if (this.at) parts.push(h("span", { class: "part" }, `looks like ${degrees(this.at.lat, this.at.lon)}`, remove("the place", () => { this.at = null; })));
    byId("search-parts").replaceChildren(...parts);
    const asked = this.#asked();
    const sliders = byId("search-weights");
    sliders.hidden = asked.length < 2;
    sliders.replaceChildren(...(asked.length < 2 ? [] : asked).map((name) => {
      const output = h("output", {}, String(this.weights[name] ?? 1));
      const input = h("input", { type: "range", min: "0", max: "2", step: "0.1", value: String(this.weights[name] ?? 1), "aria-label": `Weight of ${PARTS[name].toLowerCase()}` });
      input.addEventListener("input", () => { output.textContent = input.value; });
      input.addEventListener("change", () => { this.weights[name] = Number(input.value); this.#changed(); });
      return h("label", {}, PARTS[name], input, output);
    }));
    byId("area-words").textContent = areas.inWords(this.area);
    byId("area-clear").hidden = !this.area;
  }

  async #run() {
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.grid.setAttribute("aria-busy", "true");
    this.grid.replaceChildren(...skeletons(9));
    byId("search-cluster").replaceChildren();
    byId("search-count").textContent = "Searching…";
    byId("search-exports").hidden = true;
    this.query = {
      image: this.image, like: this.like, text: this.form.text.value.trim() || null, at: this.at, weights: this.weights, asked: this.#asked(),
      area: this.area, country: this.form.country.value || null, dataset: this.form.dataset.value || null,
      ...this.timespan.value, diverse: this.form.diverse.checked, limit: PAGE,
    };
    try {
      const result = await server.search(this.query, { signal });
      if (!signal.aborted) this.#showResult(result);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  #showResult(result) {
    this.grid.setAttribute("aria-busy", "false");
    this.shown = result.hits.map((hit, at) => ({ ...hit, rank: at + 1 }));
    this.result = result;
    const isAsked = this.#asked().length > 0;
    byId("search-count").replaceChildren(...(!result.matched ? ["No photos"] : [
      `${this.shown.length.toLocaleString("en")} of ${count(result.matched, "photo")} `,
      h("small", {}, isAsked ? `best first · ${result.plan} search · ${seconds(result.seconds)}` : "newest first")]));
    byId("search-exports").hidden = !this.shown.length;
    this.#fill(this.shown);
    this.clusters.show(this.shown);
    const placed = this.shown.filter((hit) => hit.lat !== null);
    if (this.area?.kind === "circle") this.world.fitCircle(this.area, this.area.km * 1.1);
    else this.world.fit(placed);
    if (this.at) this.world.mark(this.at, { kind: "query", size: 18, title: "The place whose look is searched" });
  }

  #fill(hits) {
    if (!hits.length) {
      const { since, until } = this.timespan.value;
      this.grid.replaceChildren(this.area || this.form.country.value || this.form.dataset.value || since || until
        ? empty("No photo matches", "Widen the area or the time, or take a filter away.")
        : empty("Nothing to search yet", "The collection holds no photo with a place.", h("a", { class: "button", href: "#/add" }, "Add photos")));
      return;
    }
    this.grid.replaceChildren(...hits.map((hit) => this.#card(hit)));
    if (this.result.next && hits === this.shown) {
      this.grid.append(h("button", { type: "button", class: "more", onclick: (event) => this.#more(event.target) }, "Show more"));
    }
  }

  #card(hit) {
    return card(hit, { badge: String(hit.rank), onOpen: openPhoto, onHover: (one, isOn) => this.clusters.light(one.id, isOn) });
  }

  async #more(button) {
    button.disabled = true;
    try {
      const next = await server.search({ ...this.query, cursor: this.result.next }, { signal: this.abort.signal });
      this.#showResult({ ...this.result, hits: [...this.shown, ...next.hits], next: next.next });
    } catch (error) {
      button.replaceWith(notice("bad", "No more could be fetched", error.message));
    }
  }

  async #export(button) {
    button.disabled = true;
    try {
      await server.exportSearch(button.dataset.export, { ...this.query, limit: Math.min(1000, Math.max(1, this.shown.length)) });
    } catch (error) {
      byId("search-cluster").replaceChildren(notice("bad", "The file could not be made", error.message));
    }
    button.disabled = false;
  }

  #fail(error) {
    this.grid.setAttribute("aria-busy", "false");
    byId("search-count").textContent = "No answer";
    this.clusters.hide();
    this.grid.replaceChildren(h("div", { class: "empty" }, notice("bad", "The search did not work", error.message,
      h("button", { type: "button", onclick: () => this.#run() }, "Try again"))));
  }

  // The photos of one cluster in the grid, until its chip is taken away.
  #cluster(hits, place) {
    if (!place) return openPhoto(hits[0]);
    byId("search-cluster").replaceChildren(h("p", { class: "part" }, `${count(hits.length, "photo")} of one cluster`,
      h("button", { type: "button", "aria-label": "Show all photos again", onclick: () => { byId("search-cluster").replaceChildren(); this.#fill(this.shown); } }, "✕")));
    this.#fill(hits);
    say(`${hits.length} photos of this cluster`);
    this.grid.querySelector("button")?.focus({ preventScroll: matchMedia("(min-width: 801px)").matches });
    return undefined;
  }
}

function fill(select, options) {
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...options.map(({ value, words }) => h("option", { value }, words)));
  select.value = chosen;
}
