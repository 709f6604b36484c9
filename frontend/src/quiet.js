// What a page asks for by itself while it is seen (a badge, a list that waits) is nobody's work: the session counts it
// as none (header x-quiet), the idle clock of the page neither, and a page that nobody sees does not ask at all.

export function quiet(event) {
  return event.detail.elt.matches("[data-quiet]");
}

export function listenQuietly() {
  document.body.addEventListener("htmx:configRequest", (event) => {
    if (quiet(event)) event.detail.headers["x-quiet"] = "1";
  });
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (quiet(event) && document.hidden) event.preventDefault();
  });
}
