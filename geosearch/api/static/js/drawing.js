// Drawing on the map with mouse, finger or keys. With keys the crosshair is the pen: Enter sets a point.

import { byId } from "./elements.js";
import { distanceKm, ring } from "./geodesy.js";

const L = window.L;
const HINTS = {
  point: "Click on the map, or move it with the arrow keys and press Enter. Esc ends.",
  circle: "Click the centre, then the rim.",
  box: "Click two opposite corners.",
  polygon: "Click the corners; click the first one again, or press Enter twice, to close.",
};

export class Drawing {
  constructor(world) {
    this.world = world;
    this.map = world.map;
    this.sketch = L.layerGroup().addTo(this.map);
    this.map.on("click", (event) => this.tool && this.#add(event.latlng));
    this.map.on("mousemove", (event) => this.tool && this.points.length && this.#preview(event.latlng));
    this.map.getContainer().addEventListener("keydown", (event) => this.#key(event));
  }

  // Resolves with the area, with {kind: "point", lat, lon}, or with null when given up.
  start(tool) {
    this.stop();
    this.tool = tool;
    this.points = [];
    const container = this.map.getContainer();
    container.classList.add("drawing");
    this.map.doubleClickZoom.disable();
    byId("map-hint").textContent = HINTS[tool];
    byId("map-hint").hidden = false;
    byId("crosshair").hidden = false;
    if (matchMedia("(hover: none)").matches) container.scrollIntoView({ block: "nearest" });
    return new Promise((resolve) => { this.resolve = resolve; });
  }

  stop(area = null) {
    if (!this.tool) return;
    this.tool = null;
    this.sketch.clearLayers();
    this.map.getContainer().classList.remove("drawing");
    this.map.doubleClickZoom.enable();
    byId("map-hint").hidden = true;
    byId("crosshair").hidden = true;
    this.resolve(area);
  }

  #key(event) {
    if (!this.tool) return;
    if (event.key === "Escape") this.stop();
    if (event.key === "Enter") {
      event.preventDefault();
      this.#add(this.map.getCenter());
    }
  }

  #add(latlng) {
    const point = { lat: Math.max(-90, Math.min(90, latlng.lat)), lon: ((latlng.lng + 540) % 360) - 180 };
    if (this.tool === "point") return this.stop({ kind: "point", ...point });
    const [first] = this.points;
    if (this.tool === "circle" && first) {
      const km = distanceKm(first, point);
      return km > 0.001 && this.stop({ kind: "circle", ...first, km });
    }
    if (this.tool === "box" && first) {
      if (first.lat === point.lat || first.lon === point.lon) return undefined;
      return this.stop({
        kind: "box", west: Math.min(first.lon, point.lon), east: Math.max(first.lon, point.lon),
        south: Math.min(first.lat, point.lat), north: Math.max(first.lat, point.lat),
      });
    }
    if (this.tool === "polygon" && this.points.length >= 3 && this.#closes(latlng)) {
      return this.stop({ kind: "polygon", points: this.points });
    }
    this.points.push(point);
    return this.#preview(latlng);
  }

  // On the first corner, or on the last one once more.
  #closes(latlng) {
    const here = this.map.latLngToContainerPoint(latlng);
    return [this.points[0], this.points.at(-1)].some(
      (p) => here.distanceTo(this.map.latLngToContainerPoint([p.lat, p.lon])) < 12,
    );
  }

  #preview(latlng) {
    this.sketch.clearLayers();
    const style = { color: getComputedStyle(document.documentElement).getPropertyValue("--area").trim(), weight: 2, dashArray: "5 5", fillOpacity: 0.06, interactive: false };
    const cursor = { lat: latlng.lat, lon: latlng.lng };
    const [first] = this.points;
    if (this.tool === "circle") {
      L.polygon(ring(first, Math.max(0.001, distanceKm(first, cursor))), style).addTo(this.sketch);
    } else if (this.tool === "box") {
      L.rectangle([[first.lat, first.lon], [cursor.lat, cursor.lon]], style).addTo(this.sketch);
    } else {
      L.polygon([...this.points, cursor].map((p) => [p.lat, p.lon]), style).addTo(this.sketch);
    }
    for (const point of this.points) {
      L.circleMarker([point.lat, point.lon], { ...style, dashArray: null, radius: 5, fillOpacity: 1 }).addTo(this.sketch);
    }
  }
}
