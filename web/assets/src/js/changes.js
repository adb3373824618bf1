// What a refetched body changed: figures tick, new rows slide in, and what somebody is
// reading stays where it is.

const rows = () => document.querySelectorAll("[data-purchase][id]");
const ticking = () => document.querySelectorAll("[data-tick]");
const keyOf = (element) => element.id || element.closest("[id]")?.id;

let unseen = 0;

/** Remembers what is on the page before it is replaced. */
export function notice() {
  const feed = document.getElementById("feed");
  return {
    rows: new Set([...rows()].map((row) => row.id)),
    numbers: new Map([...ticking()].map((element) => [keyOf(element), element.textContent])),
    reading: feed && (feed.matches(":hover, :focus-within") || feed.scrollTop > 4),
    anchors: feed ? positions(feed) : new Map(),
  };
}

/** Where each row stands inside the visible part of the feed, from the first visible one on. */
function positions(feed) {
  const visible = [...feed.children].filter((row) => row.offsetTop + row.offsetHeight > feed.scrollTop);
  return new Map(visible.map((row) => [row.id, row.offsetTop - feed.scrollTop]));
}

/** Shows the difference, and tells what is new for the announcement. */
export function show(before) {
  const added = [...rows()].filter((row) => !before.rows.has(row.id));
  const changed = [...ticking()].filter((element) => before.numbers.has(keyOf(element)) && before.numbers.get(keyOf(element)) !== element.textContent);
  for (const element of changed) restart(element, "is-ticking");
  const inFeed = added.filter((row) => row.closest("#feed"));
  const feed = document.getElementById("feed");
  if (before.reading && feed) hold(feed, before, inFeed.length);
  else for (const row of added) restart(row, "is-new");
  document.dispatchEvent(new CustomEvent("page:changed"));
  return { added, changed };
}

/** Keeps the rows being read in place; a button tells that there is more above. */
function hold(feed, before, count) {
  const anchor = [...before.anchors].find(([id]) => document.getElementById(id));
  if (anchor) feed.scrollTop = document.getElementById(anchor[0]).offsetTop - anchor[1];
  unseen += count;
  const button = document.getElementById("feed-new");
  if (!button || unseen === 0) return;
  button.textContent = `${unseen} new`;
  button.hidden = false;
  button.onclick = () => release(feed, button);
  feed.onscroll = () => feed.scrollTop < 4 && release(feed, button);
}

function release(feed, button) {
  unseen = 0;
  button.hidden = true;
  feed.onscroll = null;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  feed.scrollTo({ top: 0, behavior: calm ? "auto" : "smooth" });
}

function restart(element, name) {
  element.classList.remove(name);
  void element.offsetWidth; // starts the animation again
  element.classList.add(name);
  element.addEventListener("animationend", () => element.classList.remove(name), { once: true });
}
