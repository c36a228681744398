"use strict";
(() => {
  // Colours: the system's unless the reader chose others.
  const buttons = [...document.querySelectorAll("[data-theme]")].filter((b) => b.tagName === "BUTTON");
  const paint = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.theme === theme));
  };
  const memory = (theme) => {
    try {
      if (theme) localStorage.setItem("mmdbench-theme", theme);
      return localStorage.getItem("mmdbench-theme");
    } catch { return null; }
  };
  for (const button of buttons) button.addEventListener("click", () => { paint(button.dataset.theme); memory(button.dataset.theme); });
  const chosen = memory();
  if (["auto", "light", "dark"].includes(chosen)) paint(chosen);
})();
