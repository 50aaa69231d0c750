// Asks for the cameras while the page is in view, searches with pictures, and shows ways. All text is
// set as text, so nothing that a node or an archive says can become a part of the page.
"use strict";

const PERIOD = 5000; // ms
const LARGEST = 3.9e6; // characters of pictures that the server takes, about
const at = (id) => document.getElementById(id);
const dropped = new Map(); // modality: base64
let searched = false; // what is shown below was asked for

function made(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function say(text, bad) {
  at("said").textContent = text;
  at("said").classList.toggle("bad", Boolean(bad));
}

function clock(time) {
  const when = new Date(time * 1000);
  const today = new Date().toDateString() === when.toDateString();
  const day = today ? "" : `${when.toLocaleDateString("en-CA")} `;
  return day + when.toLocaleTimeString("en-GB");
}

function span(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

async function asked(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const facts = await answer.json();
  if (facts.error) throw new Error(facts.error);
  return facts;
}

function camera(each, now) {
  const row = made("div", undefined, "camera");
  const most = Math.max(1, ...each.minutes);
  const minutes = made("div", undefined, "minutes");
  minutes.title = "tracks a minute";
  for (const count of each.minutes) {
    const bar = made("i");
    bar.style.height = `${(100 * count) / most}%`;
    minutes.append(bar);
  }
  const ago = span(Math.max(0, now - each.told));
  const told = made("span", each.silent ? `silent for ${ago}` : `told ${ago} ago`, "soft");
  const sensors = made("div", undefined, "sensors");
  for (const [modality, state] of Object.entries(each.sensors)) {
    const mark = made("span", modality.toUpperCase(), `sensor${state.healthy ? "" : " bad"}`);
    mark.title = state.healthy ? "healthy at its last event" : state.fault || "not healthy";
    if (!state.healthy) mark.textContent += ` ${state.fault || "ill"}`;
    sensors.append(mark);
  }
  row.append(made("span", each.name, "name"), minutes, told, sensors);
  return row;
}

function track(each) {
  const card = made("button", undefined, "track");
  card.type = "button";
  const views = made("div", undefined, "views");
  for (const modality of each.pictures) {
    const picture = made("img");
    picture.src = `picture/${encodeURIComponent(each.key)}/${encodeURIComponent(modality)}`;
    picture.alt = `in ${modality}`;
    views.append(picture);
  }
  if (!each.pictures.length) views.textContent = "no picture was sent";
  const text = made("div", undefined, "text");
  text.append(
    made("span", each.camera, "name"),
    made("span", `${clock(each.began)}, ${span(each.seen - each.began)}`, "soft"),
    made("span", each.states.join(", "), "soft"),
  );
  if (each.words) text.append(made("span", each.words, "words"));
  card.append(views, text);
  card.addEventListener("click", () => follow(each.key));
  return card;
}

function shown(tracks, title) {
  at("what").textContent = title;
  at("tracks").replaceChildren(...tracks.map(track));
}

function timeline(tracks) {
  const first = Math.min(...tracks.map((each) => each.began));
  const last = Math.max(...tracks.map((each) => each.seen), first + 1);
  const lanes = new Map();
  for (const each of tracks) {
    if (!lanes.has(each.camera)) lanes.set(each.camera, made("div", undefined, "bars"));
    const bar = made("i", undefined, each.words === "asked about" ? "asked" : "");
    bar.style.left = `${(100 * (each.began - first)) / (last - first)}%`;
    bar.style.width = `${(100 * (each.seen - each.began)) / (last - first)}%`;
    bar.title = `${clock(each.began)} to ${clock(each.seen)}: ${each.words}`;
    lanes.get(each.camera).append(bar);
  }
  const rows = [...lanes].map(([name, bars]) => {
    const row = made("div", undefined, "lane");
    row.append(made("span", name, "name"), bars);
    return row;
  });
  const ends = made("div", undefined, "ends soft");
  ends.append(made("span", clock(first)), made("span", clock(last)));
  const under = made("div", undefined, "lane");
  under.append(made("span"), ends);
  at("line").replaceChildren(...rows, under);
}

async function follow(name) {
  say("following ...");
  try {
    const way = await asked(`way/${encodeURIComponent(name)}`);
    searched = true;
    at("way").hidden = false;
    at("who").textContent = way.identity
      ? `${way.identity}, joined by looks, times and ways`
      : "by looks alone";
    timeline(way.tracks);
    shown(way.tracks, "Their tracks, the earliest first; below each, how sure it is by looks alone");
    say(`tracks: ${way.tracks.length}`);
    at("way").scrollIntoView({ block: "nearest" });
  } catch (error) {
    say(error.message, true);
  }
}

async function search(event) {
  event.preventDefault();
  say("searching ...");
  try {
    const size = [...dropped.values()].reduce((sum, each) => sum + each.length, 0);
    if (size > LARGEST) throw new Error("the pictures are too large together: cut out the person");
    const found = await asked("search", {
      pictures: Object.fromEntries(dropped),
      since: at("since").value,
      until: at("until").value,
      camera: at("camera").value,
    });
    searched = true;
    at("way").hidden = true;
    shown(found.tracks, "Found, the most alike first");
    say(found.said);
  } catch (error) {
    say(error.message, true);
  }
}

function take(zone, modality, file) {
  if (!file) return;
  const reader = new FileReader();
  reader.addEventListener("load", () => {
    dropped.set(modality, reader.result.slice(reader.result.indexOf(",") + 1));
    zone.querySelector("img")?.remove();
    const picture = made("img");
    picture.alt = `the ${modality} picture to search for`;
    picture.src = reader.result;
    zone.prepend(picture);
  });
  reader.readAsDataURL(file);
}

function zones(modalities) {
  if (at("drops").childElementCount) return;
  at("searching").hidden = !modalities.length;
  for (const modality of modalities) {
    const zone = made("label", modality.toUpperCase(), "drop");
    zone.dataset.modality = modality;
    const input = made("input");
    input.type = "file";
    input.accept = "image/*";
    input.setAttribute("aria-label", `${modality} picture`);
    input.addEventListener("change", () => take(zone, modality, input.files[0]));
    zone.addEventListener("dragover", (event) => event.preventDefault());
    zone.addEventListener("dragenter", () => zone.classList.add("over"));
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      take(zone, modality, event.dataTransfer.files[0]);
    });
    zone.append(input);
    at("drops").append(zone);
  }
}

function clear() {
  dropped.clear();
  for (const picture of document.querySelectorAll(".drop img")) picture.remove();
  at("way").hidden = true;
  searched = false;
  renew();
}

async function renew() {
  if (document.hidden) return;
  try {
    const facts = await asked("cameras");
    zones(facts.modalities);
    at("cameras").replaceChildren(...facts.cameras.map((each) => camera(each, facts.now)));
    if (!searched) {
      shown(facts.tracks, "Seen last");
      say(`cameras: ${facts.cameras.length}`);
    }
  } catch (error) {
    say(error.message, true);
  }
}

at("question").addEventListener("submit", search);
at("question").addEventListener("reset", clear);
document.addEventListener("visibilitychange", renew);
// A picture that misses its place is not opened instead of the page.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => event.preventDefault());
}
setInterval(renew, PERIOD);
renew();
