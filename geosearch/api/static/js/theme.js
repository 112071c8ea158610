// Light, dark, or as the system is; remembered on this machine.

import { byId, say } from "./elements.js";

const NEXT = { system: "light", light: "dark", dark: "system" };
const SIGNS = { system: "◐", light: "☀", dark: "☾" };
const system = matchMedia("(prefers-color-scheme: dark)");

export function setUp(onPaint) {
  let choice = localStorage.getItem("theme") ?? "system";
  const button = byId("theme-button");
  const paint = () => {
    const isDark = choice === "dark" || (choice === "system" && system.matches);
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    button.textContent = SIGNS[choice];
    button.setAttribute("aria-label", `Colours: ${choice === "system" ? "as the system" : choice}`);
    onPaint();
  };
  button.addEventListener("click", () => {
    choice = NEXT[choice] ?? "system";
    localStorage.setItem("theme", choice);
    paint();
    say(button.getAttribute("aria-label"));
  });
  system.addEventListener("change", paint);
  paint();
}
