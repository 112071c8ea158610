// Hits on the map: single photos as numbered dots, many in one place as a cluster with its count.

const DOT = 24;

export class Clusters {
  constructor(world, { onPhotos }) {
    this.world = world;
    this.onPhotos = onPhotos;
    this.hits = [];
    world.map.on("moveend", () => this.draw());
  }

  show(hits) {
    this.hits = hits.filter((hit) => hit.lat !== null);
    this.index = new window.Supercluster({ radius: 46, maxZoom: 16 });
    this.index.load(this.hits.map((hit) => ({
      type: "Feature", geometry: { type: "Point", coordinates: [hit.lon, hit.lat] }, properties: { hit },
    })));
    this.world.redraw = null;
    this.draw();
  }

  hide() {
    this.hits = [];
    this.index = null;
    this.world.marks.clearLayers();
  }

  draw() {
    if (!this.index) return;
    this.world.marks.clearLayers();
    this.markers = new Map();
    const zoom = Math.round(this.world.map.getZoom());
    for (const feature of this.index.getClusters([-180, -90, 180, 90], zoom)) {
      const [lon, lat] = feature.geometry.coordinates;
      const properties = feature.properties;
      if (properties.cluster) {
        const number = properties.point_count;
        this.world.mark({ lat, lon }, {
          kind: "cluster", text: `×${number}`, // a bare number is a photo's rank
          size: Math.min(46, 28 + 4 * Math.log2(number)),
          title: `${number} photos here; show them`,
          onPick: () => this.#open(properties.cluster_id, { lat, lon }),
        });
      } else {
        const { hit } = properties;
        const marker = this.world.mark({ lat, lon }, {
          kind: "dot", text: hit.rank <= 99 ? String(hit.rank) : "", size: DOT,
          title: `Photo ${hit.rank}: ${hit.place || "unnamed place"}`, onPick: () => this.onPhotos([hit], null),
        });
        this.markers.set(hit.id, marker);
      }
    }
  }

  #open(id, place) {
    const hits = this.index.getLeaves(id, Infinity).map((leaf) => leaf.properties.hit);
    hits.sort((a, b) => a.rank - b.rank);
    this.onPhotos(hits, place);
  }

  // The dot of a photo under the pointer or the focus stands out.
  light(id, isOn) {
    this.markers?.get(id)?.shape.classList.toggle("on", isOn);
  }
}
