// Locate: a photo in, the steps as they happen, a place with its radius, and what speaks for it.

import * as address from "./address.js";
import { card } from "./cards.js";
import { byId, h, notice, onFiles, say } from "./elements.js";
import { ofFile, pictureAt } from "./images.js";
import { near, openPhoto } from "./photo.js";
import { server } from "./server.js";
import { degrees, km, percent, seconds, sentence } from "./words.js";

// Why a model has no say in an answer, by what the API calls it.
const NO_HELP = {
  refused: "The model named no place", failed: "The model did not answer", "over-budget": "The model was not asked",
};

export class Locate {
  constructor(world) {
    this.world = world;
    this.node = byId("locate-result");
    this.drop = byId("locate-drop");
    onFiles(this.drop, this.drop.querySelector("input"), ([file]) => this.run(file));
  }

  show(params) {
    const name = params.get("answer");
    if (name && name !== this.name) this.#reopen(name);
    else if (this.prediction) this.#drawMap(this.prediction);
  }

  hide() {
    this.world.clear();
  }

  async run(file) {
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.file = file;
    this.picture = () => ofFile(file, `The photo ${file.name}`);
    this.prediction = null;
    this.#begin(file.name);
    try {
      const answer = await server.locate(file, { signal, onStep: (step) => !signal.aborted && this.#step(step) });
      if (signal.aborted) return;
      this.name = answer.id;
      address.note("locate", { answer: answer.id });
      this.#finish(answer);
    } catch (error) {
      if (!signal.aborted) this.#fail(error, () => this.run(file));
    }
  }

  // An answer that a link leads to; its photo is kept by the server as a small copy.
  async #reopen(name) {
    this.name = name;
    this.picture = () => pictureAt(server.locatedImageAddress(name), "The photo asked about");
    this.#begin("The photo asked about");
    try {
      const answer = await server.located(name);
      this.head.querySelector(".name").textContent = answer.image;
      this.#finish(answer);
    } catch (error) {
      this.#fail(error, () => this.#reopen(name));
    }
  }

  #begin(name) {
    this.world.clear();
    this.drop.classList.add("small");
    this.steps = h("ol", { class: "steps" }, h("li", { class: "running" }, "Looking at the photo"));
    this.log = h("details", {}, h("summary", {}, "Steps"), this.steps);
    this.log.open = true; // as they happen; the answer closes them
    this.head = h("div", { class: "query" }, this.picture?.() ?? null, h("div", {}, h("p", { class: "name" }, name), this.log));
    this.node.replaceChildren(this.head);
    this.node.setAttribute("aria-busy", "true");
    say("Locating the photo");
  }

  #step(step) {
    const running = this.steps.querySelector(".running");
    running?.remove();
    this.steps.append(stepLine(step), h("li", { class: "running" }, "Working"));
    if (step.lat !== null && step.lat !== undefined) this.world.fit([step], { minimumKm: 800 });
  }

  #finish(answer) {
    this.prediction = answer;
    this.node.setAttribute("aria-busy", "false");
    this.steps.replaceChildren(...answer.steps.map(stepLine));
    this.log.querySelector("summary").textContent = `${answer.steps.length} steps, ${seconds(answer.seconds)}`;
    this.log.open = false;
    if (answer.lat === null) {
      this.world.showAll(); // a step may have led the map to a place that was not good enough
      this.node.append(notice("warn", "No place for this photo", sentence(answer.reason)), ...this.#said(answer));
      say(`No place for this photo. ${answer.reason}`);
      return;
    }
    this.node.append(this.#answer(answer), ...this.#said(answer), ...this.#evidence(answer), ...this.#alternatives(answer));
    this.#drawMap(answer);
    say(`Answer: ${answer.place || degrees(answer.lat, answer.lon)}`);
  }

  #fail(error, retry) {
    this.node.setAttribute("aria-busy", "false");
    this.steps.querySelector(".running")?.remove();
    this.node.append(notice("bad", "This photo could not be located", error.message,
      h("button", { type: "button", onclick: retry }, "Try again")));
  }

  #answer(answer) {
    const coordinate = h("code", {}, degrees(answer.lat, answer.lon));
    const copy = h("button", { type: "button", onclick: () => copyFrom(coordinate, copy) }, "Copy coordinate");
    return h("article", { class: "answer", "aria-label": "Answer" },
      h("h2", {}, answer.place || "An unnamed place"),
      h("dl", {},
        h("dt", {}, "Coordinate"), h("dd", {}, coordinate),
        h("dt", {}, "Within"), h("dd", {}, radii(answer).map(([level, radius]) => h("div", {}, `${km(radius)} at ${level} %`))),
        h("dt", {}, "Calibrated"), h("dd", {}, answer.is_calibrated ? "yes, on photos held out" : "no, take these distances as a guess"),
        h("dt", {}, "Support"), h("dd", {}, percent(answer.share)),
        answer.cost_usd ? [h("dt", {}, "Cost"), h("dd", {}, `$${answer.cost_usd.toFixed(4)}`)] : null),
      h("div", { class: "actions" }, copy,
        h("a", { class: "button", href: address.link("search", near(answer)) }, "Photos near here"),
        h("button", { type: "button", onclick: () => server.exportLocated("geojson", answer.id) }, "GeoJSON"),
        h("button", { type: "button", onclick: () => server.exportLocated("kml", answer.id) }, "KML")));
  }

  // What a model said to each question, and whether it was of help; nothing where none was asked.
  #said(answer) {
    const replies = answer.steps.filter((step) => step.name.startsWith("lmm "));
    const alone = answer.steps.find((step) => step.name === "lmm");
    return [
      NO_HELP[answer.lmm] ? notice("warn", NO_HELP[answer.lmm], alone.summary) : null,
      replies.length ? h("h3", {}, "What the model said") : null,
      ...replies.map((step) => h("figure", { class: "said" },
        h("figcaption", {}, step.name.replace(/^lmm /, "")), h("blockquote", {}, step.summary))),
    ].filter(Boolean);
  }

  #evidence(answer) {
    if (!answer.evidence.length) return [];
    return [h("h3", {}, "Evidence: photos that look like it"),
      h("div", { class: "grid" }, answer.evidence.map((photo) => card(photo, {
        badge: photo.score.toFixed(3),
        lines: [`${km(photo.distance_km)} from the answer`],
        onOpen: () => openPhoto(photo, {
          words: `In the collection: ${photo.place}`,
          beside: this.picture ? { picture: this.picture(), words: `Your photo · similarity ${photo.score.toFixed(3)}` } : null,
        }),
        onHover: (one, isOn) => this.dots?.get(one.id)?.shape.classList.toggle("on", isOn),
      })))];
  }

  #alternatives(answer) {
    if (!answer.alternatives.length) return [];
    return [h("h3", {}, "Or one of these"), h("ol", { class: "alternatives" }, answer.alternatives.map((other, at) => h("li", {},
      h("button", { type: "button", onclick: () => this.world.fitCircle(other, Math.max(30, other.radius_km?.["50"] ?? 30)) },
        h("span", { class: "number" }, String(at + 1)), h("span", {}, other.place || degrees(other.lat, other.lon)), h("b", {}, percent(other.share))))))];
  }

  #drawMap(answer) {
    const { world } = this;
    const draw = () => {
      world.clear();
      for (const [level, radius] of radii(answer).reverse()) world.circle(answer, radius, { dashed: isDashed(level), fill: 0.08 });
      world.showKey(radii(answer).map(([level, radius]) => ({
        isDashed: isDashed(level), words: `${km(radius)} at ${level} %`, onPick: () => world.fitCircle(answer, radius * 1.15),
      })));
      this.dots = new Map();
      for (const photo of answer.evidence.filter((one) => one.lat !== null)) {
        this.dots.set(photo.id, world.mark(photo, { kind: "dot", size: 13, title: `Evidence: ${photo.place}`, onPick: () => openPhoto(photo) }));
      }
      answer.alternatives.forEach((other, at) => world.mark(other, { kind: "alternative", text: String(at + 1), size: 24, title: `Alternative ${at + 1}: ${other.place}` }));
      world.mark(answer, { kind: "pin", title: `Answer: ${answer.place || degrees(answer.lat, answer.lon)}` });
      world.redraw = draw;
    };
    draw();
    const widest = Math.max(5, ...radii(answer).map(([, radius]) => radius));
    world.fitCircle(answer, Math.min(widest * 1.15, 3000));
  }
}

// Levels in percent with their radii in kilometres, the narrowest first.
const radii = (answer) => Object.entries(answer.radius_km ?? {}).sort((a, b) => a[1] - b[1]);
const isDashed = (level) => Number(level) >= 80;

// Browsers lend the clipboard to pages by TLS or of this machine only; elsewhere people copy what is selected.
async function copyFrom(node, button) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(node);
    button.textContent = "Selected, now copy it";
  }
  say(button.textContent);
}

function stepLine(step) {
  return h("li", {}, h("span", {}, h("b", {}, `${step.name} `), step.summary), h("time", {}, seconds(step.seconds)));
}
