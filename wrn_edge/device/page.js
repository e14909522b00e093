"use strict";
// The newest result is shown until one is tapped; "Back to the newest" follows again.

const $ = id => document.getElementById(id);
let state = { rows: [], counts: {} }, chosen = null, wantsMap = false, lastText = "";

const percent = value => (100 * value).toFixed(1) + " %";

function kind(row) {
  if (row.status !== "classified") return "flagged";
  if (state.positive === null) return "";
  return row.label === state.positive ? "positive" : "negative";
}

function words(row) {
  return row.status === "classified" ? `${row.label} ${percent(row.probability)}` : row.status;
}

function draw() {
  const row = state.rows.find(each => each.id === chosen) || state.rows[0];
  $("notice").textContent = `Model ${state.model}. ${state.notice}`;
  $("synthetic").hidden = !state.synthetic;
  $("synthetic").textContent = state.synthetic;
  $("counts").textContent = Object.entries(state.counts).map(([k, n]) => `${n} ${k}`).join(", ");
  $("newest").hidden = chosen === null;
  if (row) drawRow(row);
  drawList(row);
}

function drawRow(row) {
  const hasMap = row.images.includes("map"), hasPicture = row.images.includes("picture");
  const source = `/${wantsMap && hasMap ? "map" : "picture"}/${row.id}`;
  if (hasPicture && $("picture").getAttribute("src") !== source) $("picture").src = source;
  $("picture").hidden = !hasPicture;
  $("picture").alt = `${row.name}: ${words(row)}`;
  $("empty").hidden = hasPicture;
  $("empty").textContent = row.status === "unusable"
    ? "This file has no picture to show" : "Pictures of an earlier start are not kept";
  $("name").textContent = `${row.name}, ${row.time.slice(0, 19).replace("T", " ")}`;
  $("map").hidden = !hasMap;
  $("map").setAttribute("aria-pressed", wantsMap);
  $("result").className = kind(row);
  $("label").textContent = row.status === "classified" ? row.label : row.status;
  $("detail").textContent =
    row.status === "classified" ? `probability ${percent(row.probability)}` : row.reason;
  $("bars").replaceChildren();
  if (row.status === "classified" && row.reason) $("detail").textContent += `; ${row.reason}`;
  for (const name of row.status === "classified" ? state.classes : []) {
    const bar = document.createElement("div"), value = row.probabilities[name];
    const meter = document.createElement("progress");
    bar.className = "bar";
    meter.max = 1;
    meter.value = value;
    meter.setAttribute("aria-label", name);
    bar.append(text("span", name), meter, text("span", percent(value)));
    $("bars").append(bar);
  }
}

function drawList(shown) {
  $("list").replaceChildren(...state.rows.map(row => {
    const item = document.createElement("li"), button = document.createElement("button");
    const what = text("span", words(row), `what ${kind(row)}`);
    button.type = "button";
    button.setAttribute("aria-current", shown && row.id === shown.id);
    button.append(text("span", row.name, "name"), what);
    button.addEventListener("click", () => { chosen = row.id; draw(); });
    item.append(button);
    return item;
  }));
}

function text(tag, content, className = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  element.className = className;
  return element;
}

async function refresh() {
  try {
    const answer = await fetch("/state.json");
    const content = await answer.text();
    $("connection").textContent = "";
    if (content !== lastText) {
      lastText = content;
      state = JSON.parse(content);
      draw();
    }
  } catch {
    $("connection").textContent = "The program is not answering.";
  }
  setTimeout(refresh, 1000);
}

$("map").addEventListener("click", () => { wantsMap = !wantsMap; draw(); });
$("newest").addEventListener("click", () => { chosen = null; draw(); });
refresh();
