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

// A card for each sensor is made once; its picture is exchanged when the next one is there, so that
// nothing flickers.
const cards = new Map();

function card(modality) {
  if (cards.has(modality)) return cards.get(modality);
  const figure = made("figure", undefined, "sensor");
  const view = made("div", undefined, "view");
  const picture = made("img");
  picture.alt = `what ${modality} sees`;
  const caption = made("figcaption");
  const head = made("div", undefined, "head");
  const verdict = made("span", "", "verdict");
  const reason = made("p", "", "reason");
  head.append(made("span", modality.toUpperCase(), "name"), verdict);
  caption.append(head, reason);
  figure.append(view, caption);
  at("sensors").append(figure);
  const parts = { figure, view, picture, verdict, reason };
  cards.set(modality, parts);
  return parts;
}

function showSensor(sensor, time) {
  const { figure, view, picture, verdict, reason } = card(sensor.modality);
  figure.classList.toggle("bad", sensor.fault !== null);
  verdict.textContent = sensor.fault === null ? "healthy" : sensor.fault;
  reason.textContent = sensor.reason;
  if (!sensor.pictured) {
    view.replaceChildren("no picture");
    return;
  }
  const next = new Image();
  next.onload = () => {
    picture.src = next.src;
    if (picture.parentNode !== view) view.replaceChildren(picture);
  };
  next.src = `${sensor.modality}.jpg?${time}`;
}

function showMatch(match) {
  const row = made("tr");
  row.append(
    made("td", clock(match.time)),
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
  cell.colSpan = 5;
  row.append(cell);
  return row;
}

function showEngine([name, precision]) {
  const item = made("li", name, name.split("_")[0]);
  item.append(made("span", precision));
  return item;
}

function show(snapshot) {
  document.title = `${snapshot.node}: ${snapshot.state ?? "nothing healthy"}`;
  at("node").textContent = snapshot.node;
  at("runs").textContent = [snapshot.bundle, snapshot.backend].filter(Boolean).join(" on ");
  at("troubles").replaceChildren(...snapshot.troubles.map((trouble) => made("li", trouble)));
  at("troubles").hidden = snapshot.troubles.length === 0;
  for (const sensor of snapshot.sensors) showSensor(sensor, snapshot.time);
  at("state").textContent = snapshot.state ?? "nothing healthy";
  at("state").classList.toggle("none", snapshot.state === null);
  at("p50").textContent = milliseconds(snapshot.latency.p50);
  at("p99").textContent = milliseconds(snapshot.latency.p99);
  const count = snapshot.plan.length;
  at("engines").textContent = count ? `${count} engines, in their order` : "nothing runs";
  at("plan").replaceChildren(...snapshot.plan.map(showEngine));
  const matches = snapshot.matches.map(showMatch);
  at("matches").replaceChildren(...(matches.length ? matches : [nobody()]));
  at("following").hidden = snapshot.tracks === null;
  at("followed").textContent = snapshot.tracks === null ? "" : number(snapshot.tracks.length);
  at("tracks").replaceChildren(...(snapshot.tracks ?? []).map(showTrack));
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
