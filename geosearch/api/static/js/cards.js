// A photo as a card of a grid, and the facts of a photo in words.

import { h } from "./elements.js";
import { thumbnail } from "./images.js";
import { day, degrees, km } from "./words.js";

export function card(photo, { onOpen, onHover, badge, lines }) {
  const name = photo.caption || photo.name || "photo";
  const button = h("button", { type: "button", class: "card", "data-id": photo.id, onclick: () => onOpen(photo) },
    badge ? h("span", { class: "badge" }, badge) : null,
    thumbnail(photo.id, name),
    h("span", { class: "words-of" },
      h("b", {}, photo.place || name),
      (lines ?? defaultLines(photo)).map((line) => h("span", {}, line))));
  if (onHover) {
    for (const [event, isOn] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) {
      button.addEventListener(event, () => onHover(photo, isOn));
    }
  }
  return button;
}

function defaultLines(photo) {
  const lines = [];
  if (photo.score !== null && photo.score !== undefined) lines.push(`similarity ${photo.score.toFixed(3)}`);
  if (photo.distance_km !== null && photo.distance_km !== undefined) lines.push(`${km(photo.distance_km)} away`);
  if (photo.captured_at) lines.push(day(photo.captured_at));
  return lines;
}

export function facts(photo) {
  const rows = [
    ["Place", photo.place],
    ["Coordinate", photo.lat === null ? "" : degrees(photo.lat, photo.lon)],
    ["Placed by", photo.label_source],
    ["Taken", photo.captured_at ? day(photo.captured_at) : ""],
    ["Photo by", [photo.author, photo.license].filter(Boolean).join(", ")],
    ["Data set", photo.dataset],
    ["Caption", photo.caption],
    ["File", photo.name],
  ].filter(([, value]) => value);
  return h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
