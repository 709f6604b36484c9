// A page that was asked for without a proof (a bookmark, a reload past the worker) comes here, and goes on from here, proven.
// Where to stands in the fragment, which never leaves the browser. Without the key, or in a circle, the way leads to the sign-in.

import { worker } from "./bound.js";
import { kept } from "./proof.js";
import { pass } from "./unaided.js";

const CIRCLE_MILLISECONDS = 3000;
const CIRCLE_TIMES = 4; // somebody may press reload twice

function wanted() {
  const asked = location.hash.slice(1);
  return /^\/(?![/\\])/.test(asked) && !asked.startsWith("/login") ? asked : "/";
}

async function onward() {
  const next = wanted();
  const lately = JSON.parse(sessionStorage.getItem("proved") || "[]").filter((then) => Date.now() - then < CIRCLE_MILLISECONDS);
  sessionStorage.setItem("proved", JSON.stringify([...lately, Date.now()]));
  if (lately.length >= CIRCLE_TIMES || !(await kept("key"))) throw new Error("no key");
  if (!(await worker())) await pass("GET", next);
  return next;
}

onward().then(
  (next) => location.replace(next),
  () => location.replace(`/login?next=${encodeURIComponent(wanted().split("?")[0])}`),
);
