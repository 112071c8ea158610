// A photo seen large; or two side by side: the one asked about, and one that speaks for a place.

import { link, read } from "./address.js";
import { facts } from "./cards.js";
import { byId, h } from "./elements.js";
import { fullPicture } from "./images.js";

const NEAR_KM = 25;

export function openPhoto(photo, { beside, words } = {}) {
  const dialog = byId("photo-dialog");
  const close = () => dialog.close();
  const own = h("figure", {}, fullPicture(photo.id, photo.caption || photo.name || "The photo"),
    h("figcaption", {}, words ?? photo.place ?? ""));
  const other = beside ? h("figure", {}, beside.picture, h("figcaption", {}, beside.words)) : null;
  dialog.replaceChildren(
    h("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "✕"),
    h("div", { class: other ? "pair" : "pair one" }, other, own),
    facts(photo),
    h("div", { class: "actions" },
      h("a", { class: "button", href: link("search", { like: photo.id }), onclick: close }, "More like this"),
      photo.lat === null ? null : h("a", {
        class: "button", href: link("search", { ...openSearch(), ...near(photo) }), onclick: close,
      }, "Only near here"),
      photo.lat === null ? null : h("a", {
        class: "button", href: link("search", { like: photo.id, ...near(photo) }), onclick: close,
      }, "More like this, near here")));
  dialog.showModal();
}

// Where a search around a place looks.
export const near = (photo) => ({ near: `${photo.lat.toFixed(5)},${photo.lon.toFixed(5)}`, km: NEAR_KM });

// What "only" narrows: the search that the photo was found by, whatever its area was. Hits of one
// place are no farther apart than that place is wide, so that filter goes too.
function openSearch() {
  const { view, params } = read();
  if (view !== "search") return {};
  const { bbox, polygon, diverse, ...kept } = Object.fromEntries(params);
  return kept;
}
