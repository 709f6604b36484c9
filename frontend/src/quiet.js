// What a page asks for by itself while it is seen (a badge, a list that waits) is nobody's work: the session counts it
// as none (header x-quiet), the idle clock of the page neither, and a page that nobody sees does not ask at all.
//
// Some ask once for a page, others every fifteen seconds: what gets no answer (a connection that broke, a server that
// is being restarted, an answer that never comes and would hold up all later ones) is asked for again soon.

import htmx from "htmx.org";

const ANSWER_MILLISECONDS = 10_000;
const AGAIN_MILLISECONDS = 3000;

export function quiet(event) {
  return event.detail.elt.matches("[data-quiet]");
}

export function listenQuietly() {
  document.body.addEventListener("htmx:configRequest", (event) => {
    if (!quiet(event)) return;
    event.detail.headers["x-quiet"] = "1";
    event.detail.timeout = ANSWER_MILLISECONDS;
  });
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (quiet(event) && document.hidden) event.preventDefault();
  });
  for (const lost of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) document.body.addEventListener(lost, again);
}

const waiting = new WeakSet();

function again(event) {
  const { elt, xhr } = event.detail;
  if (!quiet(event) || waiting.has(elt) || (xhr.status >= 400 && xhr.status < 500)) return;
  waiting.add(elt);
  setTimeout(() => {
    waiting.delete(elt);
    if (elt.isConnected) htmx.ajax("GET", elt.getAttribute("hx-get"), { source: elt });
  }, AGAIN_MILLISECONDS);
}
