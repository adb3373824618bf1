// Keeps an open page up to date: one stream says that something moved, the page then
// fetches its body again with an ETag. Polling stands in while the stream is away.
import htmx from "htmx.org";
import { announce } from "./announce.js";
import { notice, show } from "./changes.js";

const SHORTEST_GAP_MS = 250; // at most four refetches a second; the first signal goes at once
const POLL_MS = 10_000;
const SILENCE_MS = 40_000; // heartbeats come every 15 s
const HIDDEN_MS = 60_000; // a hidden page lets go of its stream
const MOST_TRIES = 40; // ten seconds: another process may answer than the one that told, a moment behind it

const page = () => document.getElementById("page");
const streamUrl = document.body.dataset.live;

let stream = null;
let heardAt = 0;
let fetchedAt = -Infinity;
let timer = 0;
let hiddenTimer = 0;
let inFlight = false;
let again = false;
let wanted = 0;
let tries = 0;

export function startLive() {
  if (!streamUrl || !page()) return;
  connect();
  setInterval(watch, POLL_MS);
  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("online", catchUp);
  addEventListener("offline", showState);
  addEventListener("pageshow", (event) => event.persisted && catchUp());
  // A stream left open would keep the browser from going back to this page at once.
  addEventListener("pagehide", disconnect);
}

function connect() {
  disconnect();
  stream = new EventSource(streamUrl);
  heardAt = performance.now();
  // What moved between rendering the page and opening the stream is caught up with here.
  stream.addEventListener("hello", () => heard(request));
  stream.addEventListener("heartbeat", () => heard());
  stream.addEventListener("moved", (event) => heard(() => {
    const { next_offset: offset } = JSON.parse(event.data);
    const known = Number(page().dataset.watermark);
    if (known && offset <= known) return;
    wanted = Math.max(wanted, offset);
    tries = 0;
    request();
  }));
  stream.addEventListener("error", showState);
}

function disconnect() {
  stream?.close();
  stream = null;
}

function heard(then) {
  heardAt = performance.now();
  showState();
  then?.();
}

const isLive = () => stream?.readyState === EventSource.OPEN && performance.now() - heardAt < SILENCE_MS && navigator.onLine;

/** Every ten seconds: a broken stream is opened again, and meanwhile the page is polled; some pages always are. */
function watch() {
  if (document.hidden) return;
  if (isLive()) {
    if ("polls" in page().dataset) request();
    return;
  }
  showState();
  if (stream?.readyState !== EventSource.CONNECTING || performance.now() - heardAt >= SILENCE_MS) connect();
  request();
}

function onVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(disconnect, HIDDEN_MS);
  else if (!isLive()) catchUp();
}

/** After sleep or network loss. */
function catchUp() {
  connect();
  request();
}

function request() {
  if (inFlight) {
    again = true;
    return;
  }
  if (timer) return;
  const wait = fetchedAt + SHORTEST_GAP_MS - performance.now();
  if (wait <= 0) refetch();
  else timer = setTimeout(() => { timer = 0; refetch(); }, wait);
}

async function refetch() {
  inFlight = true;
  again = false;
  fetchedAt = performance.now();
  const { refresh: url, etag } = page().dataset;
  try {
    const response = await fetch(url, { headers: { "If-None-Match": etag, "HX-Request": "true" }, cache: "no-store" });
    if (response.status === 401) location.reload();
    if (response.ok) await replace(url, await response.text());
  } catch {
    showState(); // the network is away; the next signal or poll tries again
  } finally {
    inFlight = false;
    if (again || isBehind()) request();
  }
}

/** What was told of is not on the page yet. */
function isBehind() {
  const known = Number(page().dataset.watermark);
  if (!known || known >= wanted) return false;
  tries += 1;
  return tries <= MOST_TRIES;
}

async function replace(url, text) {
  const target = page();
  // Filters were changed meanwhile: this answer is for a view that is gone.
  if (target.dataset.refresh !== url) return;
  const before = notice();
  await htmx.swap({ text, target, sourceElement: target, swap: "outerMorph" });
  announce(show(before));
  showState();
}

function showState() {
  const dot = document.getElementById("live-dot");
  const words = document.getElementById("live-text");
  if (!dot || !words) return;
  const asOf = page()?.dataset.asOf;
  const state = isLive() ? "live" : "still";
  const text = state === "live" ? "Live" : asOf ? `As of ${asOf}` : "As loaded";
  if (dot.dataset.state !== state) dot.dataset.state = state;
  if (words.textContent !== text) words.textContent = text;
}
