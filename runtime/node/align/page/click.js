// Two frames, pairs of points, and what the command makes of them. The token is behind the # of the
// address of the page, and at the beginning of the path of all that is asked for.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = "rgb"; // where homographies start

const token = location.hash.slice(1);
const at = (id) => document.getElementById(id);

let sizes = {}; // of frames, by modality
let points = []; // {rgb: [x, y], tir: [x, y]}, the last perhaps of one frame alone
let found = new Map(); // by number of a pair, of the last check

async function ask(path, method = "GET", body = undefined) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await fetch(`${encodeURIComponent(token) || "none"}/${path}`, { method, headers, body });
  if (answer.status === 403) throw new Error("open the address that the command printed, as a whole");
  return answer;
}

function tell(text, bad = false) {
  at("told").textContent = text;
  at("told").classList.toggle("bad", bad);
}

async function picture(modality, view) {
  const answer = await ask(`${modality}.jpg`);
  const image = new Image();
  image.src = URL.createObjectURL(await answer.blob());
  await image.decode();
  URL.revokeObjectURL(image.src);
  image.draggable = false;
  const marks = document.createElementNS(SVG, "svg");
  const [width, height] = sizes[modality];
  marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
  marks.setAttribute("preserveAspectRatio", "none");
  view.replaceChildren(image, marks);
}

const camera = () => at("camera").value;

function click(event, modality) {
  const view = event.currentTarget;
  const box = view.getBoundingClientRect();
  const [width, height] = sizes[modality];
  const place = [
    Math.min(Math.max(((event.clientX - box.left) / box.width) * width, 0), width),
    Math.min(Math.max(((event.clientY - box.top) / box.height) * height, 0), height),
  ];
  const last = points[points.length - 1];
  const other = modality === LEFT ? camera() : LEFT;
  if (last !== undefined && Object.keys(last).length === 1 && (last[other] || last[modality])) {
    last[modality] = place; // of the other frame, or once more
  } else {
    points.push({ [modality]: place });
  }
  found = new Map();
  show();
}

function shown(place) {
  return place === undefined ? "–" : place.map((value) => value.toFixed(1)).join(" ");
}

function mark(view, modality, radius) {
  const marks = view.querySelector("svg");
  marks.replaceChildren();
  points.forEach((point, index) => {
    const place = point[modality];
    if (place === undefined) return;
    const ring = document.createElementNS(SVG, "circle");
    ring.setAttribute("cx", place[0]);
    ring.setAttribute("cy", place[1]);
    ring.setAttribute("r", radius);
    const checked = found.get(index + 1);
    ring.setAttribute("class", "mark");
    if (Object.keys(point).length === 1) ring.classList.add("alone");
    if (checked !== undefined && !checked.used) ring.classList.add("out");
    marks.append(ring);
  });
}

function show() {
  mark(at("left"), LEFT, sizes[LEFT][0] / 100);
  mark(at("right"), camera(), sizes[camera()][0] / 100);
  at("pairs").replaceChildren(
    ...points.map((point, index) => {
      const row = document.createElement("tr");
      const other = Object.keys(point).find((name) => name !== LEFT) ?? camera();
      const checked = found.get(index + 1);
      const off = checked === undefined || checked.off === null ? "" : checked.off.toFixed(2);
      row.classList.toggle("out", checked !== undefined && !checked.used);
      for (const text of [index + 1, shown(point[LEFT]), `${other} ${shown(point[other])}`, off]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      const remove = document.createElement("button");
      remove.textContent = "Remove";
      remove.addEventListener("click", () => {
        points.splice(index, 1);
        found = new Map();
        show();
      });
      const cell = document.createElement("td");
      cell.append(remove);
      row.append(cell);
      return row;
    }),
  );
}

const whole = () => points.filter((point) => Object.keys(point).length > 1);

async function send(path) {
  if (whole().length !== points.length) {
    tell("the last point has no partner in the other frame yet", true);
    return;
  }
  const cameras = new Set(points.flatMap((point) => Object.keys(point)));
  const known = Object.fromEntries(Object.entries(sizes).filter(([name]) => cameras.has(name)));
  try {
    const body = JSON.stringify({ sizes: { [LEFT]: sizes[LEFT], ...known }, points });
    const answer = await (await ask(path, "POST", body)).json();
    if (answer.error !== undefined) {
      tell(answer.error, true);
      return;
    }
    found = new Map(answer.cameras.flatMap((each) => each.points.map((p) => [p.number, p])));
    tell(answer.told.join("; "));
    show();
    if (path === "done") for (const button of document.querySelectorAll("button")) button.disabled = true;
  } catch (error) {
    tell(error.message, true);
  }
}

async function frames() {
  sizes = await (await ask("sizes")).json();
  const others = Object.keys(sizes).filter((name) => name !== LEFT);
  if (at("camera").options.length === 0) {
    at("camera").append(...others.map((name) => new Option(name.toUpperCase(), name)));
  }
  await picture(LEFT, at("left"));
  await picture(camera(), at("right"));
  document.querySelector("main").hidden = false;
  show();
}

async function begin() {
  try {
    await frames();
    tell("");
  } catch (error) {
    tell(error.message, true);
  }
}

at("left").addEventListener("click", (event) => click(event, LEFT));
at("right").addEventListener("click", (event) => click(event, camera()));
at("camera").addEventListener("change", begin);
at("check").addEventListener("click", () => send("check"));
at("done").addEventListener("click", () => send("done"));
at("next").addEventListener("click", async () => {
  const answer = await (await ask("next", "POST", "")).json();
  if (answer.error !== undefined) tell(answer.error, true);
  else await begin();
});
begin();
