// Distances and circles on the sphere; the map itself is Mercator and must not draw its own.

export const EARTH_KM = 6371.0088;
const rad = Math.PI / 180;

export function distanceKm(a, b) {
  const s = Math.sin(((b.lat - a.lat) * rad) / 2) ** 2
    + Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * Math.sin(((b.lon - a.lon) * rad) / 2) ** 2;
  return 2 * EARTH_KM * Math.asin(Math.min(1, Math.sqrt(s)));
}

// The circle as [lat, lng] pairs, longitudes continuous; over a pole it is closed along the map's edge.
export function ring(center, radiusKm, points = 180) {
  const angle = Math.min(radiusKm / EARTH_KM, Math.PI - 1e-6);
  const lat0 = center.lat * rad;
  const out = [];
  let last = null;
  for (let i = 0; i <= points; i += 1) {
    const bearing = (2 * Math.PI * i) / points;
    const lat = Math.asin(Math.sin(lat0) * Math.cos(angle) + Math.cos(lat0) * Math.sin(angle) * Math.cos(bearing));
    let lon = center.lon + Math.atan2(Math.sin(bearing) * Math.sin(angle) * Math.cos(lat0),
      Math.cos(angle) - Math.sin(lat0) * Math.sin(lat)) / rad;
    if (last !== null) lon += 360 * Math.round((last - lon) / 360);
    last = lon;
    out.push([lat / rad, lon]);
  }
  const [start, end] = [out[0][1], out[out.length - 1][1]];
  if (Math.abs(end - start) > 180) {
    const edge = center.lat + angle / rad > 90 ? 90 : -90;
    out.push([edge, end], [edge, start]);
  }
  return out;
}
