// Questions that stand over the page until they are answered.

import { h, setText } from "./dom.js";

/** A dialog with a form: what `act` came to, or null where it was left. What goes wrong is said in it. */
export function dialog(title, form, verb, kind, act) {
  const wrong = h("div", { class: "notice error", role: "alert", hidden: true });
  const submit = h("button", { class: kind }, verb);
  const leave = h("button", { type: "button" }, "Cancel");
  form.append(wrong, h("div", { class: "row" }, submit, leave));
  const box = h("dialog", { "aria-label": title }, h("h2", {}, title), form);
  document.body.append(box);
  return new Promise((resolve) => {
    let result = null;
    leave.addEventListener("click", () => box.close());
    box.addEventListener("close", () => {
      box.remove();
      resolve(result);
    });
    // Where the page is left by the browser's own button.
    window.addEventListener("hashchange", () => box.close(), { once: true });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      submit.disabled = true;
      wrong.hidden = true;
      try {
        result = await act();
        box.close();
      } catch (error) {
        wrong.hidden = false;
        setText(wrong, error.message);
      } finally {
        submit.disabled = false;
      }
    });
    box.showModal();
  });
}
