// The operators' map: every server a tile, by delivery group. Fullness is lightness, the state is a sign and a border, so that no
// colour needs to be told from another. Arrows walk, Enter opens. Asked again every few seconds while somebody looks.

const EVERY_MILLISECONDS = 3000;
const SILENT_SECONDS = 20;
const STATES = ["ready", "draining", "maintenance", "unhealthy", "starting", "off", "silent"]; // in this order, as in the key, however they change
const words = JSON.parse(document.getElementById("words").textContent);
const farm = document.getElementById("farm");
const sums = document.getElementById("farm-sums");
const tiles = new Map(); // by server
let chosen = "";

function stateOf(server, now) {
  const silent = now - Date.parse(server.seen) > SILENT_SECONDS * 1000;
  return silent && server.state !== "off" && server.state !== "starting" ? "silent" : server.state;
}

function groupOf(id, name) {
  const key = `group-${id}`;
  let section = document.getElementById(key);
  if (!section) {
    section = document.getElementById("group").content.cloneNode(true).firstElementChild;
    section.id = key;
    farm.append(section);
  }
  section.dataset.name = name;
  return section;
}

function tileOf(server, group) {
  let tile = tiles.get(server.id);
  if (!tile) {
    tile = document.createElement("button");
    tile.type = "button";
    tile.className = "tile";
    tile.tabIndex = tiles.size ? -1 : 0;
    tile.dataset.server = server.id;
    tiles.set(server.id, tile);
  }
  const place = group.querySelector(".farm-tiles");
  if (tile.parentElement !== place) place.append(tile);
  return tile;
}

function draw({ now, groups, columns, rows }) {
  const moment = Date.parse(now);
  if (!tiles.size) farm.replaceChildren();
  const names = new Map(groups.map((one) => [one.id, one.name && one.name !== one.id ? `${one.name}` : one.id]));
  const counts = new Map();
  const states = {};
  let sessions = 0;
  let active = 0;
  let free = 0;
  for (const row of rows) {
    const server = Object.fromEntries(columns.map((name, index) => [name, row[index]]));
    const state = stateOf(server, moment);
    const id = server.groups[0] ?? "default";
    const group = groupOf(id, names.get(id) ?? id);
    const tile = tileOf(server, group);
    const fullness = Math.max(server.sessions / server.slots, Math.min(1, server.load / 2));
    const load = String(server.sessions ? Math.max(1, Math.min(5, Math.ceil(fullness * 5))) : 0);
    const label = `${server.id}: ${words[state]}, ${server.sessions}/${server.slots}${server.why ? `, ${server.why}` : ""}`;
    if (tile.dataset.state !== state) tile.dataset.state = state;
    if (tile.dataset.load !== load) tile.dataset.load = load;
    if (tile.title !== label) {
      tile.title = label;
      tile.setAttribute("aria-label", label);
    }
    const sum = counts.get(group) ?? { servers: 0, sessions: 0 };
    counts.set(group, { servers: sum.servers + 1, sessions: sum.sessions + server.sessions });
    states[state] = (states[state] ?? 0) + 1;
    sessions += server.sessions;
    active += server.active;
    if (state === "ready") free += server.slots - server.sessions;
  }
  const written = (value) => value.toLocaleString(document.documentElement.lang);
  for (const [group, sum] of counts) group.querySelector("h2").textContent = `${group.dataset.name} · ${written(sum.servers)} ${words.servers} · ${written(sum.sessions)} ${words.sessions}`;
  const there = STATES.filter((name) => states[name]).map((name) => [name, states[name]]);
  const told = [["servers", rows.length], ...there, ["sessions", sessions], ["active", active], ["free", free]];
  sums.replaceChildren(
    ...told.map(([name, value]) => {
      const entry = document.createElement("div");
      const term = document.createElement("dt");
      const number = document.createElement("dd");
      term.textContent = words[name] ?? name;
      number.textContent = written(value);
      entry.append(term, number);
      return entry;
    }),
  );
  farm.dataset.drawn = now;
}

async function ask() {
  if (!document.hidden) {
    try {
      const response = await fetch("/console/farm.json", { headers: { accept: "application/json", "x-quiet": "1" }, credentials: "same-origin", redirect: "manual" });
      if (response.ok) draw(await response.json());
      farm.classList.toggle("stale", !response.ok);
    } catch {
      farm.classList.add("stale"); // what is shown is from before, and looks like it
    }
  }
  setTimeout(ask, EVERY_MILLISECONDS);
}

async function choose(tile) {
  if (chosen) tiles.get(chosen)?.removeAttribute("aria-pressed");
  chosen = tile.dataset.server;
  tile.setAttribute("aria-pressed", "true");
  const asked = chosen;
  const response = await fetch(`/console/servers/${encodeURIComponent(asked)}`, { headers: { "hx-request": "true" }, credentials: "same-origin" }).catch(() => null);
  if (response?.ok && asked === chosen) document.getElementById("server").innerHTML = await response.text();
}

function step(tile, key) {
  const all = [...farm.querySelectorAll(".tile")];
  const here = all.indexOf(tile);
  if (key === "ArrowLeft") return all[here - 1];
  if (key === "ArrowRight") return all[here + 1];
  if (key === "Home") return all[0];
  if (key === "End") return all.at(-1);
  // A row up or down: the nearest tile of the next line.
  const { left, top } = tile.getBoundingClientRect();
  const wanted = key === "ArrowDown" ? all.slice(here + 1) : all.slice(0, here).reverse();
  const line = wanted.find((other) => other.getBoundingClientRect().top !== top)?.getBoundingClientRect().top;
  const near = (other) => Math.abs(other.getBoundingClientRect().left - left);
  return wanted.filter((other) => other.getBoundingClientRect().top === line).sort((a, b) => near(a) - near(b))[0];
}

farm.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (tile) choose(tile);
});
farm.addEventListener("keydown", (event) => {
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
  const next = event.target.matches(".tile") && step(event.target, event.key);
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
ask();
