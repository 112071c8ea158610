// The address bar as the state of the page: #/view?name=value. Every view can be shared by its link.

export function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: path || "locate", params: new URLSearchParams(query) };
}

export function link(view, params = {}) {
  const clean = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "" && value !== false) clean.set(name, value);
  }
  const query = clean.toString().replaceAll("%2C", ",").replaceAll("%3B", ";");
  return `#/${view}${query ? `?${query}` : ""}`;
}

export function go(view, params) {
  location.hash = link(view, params);
}

// Note the state without opening the view again.
export function note(view, params) {
  const next = link(view, params);
  if (next !== location.hash) history.replaceState(null, "", next);
}

export function onChange(react) {
  addEventListener("hashchange", react);
}
