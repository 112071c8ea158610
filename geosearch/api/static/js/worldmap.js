// The map: Natural Earth outlines from this server, tiles only if a setting names some, marks on top.

import { byId, h } from "./elements.js";
import { ring } from "./geodesy.js";

const L = window.L;
const COUNTRIES = new URL("../vendor/world-atlas/countries-50m.json", import.meta.url);
const WIDE_KM = 2500; // a wider circle, filled, would only dye the whole map
const WORLD = { center: [25, 10], zoom: 2 };
const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class WorldMap {
  constructor(element) {
    const smallest = Math.max(1, Math.log2(element.clientWidth / 256));
    this.map = L.map(element, {
      zoomSnap: 0.25, minZoom: Math.min(3, Math.ceil(smallest * 4) / 4), maxZoom: 18, worldCopyJump: false,
      maxBounds: [[-86, -180], [86, 180]], maxBoundsViscosity: 1,
      zoomAnimation: !isStill(), fadeAnimation: !isStill(), markerZoomAnimation: !isStill(), inertia: !isStill(),
      ...WORLD, preferCanvas: true, attributionControl: false,
    });
    if (isStill()) {
      const pan = this.map.panBy;
      this.map.panBy = (offset, options) => pan.call(this.map, offset, { ...options, animate: false });
    }
    L.control.attribution({ prefix: false }).addTo(this.map)
      .addAttribution('Outlines <a href="https://www.naturalearthdata.com">Natural Earth</a>');
    this.map.createPane("names").style.zIndex = 450;
    this.map.getPane("names").style.pointerEvents = "none";
    this.names = L.layerGroup().addTo(this.map);
    this.overlay = L.layerGroup().addTo(this.map);
    this.marks = L.layerGroup().addTo(this.map);
    this.areaLayer = L.layerGroup().addTo(this.map);
    this.map.on("zoomend", () => this.#nameCountries());
    new ResizeObserver(() => this.map.invalidateSize({ animate: false })).observe(element);
    this.ready = this.#drawWorld();
  }

  addTiles(url, attribution) {
    L.tileLayer(url, { attribution, maxZoom: 18, referrerPolicy: "no-referrer" }).addTo(this.map);
    this.hasTiles = true;
    this.#nameCountries(); // tiles have names of their own
    this.paint();
  }

  async #drawWorld() {
    const atlas = await (await fetch(COUNTRIES)).json();
    const countries = window.topojson.feature(atlas, atlas.objects.countries);
    countries.features.forEach(unwrap);
    this.countries = countries.features.map((feature) => ({ name: feature.properties.name, box: mainBox(feature) }));
    this.world = L.geoJSON(countries, { interactive: false, style: () => this.#style() }).addTo(this.map);
    this.world.bringToBack?.();
    this.#nameCountries();
    this.map.getContainer().dataset.world = "drawn";
  }

  #style() {
    return { fillColor: color("--land"), fillOpacity: this.hasTiles ? 0 : 1, color: color("--coast"), weight: this.hasTiles ? 0 : 0.8 };
  }

  // After a change of colours.
  paint() {
    this.world?.setStyle(this.#style());
    this.redraw?.();
  }

  // A name stands where its country is wide enough for it.
  #nameCountries() {
    this.names.clearLayers();
    if (this.hasTiles || !this.countries) return;
    for (const { name, box } of this.countries) {
      const [west, east] = [[0, box.west], [0, box.east]].map((p) => this.map.project(p).x);
      const height = this.map.project([box.south, 0]).y - this.map.project([box.north, 0]).y;
      if (east - west < name.length * 7.5 || height < 18) continue;
      const icon = L.divIcon({ className: "country-name", html: h("span", { "aria-hidden": "true" }, name), iconSize: null });
      L.marker([(box.south + box.north) / 2, (box.west + box.east) / 2], { icon, interactive: false, keyboard: false, pane: "names" }).addTo(this.names);
    }
  }

  clear() {
    this.overlay.clearLayers();
    this.marks.clearLayers();
    this.redraw = null;
    byId("map-key").hidden = true;
  }

  // What the circles on the map are; picking one shows it whole.
  showKey(rows) {
    byId("map-key").replaceChildren(...rows.map(({ isDashed, words, onPick }) => h("button", { type: "button", onclick: onPick },
      h("i", { class: isDashed ? "line dashed" : "line", "aria-hidden": "true" }), words)));
    byId("map-key").hidden = !rows.length;
  }

  mark(place, { kind, text = "", title, size = 16, onPick }) {
    const node = kind === "pin" ? pinShape() : h("span", { class: `mark ${kind}` }, text);
    if (kind !== "pin") Object.assign(node.style, { width: `${size}px`, height: `${size}px` });
    const icon = kind === "pin"
      ? L.divIcon({ className: "", html: node, iconSize: [30, 40], iconAnchor: [15, 38] })
      : L.divIcon({ className: "", html: node, iconSize: [size, size], iconAnchor: [size / 2, size / 2] });
    const marker = L.marker([place.lat, place.lon], {
      icon, title, alt: title, keyboard: Boolean(onPick), interactive: Boolean(onPick), zIndexOffset: kind === "pin" ? 1000 : 0,
    });
    if (onPick) marker.on("click keypress", (event) => {
      if (event.type === "keypress" && !["Enter", " "].includes(event.originalEvent.key)) return;
      onPick();
    });
    marker.addTo(this.marks);
    marker.getElement()?.setAttribute("aria-label", title);
    marker.shape = node;
    return marker;
  }

  circle(center, radiusKm, { name = "--pin", dashed = false, fill = 0.1 } = {}) {
    return L.polygon(ring(center, radiusKm), {
      color: color(name), weight: 1.6, dashArray: dashed ? "5 5" : null, fillColor: color(name), fillOpacity: radiusKm > WIDE_KM ? 0 : fill, interactive: false, smoothFactor: 0.3,
    }).addTo(this.overlay);
  }

  showArea(area) {
    this.areaLayer.clearLayers();
    this.area = area;
    if (!area) return;
    const style = { color: color("--area"), weight: 2, fillOpacity: 0.07, interactive: false, smoothFactor: 0.3 };
    const points = area.kind === "circle" ? ring(area, area.km)
      : area.kind === "box" ? boxRing(area) : area.points.map((p) => [p.lat, p.lon]);
    L.polygon(points, style).addTo(this.areaLayer);
  }

  showAll() {
    this.map.setView(WORLD.center, WORLD.zoom, { animate: !isStill() });
  }

  fit(places, { minimumKm = 40 } = {}) {
    if (!places.length) return;
    const bounds = L.latLngBounds(places.map((p) => [p.lat, p.lon]));
    const room = minimumKm / 111;
    bounds.extend([bounds.getSouth() - room, bounds.getWest() - room]);
    bounds.extend([bounds.getNorth() + room, bounds.getEast() + room]);
    this.map.fitBounds(bounds, { padding: [36, 36], maxZoom: 12, animate: !isStill() });
  }

  fitCircle(center, radiusKm) {
    const points = ring(center, Math.min(radiusKm, 6000)).map(([lat, lon]) => ({ lat, lon }));
    this.fit(points, { minimumKm: 5 });
  }
}

function boxRing({ west, south, east, north }) {
  const right = east < west ? east + 360 : east;
  return [[south, west], [south, right], [north, right], [north, west]];
}

function pinShape() {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 30 40");
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", "M15 38C12 28 2 23 2 14a13 13 0 0 1 26 0c0 9-10 14-13 24z");
  const hole = document.createElementNS(ns, "circle");
  for (const [name, value] of [["cx", 15], ["cy", 14], ["r", 5]]) hole.setAttribute(name, value);
  svg.append(path, hole);
  return h("span", { class: "pin" }, svg);
}

// Parts across ±180 run on past it, and once more on the other side; the map's bounds cut both.
function unwrap(feature) {
  const { geometry } = feature;
  const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
  const parts = polygons.flatMap((polygon) => {
    if (feature.id === "010" || !polygon.some(crosses)) return [polygon];
    const whole = polygon.map((points) => points.map(([lon, lat]) => [lon < 0 ? lon + 360 : lon, lat]));
    return [whole, whole.map((points) => points.map(([lon, lat]) => [lon - 360, lat]))];
  });
  feature.geometry = { type: "MultiPolygon", coordinates: parts };
}

const crosses = (points) => points.some(([lon], at) => at > 0 && Math.abs(lon - points[at - 1][0]) > 180);

// Where a country's largest part lies.
function mainBox(feature) {
  const { type, coordinates } = feature.geometry;
  const rings = (type === "Polygon" ? [coordinates] : coordinates).map((polygon) => polygon[0]);
  const boxes = rings.map((points) => {
    const [lons, lats] = [points.map((p) => p[0]), points.map((p) => p[1])];
    return { west: Math.min(...lons), east: Math.max(...lons), south: Math.min(...lats), north: Math.max(...lats) };
  });
  return boxes.reduce((a, b) => ((b.east - b.west) * (b.north - b.south) > (a.east - a.west) * (a.north - a.south) ? b : a));
}
