// The page put together: views by address, one map for all of them.

import { Add } from "./add.js";
import * as address from "./address.js";
import { Drawing } from "./drawing.js";
import { byId, say } from "./elements.js";
import * as key from "./key.js";
import { Locate } from "./locate.js";
import { Place } from "./place.js";
import { Search } from "./search.js";
import { server } from "./server.js";
import * as theme from "./theme.js";
import { count } from "./words.js";
import { WorldMap } from "./worldmap.js";

const world = new WorldMap(byId("map"));
const drawing = new Drawing(world);
const search = new Search(world, drawing);
const views = {
  locate: new Locate(world), search,
  add: new Add(world, { onDone: refresh }), place: new Place(world, drawing, { onDone: refresh }),
};
let open = null;

theme.setUp(() => world.paint());
key.setUp(() => { refresh(); route(); });
address.onChange(route);
document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  byId("panel").focus();
});
// A photo dropped beside a drop zone must not replace the page.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

start();

async function start() {
  route();
  const page = await server.page();
  if (page.tile_url) world.addTiles(page.tile_url, page.tile_attribution);
  await refresh();
}

function route() {
  const { view, params } = address.read();
  const name = view in views ? view : "locate";
  const isNew = open !== name;
  if (open && isNew) views[open].hide();
  open = name;
  for (const section of document.querySelectorAll("[data-view]")) section.hidden = section.dataset.view !== name;
  for (const anchor of document.querySelectorAll(".bar nav a")) {
    if (anchor.getAttribute("href") === `#/${name}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  const title = document.querySelector(`[data-view="${name}"] h1`).textContent;
  document.title = `${title} · GeoSearch`;
  if (isNew) say(title);
  views[name].show(params);
}

// What the collection holds: its size, and the limits of the filters.
async function refresh() {
  try {
    const stats = await server.stats();
    byId("collection-size").textContent = count(stats.indexed, "photo");
    search.limit(stats);
  } catch (error) {
    byId("collection-size").textContent = "";
    console.info(error.message);
  }
}
