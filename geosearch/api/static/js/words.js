// Numbers, distances, dates and places as people read them.

export function km(distance) {
  if (distance < 1) return `${Math.round(distance * 1000)} m`;
  return distance < 10 ? `${distance.toFixed(1)} km` : `${Math.round(distance).toLocaleString("en")} km`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;

export const degrees = (lat, lon) => `${lat.toFixed(5)}, ${lon.toFixed(5)}`;

export const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

export function day(iso) {
  return new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}

export function seconds(value) {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

export function country(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "region" }).of(code) ?? code;
  } catch {
    return code;
  }
}

// "55.70, 13.19" as {lat, lon}; null when it is no place.
export function coordinate(text) {
  const match = /^\s*([+-]?\d{1,3}(?:\.\d+)?)\s*[,;\s]\s*([+-]?\d{1,3}(?:\.\d+)?)\s*$/.exec(text ?? "");
  if (!match) return null;
  const [lat, lon] = [Number(match[1]), Number(match[2])];
  return Math.abs(lat) <= 90 && Math.abs(lon) <= 180 ? { lat, lon } : null;
}

export const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);
