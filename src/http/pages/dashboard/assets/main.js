// Which page is shown. The address after the # says it: #/sensors/3?start=… is sensor 3 from then on.

import { key, onKeyNeeded, setKey } from "./api.js";
import { announce, h, notice, setText } from "./dom.js";
import { offerZones } from "./zone.js";

const PAGES = [
  { pattern: /^$/, name: "overview", load: () => import("./overview.js") },
  { pattern: /^sensors$/, name: "sensors", load: () => import("./sensors.js") },
  { pattern: /^sensors\/(-?\d{1,10})$/, name: "sensors", load: () => import("./sensor.js") },
  { pattern: /^dead-letters$/, name: "dead-letters", load: () => import("./dead_letters.js") },
];

const main = document.getElementById("main");
let leaving = new AbortController();
let isFirst = true;

async function route() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const address = location.hash;
  const [path, query = ""] = address.replace(/^#\/?/, "").split("?", 2);
  const page = PAGES.find(({ pattern }) => pattern.test(path));
  for (const link of document.querySelectorAll("nav a[data-page]")) {
    if (link.dataset.page === page?.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (page === undefined) {
    main.replaceChildren(notice("error", "There is no such page.", h("a", { href: "#/" }, "To the overview")));
    main.dataset.address = address;
    return;
  }
  try {
    const { show } = await page.load();
    if (signal.aborted) return;
    main.replaceChildren();
    await show(main, { argument: path.match(page.pattern)[1], query: new URLSearchParams(query), signal });
  } catch (error) {
    if (signal.aborted) return;
    main.replaceChildren(notice("error", error.message, h("button", { type: "button", on: { click: route } }, "Try again")));
  }
  if (signal.aborted) return;
  // Whoever drives the page by a program sees by this when it is there.
  main.dataset.address = address;
  const heading = main.querySelector("h1");
  document.title = heading ? `${heading.textContent} · sensorpipe` : "sensorpipe";
  // Whoever opens the address anew starts at the top of it; whoever goes on is told where they are.
  if (!isFirst) (heading ?? main).focus({ preventScroll: false });
  isFirst = false;
}

function setUpKey() {
  const button = document.getElementById("key");
  const input = h("input", { type: "password", id: "key-text", autocomplete: "off", spellcheck: "false", required: true });
  const why = h("p", { class: "muted" });
  const forget = h("button", { type: "button" }, "Forget the key");
  const form = h(
    "form", { method: "dialog" },
    why,
    h("label", { class: "field" }, "Key", input),
    h("p", { class: "muted" }, "It is kept for this tab until it is closed, and sent to this api alone."),
    h("div", { class: "row" }, h("button", { class: "primary" }, "Use this key"), forget),
  );
  const dialog = h("dialog", { "aria-labelledby": "key-title" }, h("h2", { id: "key-title" }, "API key"), form);
  document.body.append(dialog);
  const begin = (text) => {
    setText(why, text);
    button.hidden = false;
    forget.hidden = !key();
    // What is being typed stays: several requests may be refused, one after the other.
    if (dialog.open) return;
    input.value = "";
    dialog.showModal();
    input.focus();
  };
  form.addEventListener("submit", () => {
    setKey(input.value.trim());
    input.value = "";
    void route();
  });
  forget.addEventListener("click", () => {
    setKey(null);
    dialog.close();
    announce("The key is forgotten.");
    void route();
  });
  button.addEventListener("click", () => begin(key() ? "A key is in use." : "No key is in use."));
  button.hidden = !key();
  onKeyNeeded(begin);
}

function setUpTheme() {
  const button = document.getElementById("theme");
  const names = ["system", "light", "dark"];
  const root = document.documentElement;
  const show = () => setText(button, `Theme: ${root.dataset.theme ?? "system"}`);
  button.addEventListener("click", () => {
    const next = names[(names.indexOf(root.dataset.theme ?? "system") + 1) % names.length];
    if (next === "system") {
      delete root.dataset.theme;
      localStorage.removeItem("theme");
    } else {
      root.dataset.theme = next;
      localStorage.setItem("theme", next);
    }
    show();
    window.dispatchEvent(new Event("themechange"));
  });
  // The system's own change is one, too.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new Event("themechange")));
  show();
}

// The address after the # is the pages', so the link must not change it.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setUpKey();
setUpTheme();
offerZones(document.getElementById("zone"));
window.addEventListener("hashchange", route);
void route();
