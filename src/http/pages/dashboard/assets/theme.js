// Loaded before the page is drawn, so that it is never drawn in the other theme first.
"use strict";
{
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
