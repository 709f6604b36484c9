// What is typed into forms is kept as it is typed, sealed by the session to its person: a lock, a crash or another
// terminal loses at most what was typed in the last moment. This browser keeps nothing.

import { say } from "./words.js";

const PAUSE_MILLISECONDS = 700; // after the last key, and at the latest after
const LONGEST_MILLISECONDS = 3000;
const FIELDS = "input[name]:not([type=password]):not([type=hidden]):not([type=file]), textarea[name], select[name]";

// Straight from the sign-in; the address is put right again, so that a page loaded later does not think so.
const continued = location.hash === "#continue";
if (continued) history.replaceState(null, "", location.pathname + location.search);

const kept = []; // one for each form of this page

function valuesOf(form) {
  const values = {};
  for (const field of form.querySelectorAll(FIELDS)) {
    if ((field.type === "checkbox" || field.type === "radio") && !field.checked) continue;
    (values[field.name] ??= []).push(field.value);
  }
  return values;
}

function fill(form, values) {
  for (const field of form.querySelectorAll(FIELDS)) {
    const wanted = values[field.name];
    if (field.type === "checkbox" || field.type === "radio") field.checked = wanted?.includes(field.value) ?? false;
    else if (wanted) field.value = wanted[0];
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

async function call(path, body, keepalive = false) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
    credentials: "same-origin",
    redirect: "manual",
    keepalive,
  });
  if (!response.ok) throw new Error(String(response.status));
  return response.json();
}

class Draft {
  constructor(form) {
    this.form = form;
    this.page = location.pathname;
    this.path = form.hasAttribute("action") ? new URL(form.action).pathname : this.page; // where it is sent: that one form of a page
    this.usual = JSON.stringify(valuesOf(form)); // as the page came: nothing to keep
    this.sent = this.usual;
    this.timer = this.latest = 0;
    this.status = form.querySelector("[data-draft-status]");
    form.addEventListener("input", () => this.typed());
    form.addEventListener("submit", () => this.stop());
  }

  typed() {
    this.stopped = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keep(), PAUSE_MILLISECONDS);
    this.latest ||= setTimeout(() => this.keep(), LONGEST_MILLISECONDS);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.latest);
    this.latest = 0;
  }

  /** Sends what is typed, if that is new; one call at a time, so that an older text never follows a newer one. */
  async keep(leaving = false) {
    clearTimeout(this.timer);
    clearTimeout(this.latest);
    this.latest = 0;
    const now = JSON.stringify(valuesOf(this.form));
    if (this.stopped || now === this.sent) return this.going;
    if (this.going && !leaving) return this.going.then(() => this.keep());
    this.sent = now;
    const body = { form: this.path, page: this.page, title: document.title.split(" · ")[0], fields: JSON.parse(now) };
    // A browser takes at most 64 KiB in a call that outlives its page.
    this.going = call("/drafts", body, leaving && now.length < 60_000)
      .then(({ saved }) => this.say("kept", saved))
      .catch(() => {
        this.sent = ""; // the next key, or the next moment, tries again
        this.say("not-kept");
        if (!leaving) this.timer = setTimeout(() => this.keep(), 5000);
      })
      .finally(() => (this.going = undefined));
    return this.going;
  }

  say(key, saved) {
    if (!this.status) return;
    this.status.dataset.state = key;
    this.status.textContent = say(key, { time: saved ? clock(saved) : "" });
  }

  /** What was kept before: filled in when its person comes straight from the sign-in, else offered. */
  offer(draft) {
    if (JSON.stringify(draft.fields) === JSON.stringify(valuesOf(this.form))) return;
    const box = document.getElementById("draft-offer").content.cloneNode(true).firstElementChild;
    const text = box.querySelector("[data-draft-text]");
    const restore = box.querySelector("[data-draft-restore]");
    const show = () => {
      fill(this.form, draft.fields);
      this.sent = JSON.stringify(valuesOf(this.form));
      text.textContent = say("restored", { time: clock(draft.saved) });
      restore.remove();
    };
    text.textContent = say("offer", { time: clock(draft.saved) });
    restore.addEventListener("click", () => {
      show();
      this.form.querySelector("textarea, input")?.focus();
    });
    box.querySelector("[data-draft-drop]").addEventListener("click", async () => {
      this.stop();
      await call("/drafts/drop", { form: this.path }).catch(() => undefined);
      fill(this.form, JSON.parse(this.usual));
      this.sent = this.usual;
      box.remove();
    });
    this.form.before(box);
    if (continued && JSON.stringify(valuesOf(this.form)) === this.usual) show();
  }
}

function clock(moment) {
  const at = new Date(moment);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString(document.documentElement.lang, today ? { timeStyle: "short" } : { dateStyle: "short", timeStyle: "short" });
}

/** Everything that is typed and not kept yet; resolves when the session has it. */
export function keepAll(leaving = false) {
  return Promise.allSettled(kept.map((draft) => draft.keep(leaving)));
}

/** Asked once for all forms of the page. */
async function offerAll() {
  const forms = kept.map((draft) => `form=${encodeURIComponent(draft.path)}`).join("&");
  const { drafts } = await fetch(`/drafts/of?${forms}`, { headers: { accept: "application/json", "x-quiet": "1" }, credentials: "same-origin", redirect: "manual" })
    .then((response) => (response.ok ? response.json() : { drafts: [] }))
    .catch(() => ({ drafts: [] }));
  kept.forEach((draft, number) => drafts[number] && draft.offer(drafts[number]));
}

export function keepDrafts() {
  for (const form of document.querySelectorAll("form[data-draft]")) {
    kept.push(new Draft(form));
  }
  if (!kept.length) return;
  offerAll();
  addEventListener("pagehide", () => keepAll(true));
  document.addEventListener("visibilitychange", () => document.hidden && keepAll(true));
}
