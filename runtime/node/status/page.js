// Asks for the snapshot once a second while the page is in view, and shows it. All text is set as
// text, so nothing that a node says can become a part of the page.
"use strict";

const PERIOD = 1000; // ms
const OLD = 5; // seconds without news from the loop

const at = (id) => document.getElementById(id);

function made(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function milliseconds(value) {
  return value === null ? "–" : `${value.toFixed(value < 10 ? 2 : 1)} ms`;
}

function number(value) {
  return Number.isInteger(value) ? value.toLocaleString("en") : value.toPrecision(3);
}

function clock(time) {
  return new Date(time * 1000).toLocaleTimeString("en-GB");
}

// 0.00042 as 4.2·10⁻⁴.
function rate(value) {
  if (value === null) return "–";
  if (value === 0) return "0";
  const [digits, exponent] = value.toExponential(1).split("e-");
  if (exponent === undefined || value >= 0.01) return value.toPrecision(2);
  return `${digits}·10⁻${[...exponent].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;
}

// The part of a head, and in it a card for each sensor, is made once; a picture is exchanged when
// the next one is there, so that nothing flickers.
const parts = new Map();

function part(name) {
  if (parts.has(name)) return parts.get(name);
  const section = at("head").content.firstElementChild.cloneNode(true);
  at("heads").append(section);
  const made = { section, cards: new Map(), find: (kind) => section.querySelector(`.${kind}`) };
  parts.set(name, made);
  return made;
}

function card({ cards, find }, modality) {
  if (cards.has(modality)) return cards.get(modality);
  const figure = made("figure", undefined, "sensor");
  const view = made("div", undefined, "view");
  const picture = made("img");
  picture.alt = `what ${modality} sees`;
  const caption = made("figcaption");
  const head = made("div", undefined, "caption");
  const verdict = made("span", "", "verdict");
  const reason = made("p", "", "reason");
  head.append(made("span", modality.toUpperCase(), "name"), verdict);
  caption.append(head, reason);
  figure.append(view, caption);
  find("sensors").append(figure);
  const boxes = made("div", undefined, "boxes");
  const found = { figure, view, picture, boxes, verdict, reason };
  cards.set(modality, found);
  return found;
}

// The same hue for a track in every picture, whatever its id.
function hue(id) {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return `hsl(${sum} 90% 60%)`;
}

// The layer lies on the picture, which is as large as it can be within the view.
function showBoxes(view, layer, picture, found) {
  const scale = Math.min(
    view.clientWidth / picture.naturalWidth,
    view.clientHeight / picture.naturalHeight,
  );
  const width = picture.naturalWidth * scale;
  const height = picture.naturalHeight * scale;
  layer.style.width = `${width}px`;
  layer.style.height = `${height}px`;
  layer.replaceChildren(
    ...found.map((each) => {
      const box = made("div", undefined, "box");
      box.style.left = `${100 * each.left}%`;
      box.style.top = `${100 * each.top}%`;
      box.style.width = `${100 * (each.right - each.left)}%`;
      box.style.height = `${100 * (each.bottom - each.top)}%`;
      box.style.borderColor = hue(each.track);
      const who = made("span", each.who || "?");
      who.style.background = hue(each.track);
      box.append(who);
      return box;
    }),
  );
}

function showPerson(person) {
  const figure = made("figure", undefined, "person");
  const picture = made("img");
  picture.alt = "";
  picture.src = `person/${person.number}.jpg`;
  const head = person.head && `${person.head}, `;
  figure.append(picture, made("figcaption", person.name), made("p", `${head}${clock(person.time)}`));
  return figure;
}

// Pictures that stay are not loaded again.
let peopleShown = "";

function showPeople(people) {
  at("people").hidden = people === null;
  const now = JSON.stringify(people);
  if (now === peopleShown) return;
  peopleShown = now;
  const figures = (people ?? []).map(showPerson);
  at("strip").replaceChildren(...(figures.length ? figures : [made("p", "nobody yet", "reason")]));
}

function showSensor(head, name, sensor, time) {
  const { figure, view, picture, verdict, reason } = card(head, sensor.modality);
  figure.classList.toggle("bad", sensor.fault !== null);
  verdict.textContent = sensor.fault === null ? "healthy" : sensor.fault;
  reason.textContent = sensor.reason;
  if (!sensor.pictured) {
    view.replaceChildren("no picture");
    return;
  }
  const { boxes } = card(head, sensor.modality);
  const next = new Image();
  next.onload = () => {
    picture.src = next.src;
    if (picture.parentNode !== view) view.replaceChildren(picture, boxes);
    showBoxes(view, boxes, next, sensor.boxes);
  };
  next.src = `${name && `${encodeURIComponent(name)}/`}${sensor.modality}.jpg?${time}`;
}

function showHead(shown, time) {
  const head = part(shown.name);
  const { section, find } = head;
  section.classList.toggle("bad", shown.lost !== "");
  section.ariaLabel = shown.name || "Head";
  find("title").textContent = shown.name;
  find("title").hidden = shown.name === "";
  find("lost").textContent = shown.lost;
  find("lost").hidden = shown.lost === "";
  find("sensors").hidden = shown.sensors.length === 0;
  for (const sensor of shown.sensors) showSensor(head, shown.name, sensor, time);
  find("state").textContent = stateOf(shown);
  find("state").classList.toggle("none", shown.state === null);
  const count = shown.plan.length;
  find("engines").textContent = count ? `${count} engines, in their order` : "nothing runs";
  find("plan").replaceChildren(...shown.plan.map(showEngine));
  find("following").hidden = shown.tracks === null;
  find("followed").textContent = shown.tracks === null ? "" : number(shown.tracks.length);
  find("tracks").replaceChildren(...(shown.tracks ?? []).map(showTrack));
}

function stateOf(head) {
  return head.lost ? "lost" : head.state ?? "nothing healthy";
}

function showMatch(match) {
  const row = made("tr");
  row.append(
    made("td", clock(match.time)),
    made("td", match.head, "headed"),
    made("td", match.identity, "who"),
    made("td", match.state),
    made("td", match.score.toFixed(2), "number score"),
    made("td", rate(match.rate), "number"),
  );
  return row;
}

function showTrack(track) {
  const row = made("tr");
  row.append(
    made("td", track.identity ?? track.person ?? track.id, "who"),
    made("td", track.state),
    made("td", track.seconds.toFixed(1), "number"),
    made("td", number(track.embedded), "number"),
  );
  return row;
}

function nobody() {
  const row = made("tr");
  const cell = made("td", "nobody yet", "reason");
  cell.colSpan = 6;
  row.append(cell);
  return row;
}

function showEngine([name, precision]) {
  const item = made("li", name, name.split("_")[0]);
  item.append(made("span", precision));
  return item;
}

function show(snapshot) {
  const named = snapshot.heads.some((head) => head.name !== "");
  const states = snapshot.heads.map((head) => `${head.name} ${stateOf(head)}`.trim());
  document.title = `${snapshot.node}: ${states.join(", ")}`;
  document.querySelector("main").classList.toggle("several", named);
  at("node").textContent = snapshot.node;
  at("runs").textContent = [snapshot.bundle, snapshot.backend].filter(Boolean).join(" on ");
  at("troubles").replaceChildren(...snapshot.troubles.map((trouble) => made("li", trouble)));
  at("troubles").hidden = snapshot.troubles.length === 0;
  for (const head of snapshot.heads) showHead(head, snapshot.time);
  at("p50").textContent = milliseconds(snapshot.latency.p50);
  at("p99").textContent = milliseconds(snapshot.latency.p99);
  showPeople(snapshot.people);
  const matches = snapshot.matches.map(showMatch);
  at("matches").replaceChildren(...(matches.length ? matches : [nobody()]));
  at("counters").replaceChildren(
    ...snapshot.counters.flatMap(([name, value]) => [made("dt", name), made("dd", number(value))]),
  );
  document.querySelector("main").hidden = false;
}

function tell(text, old) {
  at("fresh").textContent = text;
  at("fresh").classList.toggle("old", old);
}

async function refresh() {
  try {
    const answer = await fetch("snapshot", { signal: AbortSignal.timeout(5 * PERIOD) });
    const snapshot = await answer.json();
    if (snapshot === null) {
      tell("the node has not begun", false);
    } else {
      show(snapshot);
      const old = snapshot.age > OLD;
      tell(old ? `no news for ${Math.round(snapshot.age)} s` : clock(snapshot.time), old);
    }
  } catch {
    tell("the node does not answer", true);
  }
}

async function run() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((done) => setTimeout(done, PERIOD));
  }
}

run();
