// Shows this page to whoever its person let in: what is seen, without scripts and passwords, as often as it changes. Only while a
// red line says so on the page. The other side (watch) draws it where nothing can be pressed.

const PAUSE_MILLISECONDS = 300;
const LOOK_MILLISECONDS = 500;
const PROGRAM_MILLISECONDS = 800; // between two pictures of a program's screen, which changes without this page's knowing

// --- the person who is seen

/** Of a program's page only its name goes: the session looks at the program's screen itself. */
function ofProgram(program) {
  return { html: "", title: document.title.split(" · ")[0], path: location.pathname, program };
}

function picture() {
  const copy = document.querySelector("main").cloneNode(true);
  const now = document.querySelectorAll("main input, main textarea, main select");
  copy.querySelectorAll("input, textarea, select").forEach((field, index) => {
    const source = now[index];
    if (field.type === "password") field.setAttribute("value", "•".repeat(Math.min(8, source.value.length)));
    else if (field.localName === "textarea") field.textContent = source.value;
    else if (field.localName === "select") [...field.options].forEach((option, at) => option.toggleAttribute("selected", source.options[at]?.selected));
    else if (field.type === "checkbox" || field.type === "radio") field.toggleAttribute("checked", source.checked);
    else if (field.type !== "hidden") field.setAttribute("value", source.value);
  });
  for (const element of copy.querySelectorAll("script, template, style, link, [type=hidden]")) element.remove();
  return { html: copy.innerHTML, title: document.title.split(" · ")[0], path: location.pathname, width: innerWidth, scroll: Math.round(scrollY) };
}

function show() {
  const { program } = document.body.dataset;
  let timer = 0;
  let last = "";
  const send = async () => {
    timer = 0;
    if (document.hidden || !document.querySelector("[data-watched]")) return;
    if (program) timer = setTimeout(send, PROGRAM_MILLISECONDS);
    const now = JSON.stringify(program ? ofProgram(program) : picture());
    if (now === last && !program) return;
    last = now;
    try {
      const response = await fetch("/shadow/frame", { method: "POST", headers: { "content-type": "application/json", accept: "application/json", "x-quiet": "1" }, body: now, credentials: "same-origin", redirect: "manual" });
      const said = response.ok ? await response.json() : { watchers: [] };
      if (!said.watchers.length) document.body.dispatchEvent(new CustomEvent("look-shadow"));
    } catch {
      last = ""; // the next change tries again
    }
  };
  const soon = () => (timer ||= setTimeout(send, PAUSE_MILLISECONDS));
  for (const kind of ["input", "change", "scroll", "click", "visibilitychange"]) document.addEventListener(kind, soon, { passive: true, capture: true });
  new MutationObserver(soon).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  soon();
}

// --- the person who looks

const KEPT = /^(class|type|value|checked|selected|disabled|rows|cols|colspan|rowspan|viewBox|d|x|y|x1|x2|y1|y2|cx|cy|r|points|width|height|text-anchor|role|title|alt|hidden|placeholder|scope|lang|open|aria-.*)$/;

/** Nothing of another's page may act in this one: elements that load or run are dropped, and of attributes only what draws stays. */
function harmless(html) {
  const body = new DOMParser().parseFromString(html, "text/html").body;
  for (const element of body.querySelectorAll("script, style, link, meta, base, iframe, object, embed, template, audio, video, img, form[action]")) {
    if (element.localName === "form") element.removeAttribute("action");
    else element.remove();
  }
  for (const element of body.querySelectorAll("*")) for (const { name } of [...element.attributes]) if (!KEPT.test(name)) element.removeAttribute(name);
  return [...body.childNodes];
}

/** The screen of a program, as one picture. */
async function drawn({ image, title }) {
  const picture = new Image(Number(image.width), Number(image.height));
  picture.alt = title;
  picture.className = "shadow-picture";
  picture.src = `data:image/png;base64,${String(image.png).replace(/[^A-Za-z0-9+/=]/g, "")}`;
  await picture.decode().catch(() => undefined);
  return picture;
}

function watch(screen) {
  const state = document.getElementById("shadow-state");
  const root = screen.attachShadow({ mode: "closed" });
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = screen.dataset.css;
  const page = document.createElement("div");
  page.className = "page";
  root.append(style, page);
  let after = 0;
  const look = async () => {
    let said = null;
    try {
      const response = await fetch(`/shadow/${encodeURIComponent(screen.dataset.shadow)}/look?after=${after}`, { headers: { accept: "application/json" }, credentials: "same-origin", redirect: "manual" });
      said = response.ok ? await response.json() : { state: "ended" };
    } catch {
      // The network is away for a moment.
    }
    if (said?.state === "ended" || said?.state === "refused") {
      page.replaceChildren();
      screen.hidden = true;
      state.textContent = screen.dataset[said.state];
      return;
    }
    if (said?.state === "shown") {
      state.textContent = screen.dataset.shown;
      document.getElementById("shadow-name").textContent = said.name;
    }
    if (said?.picture) {
      after = said.seq;
      page.replaceChildren(...(said.picture.image ? [await drawn(said.picture)] : harmless(said.picture.html)));
      screen.hidden = false;
      screen.scrollTop = said.picture.scroll ?? 0;
    }
    setTimeout(look, LOOK_MILLISECONDS);
  };
  look();
}

export function mirror() {
  const screen = document.getElementById("shadow-screen");
  if (screen) watch(screen);
  document.body.addEventListener("htmx:afterSwap", start);
}

let begun = false;
function start() {
  if (begun || !document.querySelector("[data-watched]")) return;
  begun = true;
  show();
}
