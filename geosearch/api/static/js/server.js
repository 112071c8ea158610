// The HTTP API in the page's own words. The only module that knows addresses and forms of requests.

import * as areas from "./areas.js";
import * as key from "./key.js";
import { country } from "./words.js";

const BASE = new URL("../../", import.meta.url);

class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, { retry = true, ...options } = {}) {
  const secret = key.current();
  const headers = new Headers(options.headers);
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
  let response;
  try {
    response = await fetch(new URL(path, BASE), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer. Is `geosearch serve` still running?");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const message = problem.detail || problem.title || `The server answered ${response.status}.`;
  if (response.status === 401 && retry && await key.ask(secret ? message : "")) return request(path, { ...options, retry: false });
  throw new Problem(response.status, message);
}

export const server = {};

function named(photo) {
  return { ...photo, name: photo.name ?? photo.path?.split("/").at(-1) ?? null };
}

server.page = async () => {
  try {
    return await (await fetch(new URL("page.json", BASE))).json();
  } catch {
    return {};
  }
};

server.stats = async () => {
  const stats = await (await request("v1/stats")).json();
  const options = (pairs, words) => Object.entries(pairs ?? {})
    .map(([value, n]) => ({ value, words: `${words(value)} (${n})` })).sort((a, b) => a.words.localeCompare(b.words));
  return {
    indexed: stats.photos.indexed, countries: options(stats.countries, country), datasets: options(stats.datasets, String),
    first: stats.captured_at?.first, last: stats.captured_at?.last,
  };
};

const EXPORTS = { geojson: "application/geo+json", kml: "application/vnd.google-earth.kml+xml", csv: "text/csv" };

server.search = async (query, { signal }) => {
  const result = await (await request("v1/search", { method: "POST", body: searchForm(query), signal })).json();
  return { ...result, hits: result.hits.map(named) };
};

// The hits of a query as a file, as the command line would write it.
server.exportSearch = async (form, query) => {
  const response = await request("v1/search", { method: "POST", body: searchForm(query), headers: { Accept: EXPORTS[form] } });
  saveFile(await response.blob(), `geosearch.${form}`);
};

function searchForm(query) {
  const body = {
    like: query.like, text: query.text, at: query.at ? [query.at.lat, query.at.lon] : null,
    weights: query.asked.length ? Object.fromEntries(query.asked.map((name) => [name, query.weights[name] ?? 1])) : null,
    country: query.country, dataset: query.dataset, since: query.since, until: query.until,
    diverse: query.diverse, limit: query.limit, cursor: query.cursor ?? null,
  };
  const { area } = query;
  if (area?.kind === "circle") Object.assign(body, { near: [area.lat, area.lon], radius_km: area.km });
  if (area?.kind === "box") body.bbox = [area.west, area.south, area.east, area.north];
  if (area?.kind === "polygon") body.within = areas.polygonGeometry(area);
  const form = new FormData();
  form.set("query", JSON.stringify(body));
  if (query.image) form.set("image", query.image);
  return form;
}

function saveFile(blob, name) {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
}

server.thumbnailAddress = (id) => `v1/photos/${id}/thumbnail`;
server.imageAddress = (id) => `v1/photos/${id}/image`;
server.locatedImageAddress = (name) => `v1/located/${name}/image`;
server.pictureSource = async (address) => {
  if (!key.current()) return new URL(address, BASE).href;
  return URL.createObjectURL(await (await request(address)).blob());
};

// Each step is told as it happens; resolves with the prediction.
server.locate = async (file, { signal, onStep }) => {
  const form = new FormData();
  form.set("image", file);
  const response = await request("v1/locate", { method: "POST", body: form, signal, headers: { Accept: "text/event-stream" } });
  for await (const { event, data } of events(response.body)) {
    if (event === "step") onStep(data);
    if (event === "prediction") return answer(data);
    if (event === "error") throw new Problem(500, data.detail);
  }
  throw new Problem(0, "The server stopped before it had an answer.");
};

server.located = async (name) => answer(await (await request(`v1/located/${encodeURIComponent(name)}`)).json());

server.exportLocated = async (form, name) => {
  const response = await request(`v1/located/${encodeURIComponent(name)}`, { headers: { Accept: EXPORTS[form] } });
  saveFile(await response.blob(), `located.${form}`);
};

const answer = (document) => ({ ...document, evidence: document.evidence.map(named) });

// Server-sent events of a response, parsed.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value.replaceAll("\r\n", "\n");
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line)).filter(Boolean);
      const data = fields.filter((f) => f[1] === "data").map((f) => f[2]).join("\n");
      if (data) yield { event: fields.find((f) => f[1] === "event")?.[2] ?? "message", data: JSON.parse(data) };
    }
  }
}

server.unlabelled = async () => {
  const page = await (await request("v1/photos?state=unlabelled&limit=200")).json();
  return page.photos.map(named);
};

server.locateStored = async (id) => {
  const picture = await (await request(server.imageAddress(id))).blob();
  return server.locate(new File([picture], "photo"), { onStep: () => {} });
};

server.label = async (id, { lat, lon, source }) => {
  await request(`v1/photos/${id}`, {
    method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ lat, lon, label_source: source }),
  });
};

// A few at a time: each request holds at most so many photos and bytes.
server.upload = async (files, { dataset, signal, onResult }) => {
  for (const batch of batches(files, 8, 32e6)) {
    const form = new FormData();
    if (dataset) form.set("dataset", dataset);
    for (const file of batch) form.append("files", file, file.name);
    const { photos } = await (await request("v1/photos", {
      method: "POST", body: form, signal,
    })).json();
    photos.forEach((result, at) => onResult({ ...result, name: batch[at].webkitRelativePath || batch[at].name }));
  }
};

function* batches(files, most, bytes) {
  let batch = [];
  let size = 0;
  for (const file of files) {
    if (batch.length && (batch.length >= most || size + file.size > bytes)) {
      yield batch;
      [batch, size] = [[], 0];
    }
    batch.push(file);
    size += file.size;
  }
  if (batch.length) yield batch;
}
