// Every page after sign-in: htmx, keys, the idle lock. No script of a page's own; everything else is drawn by the session.

import "./unaided.js";
import "./htmx.js";
import { watchCard } from "./card-watch.js";
import { leave } from "./cover.js";
import { keepAll, keepDrafts } from "./drafts.js";
import { watch } from "./idle.js";
import { listen } from "./keyboard.js";
import { live, quit } from "./live.js";
import { mirror } from "./mirror.js";
import { listenQuietly } from "./quiet.js";

// A locked or ended session answers 401 or 421: the whole page goes to the sign-in, not a piece of it.
document.body.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status === 401 || status === 421) leave();
});
// Lock and sign out are forms (they work without this script); with it, the answer's JSON is not shown as a page.
for (const form of document.querySelectorAll("form[data-then]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await keepAll();
      quit();
      await fetch(form.action, { method: "POST", headers: { accept: "application/json" }, credentials: "same-origin", redirect: "manual" });
    } finally {
      location.replace(form.dataset.then);
    }
  });
}
// A form that is being sent is not sent twice.
for (const form of document.querySelectorAll("form[method=post]:not([data-then])")) {
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("button[type=submit]")) setTimeout(() => (button.disabled = true));
  });
}
// A chosen code fills in its unit and range text.
for (const select of document.querySelectorAll("select[data-unit-of]")) {
  const fill = () => {
    const chosen = select.selectedOptions[0];
    for (const place of document.querySelectorAll(`[data-shows="${select.id}"]`)) place.textContent = chosen?.dataset[place.dataset.field] ?? "";
    for (const place of document.querySelectorAll(`[data-only="${select.id}"]`)) place.hidden = !place.dataset.codes.split(" ").includes(select.value);
  };
  select.addEventListener("change", fill);
  fill();
}
sessionStorage.removeItem("proved"); // a page is shown, so the way here was no circle (prove.js)
keepDrafts();
mirror();
live();
listen();
listenQuietly();
watch();
watchCard();
