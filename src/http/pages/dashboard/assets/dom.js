// Elements. Whatever comes from the server becomes text here, never markup.

/**
 * An element. `properties`: `class`, `on` (listeners by event), `data` (data attributes), anything else is an attribute;
 * one that is false, null or undefined is left out. Children are nodes or texts; null is none.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Touches the element only where its text changes, so that nothing is drawn or read out anew for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Says something to who listens to the page. */
export function announce(text) {
  setText(document.getElementById("announcer"), text);
}

/** A heading that takes the focus when its page opens. */
export function pageHeading(...children) {
  return h("h1", { tabindex: "-1" }, ...children);
}

/** A table that scrolls sideways by itself where it is too wide for the window. */
export function table(label, heads, body) {
  const cells = heads.map(([text, classes = ""]) =>
    h("th", { scope: "col", class: classes }, text === "" ? h("span", { class: "unseen" }, "Actions") : text),
  );
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    h("table", {}, h("caption", { class: "unseen" }, label), h("thead", {}, h("tr", {}, cells)), body),
  );
}

/** What stands where there is nothing, or nothing yet. `kind` is empty, busy or error. */
export function notice(kind, text, ...more) {
  return h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : null }, h("p", {}, text), ...more);
}

/** Waits, unless the signal says that nobody does any longer. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
