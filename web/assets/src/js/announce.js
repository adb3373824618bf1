// Tells screen readers what changed, politely and at most every five seconds.

const PAUSE_MS = 5_000;

let waiting = new Set();
let timer = 0;
let saidAt = -Infinity;

/** Collects new purchases until it is time to speak. */
export function announce({ added }) {
  for (const row of added) waiting.add(row.dataset.purchase);
  if (waiting.size === 0 || timer) return;
  timer = setTimeout(say, Math.max(0, saidAt + PAUSE_MS - performance.now()));
}

function say() {
  timer = 0;
  saidAt = performance.now();
  const count = waiting.size;
  waiting = new Set();
  const who = document.querySelector("#feed .feed-who")?.textContent.trim();
  const words = count === 1 ? `New purchase${who ? `: ${who}` : ""}.` : `${count} new purchases.`;
  document.getElementById("announcer").textContent = words;
}
