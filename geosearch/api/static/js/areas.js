// Areas of a search: circle, box, polygon; in words, in the address, and as GeoJSON for the server.

import { degrees, km } from "./words.js";

const number = (value, digits = 5) => Number(value.toFixed(digits));

export function toParams(area) {
  if (!area) return {};
  if (area.kind === "circle") return { near: `${number(area.lat)},${number(area.lon)}`, km: number(area.km, 3) };
  if (area.kind === "box") return { bbox: [area.west, area.south, area.east, area.north].map((v) => number(v)).join(",") };
  return { polygon: area.points.map((p) => `${number(p.lat)},${number(p.lon)}`).join(";") };
}

export function fromParams(params) {
  const numbers = (text) => text.split(",").map(Number);
  const isGood = (values, n) => values.length === n && values.every(Number.isFinite);
  if (params.has("near")) {
    const values = numbers(params.get("near"));
    const radius = Number(params.get("km") ?? 25);
    if (isGood(values, 2) && radius > 0) return { kind: "circle", lat: values[0], lon: values[1], km: radius };
  }
  if (params.has("bbox")) {
    const values = numbers(params.get("bbox"));
    if (isGood(values, 4)) return { kind: "box", west: values[0], south: values[1], east: values[2], north: values[3] };
  }
  if (params.has("polygon")) {
    const points = params.get("polygon").split(";").map(numbers);
    if (points.length >= 3 && points.every((p) => isGood(p, 2))) {
      return { kind: "polygon", points: points.map(([lat, lon]) => ({ lat, lon })) };
    }
  }
  return null;
}

export function inWords(area) {
  if (!area) return "Anywhere";
  if (area.kind === "circle") return `Within ${km(area.km)} of ${degrees(area.lat, area.lon)}`;
  if (area.kind === "box") return `In the box ${degrees(area.south, area.west)} to ${degrees(area.north, area.east)}`;
  return `In a polygon of ${area.points.length} corners`;
}

export function polygonGeometry(area) {
  const outer = area.points.map((p) => [p.lon, p.lat]);
  return { type: "Polygon", coordinates: [[...outer, outer[0]]] };
}
