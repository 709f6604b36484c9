// A page that was asked for without a proof (a bookmark, a reload past the worker) comes here, and goes on from here, proven.
// Where to stands in the fragment, which never leaves the browser. Without the key, or in a circle, the way leads to the sign-in.

import { worker } from "./bound.js";
import { kept } from "./proof.js";

const CIRCLE_MILLISECONDS = 3000;

function wanted() {
  const asked = location.hash.slice(1);
  return /^\/(?![/\\])/.test(asked) && !asked.startsWith("/login") ? asked : "/";
}

async function onward() {
  const next = wanted();
  const last = Number(sessionStorage.getItem("proved") || 0);
  sessionStorage.setItem("proved", String(Date.now()));
  if (Date.now() - last < CIRCLE_MILLISECONDS || !(await kept("key"))) throw new Error("no key");
  await worker();
  return next;
}

onward().then(
  (next) => location.replace(next),
  () => location.replace(`/login?next=${encodeURIComponent(wanted().split("?")[0])}`),
);
