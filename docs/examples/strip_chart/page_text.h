#pragma once

// The page: it asks for updates first and for the history then, so that nothing is lost between the two.

#include <string_view>

namespace strip_chart {

inline constexpr std::string_view kPage = R"page(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Strip chart</title>
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<style>
  body { font: 14px system-ui, sans-serif; margin: 1em 2em; background: #fbfbf8; color: #222 }
  h1 { font-size: 1.2em } h2 { font-size: 1em; margin: 1em 0 0.2em; font-weight: 600 }
  h2 output { font-variant-numeric: tabular-nums; color: #0b5; margin-left: 0.6em }
  svg { width: 100%; height: 180px; background: #fff; border: 1px solid #ccc; display: block }
  polyline { fill: none; stroke: #06c; stroke-width: 1.5; vector-effect: non-scaling-stroke }
  line { stroke: #e4e4e0; vector-effect: non-scaling-stroke }
  .scale { display: flex; justify-content: space-between; color: #777; font-size: 12px }
  #state { color: #777 }
</style></head><body>
<h1>Strip chart <span id="state">connecting</span></h1>
<main></main>
<script>
"use strict";
const main = document.querySelector("main"), state = document.getElementById("state");
const kWidth = 1000, kHeight = 180;
const board = {window: 60, strips: [], profile: null, updates: 0};
window.board = board;
let early = [];  // updates that come before the history

function element(name, parent, attributes = {}) {
  const made = name === "svg" || parent.namespaceURI.endsWith("/svg") ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function chart(title) {
  const head = element("h2", main);
  head.append(title);
  const made = {output: element("output", head)};
  const svg = element("svg", main, {viewBox: `0 0 ${kWidth} ${kHeight}`, preserveAspectRatio: "none", role: "img"});
  element("title", svg).textContent = title;
  for (let y = 1; y < 4; ++y) element("line", svg, {x1: 0, x2: kWidth, y1: y * kHeight / 4, y2: y * kHeight / 4});
  made.line = element("polyline", svg);
  const scale = element("div", main, {class: "scale"});
  made.least = element("span", scale);
  made.greatest = element("span", scale);
  return made;
}

function range(values) {
  let least = Infinity, greatest = -Infinity;
  for (const value of values) {
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  const margin = greatest > least ? (greatest - least) * 0.05 : Math.abs(least) * 0.01 || 1e-9;
  return [least - margin, greatest + margin];
}

function scaled(its, values) {
  const [least, greatest] = range(values);
  its.least.textContent = "from " + least.toPrecision(5);
  its.greatest.textContent = "to " + greatest.toPrecision(5);
  return value => (kHeight * (greatest - value) / (greatest - least)).toFixed(1);
}

function drawStrip(strip, now) {
  const begin = now - board.window;
  while (strip.points.length > 1 && strip.points[1][0] <= begin) strip.points.shift();
  const shown = strip.points.filter(point => point[1] !== null);
  if (!shown.length) return;
  const y = scaled(strip.chart, shown.map(point => point[1]));
  const x = at => (kWidth * Math.max(at - begin, 0) / board.window).toFixed(1);
  const places = [];
  let before = null;
  for (const [at, value] of shown) {
    if (before !== null) places.push(`${x(at)},${before}`);  // a value holds until the next
    before = y(value);
    places.push(`${x(at)},${before}`);
  }
  places.push(`${kWidth},${before}`);
  strip.chart.line.setAttribute("points", places.join(" "));
  strip.chart.output.textContent = shown[shown.length - 1][1].toPrecision(6);
}

function drawProfile(profile) {
  const values = profile.values.filter(value => value !== null);
  if (!values.length) return;
  const y = scaled(profile.chart, values);
  const places = [];
  profile.values.forEach((value, i) => {
    if (value !== null) places.push(`${(kWidth * (i + 0.5) / profile.values.length).toFixed(1)},${y(value)}`);
  });
  profile.chart.line.setAttribute("points", places.join(" "));
}

function draw() {
  if (!board.newest) return requestAnimationFrame(draw);
  const now = board.newest + (performance.now() - board.newestCame) / 1000;
  board.strips.forEach(strip => drawStrip(strip, now));
  if (board.profile) drawProfile(board.profile);
  requestAnimationFrame(draw);
}

function take(update) {
  for (const [i, at, value] of update.strips) {
    const points = board.strips[i].points;
    const last = points.length ? points[points.length - 1][0] : at - 1;
    if (at <= last && at > last - 1) continue;  // the history has it
    if (at <= last) {  // a clock was set back
      points.length = 0;
      board.newest = at;
    }
    points.push([at, value]);
    if (points.length > 20000) points.splice(0, points.length - 10000);  // nothing is drawn in a hidden page
    board.newest = Math.max(board.newest || 0, at);
    board.newestCame = performance.now();
  }
  if (board.profile) for (const [i, value] of update.profile) board.profile.values[i] = value;
  ++board.updates;
}

async function begin() {
  const history = await (await fetch("history")).json();
  board.window = history.window;
  for (const {name, points} of history.strips) {
    board.strips.push({points, chart: chart(name)});
    if (points.length) board.newest = Math.max(board.newest || 0, points[points.length - 1][0]);
  }
  board.newestCame = performance.now();
  if (history.profile.length) {
    board.profile = {values: history.profile.map(one => one.value), chart: chart(`${history.profile.length} values, from ${history.profile[0].name}`)};
    board.newest = board.newest || Date.now() / 1000;
  }
  early.forEach(take);
  early = null;
  requestAnimationFrame(draw);
}

const updates = new WebSocket(`ws://${location.host}/updates`);
updates.onopen = () => { state.textContent = ""; begin().catch(problem => { state.textContent = String(problem); early = []; updates.close(); }); };
updates.onmessage = message => early ? early.push(JSON.parse(message.data)) : take(JSON.parse(message.data));
updates.onclose = () => { state.textContent = "the program has ended; reload when it runs again"; };
</script></body></html>
)page";

}  // namespace strip_chart
