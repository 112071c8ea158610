// Two thumbs on one line of months; at the ends the span is open.

import { h } from "./elements.js";

const toMonth = (iso) => Number(iso.slice(0, 4)) * 12 + Number(iso.slice(5, 7)) - 1;
const toIso = (month) => `${String(Math.floor(month / 12)).padStart(4, "0")}-${String((month % 12) + 1).padStart(2, "0")}`;
const inWords = (month) => new Date(`${toIso(month)}-15`).toLocaleDateString("en-GB", { month: "short", year: "numeric" });
const lastDay = (month) => new Date(Date.UTC(Math.floor(month / 12), (month % 12) + 1, 0)).getUTCDate();

export class Timespan {
  constructor(node, onChange) {
    this.from = h("input", { type: "range", "aria-label": "Taken from" });
    this.to = h("input", { type: "range", "aria-label": "Taken until" });
    this.chosen = h("span", { class: "chosen" });
    this.words = [h("span"), h("span")];
    node.append(h("div", { class: "sliders" }, h("div", { class: "track" }, this.chosen), this.from, this.to), h("p", {}, ...this.words));
    for (const input of [this.from, this.to]) {
      input.addEventListener("input", () => this.#draw(input));
      input.addEventListener("change", onChange);
    }
    this.limit("1990-01", new Date().toISOString().slice(0, 7));
  }

  limit(first, last) {
    const { since, until } = this.value ?? {};
    this.first = toMonth(first);
    this.last = Math.max(toMonth(last), this.first + 1);
    for (const input of [this.from, this.to]) Object.assign(input, { min: this.first, max: this.last, step: 1 });
    this.set(since, until);
  }

  set(since, until) {
    this.from.value = since ? Math.max(this.first, toMonth(since)) : this.first;
    this.to.value = until ? Math.min(this.last, toMonth(until)) : this.last;
    this.#draw(this.to);
  }

  get value() {
    if (this.first === undefined) return {};
    const [from, to] = [Number(this.from.value), Number(this.to.value)];
    return {
      since: from > this.first ? `${toIso(from)}-01` : null,
      until: to < this.last ? `${toIso(to)}-${lastDay(to)}` : null,
    };
  }

  #draw(moved) {
    if (Number(this.from.value) > Number(this.to.value)) {
      if (moved === this.from) this.to.value = this.from.value;
      else this.from.value = this.to.value;
    }
    const [from, to] = [Number(this.from.value), Number(this.to.value)];
    const share = (month) => ((month - this.first) / (this.last - this.first)) * 100;
    this.chosen.style.left = `${share(from)}%`;
    this.chosen.style.right = `${100 - share(to)}%`;
    const open = this.value;
    this.words[0].textContent = open.since ? `from ${inWords(from)}` : `from the first (${inWords(from)})`;
    this.words[1].textContent = open.until ? `to ${inWords(to)}` : `to the last (${inWords(to)})`;
    for (const input of [this.from, this.to]) input.setAttribute("aria-valuetext", inWords(Number(input.value)));
  }
}
