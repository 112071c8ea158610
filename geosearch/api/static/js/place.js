// Place photos: those without a position, by hand on the map or by accepting what locating says.

import { card } from "./cards.js";
import { byId, empty, h, notice, say, skeletons } from "./elements.js";
import { fullPicture } from "./images.js";
import { server } from "./server.js";
import { coordinate, degrees, km, percent } from "./words.js";

export class Place {
  constructor(world, drawing, { onDone }) {
    this.world = world;
    this.drawing = drawing;
    this.onDone = onDone;
    this.grid = byId("place-grid");
    this.current = byId("place-current");
  }

  async show(params) {
    this.current.replaceChildren();
    this.grid.setAttribute("aria-busy", "true");
    this.grid.replaceChildren(...skeletons(6));
    try {
      this.photos = await server.unlabelled();
    } catch (error) {
      this.grid.replaceChildren(h("div", { class: "empty" }, notice("bad", "The photos could not be listed", error.message,
        h("button", { type: "button", onclick: () => this.show(params) }, "Try again"))));
      return;
    }
    this.#draw();
    const asked = this.photos.find((photo) => photo.id === params.get("photo"));
    if (asked) this.#open(asked);
  }

  hide() {
    this.drawing.stop();
    this.world.clear();
  }

  #draw() {
    this.grid.setAttribute("aria-busy", "false");
    this.grid.replaceChildren(...(this.photos.length
      ? this.photos.map((photo) => card(photo, { onOpen: (one) => this.#open(one), lines: [] }))
      : [empty("Nothing to place", "Every photo of the collection has its place.")]));
  }

  #open(photo) {
    this.world.clear();
    this.draft = null;
    this.words = h("p", { class: "quiet", role: "status" }, "No place chosen yet.");
    this.input = h("input", { placeholder: "55.70, 13.19", "aria-label": "Coordinate: latitude, longitude" });
    this.input.addEventListener("change", () => this.#choose(coordinate(this.input.value)));
    this.save = h("button", { type: "button", class: "primary", disabled: true, onclick: () => this.#label(photo, this.draft, "manual") }, "Place it here");
    this.asked = h("div");
    this.current.replaceChildren(h("article", { class: "answer" },
      h("div", { class: "pair one" }, h("figure", {}, fullPicture(photo.id, photo.name || "The photo"), h("figcaption", {}, photo.name ?? ""))),
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => this.#pick() }, "Click on the map"),
        h("button", { type: "button", onclick: () => this.#ask(photo) }, "Ask where it is")),
      h("label", { class: "field" }, "Or type its coordinate ", this.input), this.words, this.save, this.asked));
    this.current.scrollIntoView({ block: "start" });
    this.current.querySelector("button").focus({ preventScroll: true });
  }

  async #pick() {
    this.world.map.getContainer().focus({ preventScroll: true });
    const point = await this.drawing.start("point");
    if (point) this.#choose(point);
  }

  #choose(point) {
    if (!point) {
      this.words.textContent = "Write latitude, longitude in degrees: 55.70, 13.19.";
      return;
    }
    this.draft = { lat: point.lat, lon: point.lon };
    this.world.clear();
    this.world.mark(point, { kind: "pin", title: "Place chosen" });
    this.words.textContent = `Chosen: ${degrees(point.lat, point.lon)}`;
    this.input.value = degrees(point.lat, point.lon);
    this.save.disabled = false;
    this.save.focus({ preventScroll: true });
  }

  async #ask(photo) {
    this.asked.replaceChildren(h("p", { role: "status" }, "Asking…"));
    try {
      const answer = await server.locateStored(photo.id);
      if (answer.lat === null) {
        this.asked.replaceChildren(notice("warn", "No place for this photo", answer.reason));
        return;
      }
      this.world.clear();
      const radius = answer.radius_km?.["90"] ?? 25;
      this.world.circle(answer, radius, { dashed: true });
      this.world.mark(answer, { kind: "pin", title: `Located: ${answer.place}` });
      this.world.fitCircle(answer, radius * 1.2);
      this.asked.replaceChildren(notice("", answer.place || degrees(answer.lat, answer.lon),
        `Within ${km(radius)} at 90 %, support ${percent(answer.share)}. Accepted, it is kept as predicted, never as measured. `,
        h("button", { type: "button", class: "primary", onclick: () => this.#label(photo, answer, "predicted") }, "Accept this place")));
    } catch (error) {
      this.asked.replaceChildren(notice("bad", "It could not be located", error.message));
    }
  }

  async #label(photo, place, source) {
    try {
      await server.label(photo.id, { lat: place.lat, lon: place.lon, source });
    } catch (error) {
      this.asked.replaceChildren(notice("bad", "The place was not kept", error.message));
      return;
    }
    this.photos = this.photos.filter((one) => one !== photo);
    this.current.replaceChildren(notice("", "Placed", `${photo.name ?? "The photo"} is at ${degrees(place.lat, place.lon)} (${source}).`));
    this.#draw();
    say("Placed");
    this.onDone();
  }
}
