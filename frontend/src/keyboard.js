// Keys for people who do not reach for the mouse; every key is listed by `?`, from the same table as here.
//
// A list is anything with data-list; its rows have data-row and contain the link that Enter opens.
// An element with data-key="n" is what the key n presses.

const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

function rows() {
  return [...document.querySelectorAll("[data-list] [data-row]")].filter((row) => row.offsetParent !== null);
}

function move(step) {
  const all = rows();
  if (all.length === 0) return;
  const here = all.findIndex((row) => row.contains(document.activeElement));
  const there = here < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + step));
  const link = all[there].querySelector("a, button");
  link?.focus();
  all[there].scrollIntoView({ block: "nearest" });
}

function press(key) {
  const found = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find((item) => item.offsetParent !== null);
  if (!found) return false;
  if (found.matches("input, select, textarea")) {
    found.focus();
    found.select?.();
  } else {
    found.click();
  }
  return true;
}

export function listen() {
  const help = document.getElementById("shortcuts");
  document.querySelector("[data-open-shortcuts]")?.addEventListener("click", () => help?.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && typing(event.target)) {
      event.preventDefault(); // a search field would empty itself, and the list under it would not know
      event.target.blur();
      return;
    }
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "?") help?.showModal();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (!press(event.key)) return;
    event.preventDefault();
  });
}
