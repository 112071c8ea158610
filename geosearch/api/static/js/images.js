// Photos of the collection in <img>: with a key they are fetched with it, without one loaded plainly.

import { h } from "./elements.js";
import { server } from "./server.js";

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    load(entry.target);
  }
}, { rootMargin: "300px" });

async function load(frame) {
  const image = frame.querySelector("img");
  image.addEventListener("error", () => missing(frame));
  try {
    image.src = await server.pictureSource(frame.address);
    image.hidden = false;
  } catch {
    missing(frame);
  }
}

function missing(frame) {
  frame.classList.add("missing");
  frame.querySelector("img")?.remove();
}

export function thumbnail(id, alt) {
  const frame = h("span", { class: "frame" }, h("img", { alt, hidden: true, decoding: "async" }));
  frame.address = server.thumbnailAddress(id);
  seen.observe(frame);
  return frame;
}

export const fullPicture = (id, alt) => pictureAt(server.imageAddress(id), alt);

export function pictureAt(address, alt) {
  const frame = h("span", { class: "frame" }, h("img", { alt, hidden: true }));
  frame.address = address;
  load(frame);
  return frame;
}

// A file of this machine. What the browser cannot show (HEIC, TIFF) has a plate instead.
export function ofFile(file, alt) {
  const image = h("img", { alt, src: URL.createObjectURL(file) });
  const frame = h("span", { class: "frame" }, image);
  image.addEventListener("error", () => missing(frame));
  return frame;
}
