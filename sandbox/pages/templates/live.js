// Replaces the content with the newest one and keeps what is unfolded, scrolled to or focused.
"use strict";
const button = document.getElementById("live");
const say = (words, live) => {
  button.lastElementChild.textContent = words;
  button.classList.toggle("on", live);
};
let live = true;
async function refresh() {
  const began = performance.now();
  if (live && !document.hidden && getSelection().isCollapsed) {
    try {
      const text = await (await fetch(location.pathname)).text();
      // Parse <main> only: this page's policy refuses the style of the whole.
      const part = text.slice(text.indexOf("<main"), text.lastIndexOf("</main>"));
      const fresh = new DOMParser().parseFromString(part, "text/html").querySelector("main");
      const main = document.querySelector("main");
      for (const open of main.querySelectorAll("details[open]")) {
        const same = open.id && fresh.querySelector("#" + CSS.escape(open.id));
        if (same) same.open = true;
      }
      const focused = main.contains(document.activeElement) && document.activeElement.id;
      if (fresh.innerHTML !== main.innerHTML) {
        main.replaceChildren(...fresh.childNodes);
        if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
      }
      say("Live", true);
    } catch {
      say("The sandbox has ended", false);
    }
  }
  // Spend at most a tenth of the time on this.
  setTimeout(refresh, Math.max(2000, 10 * (performance.now() - began)));
}
button.hidden = false;
say("Live", true);
button.addEventListener("click", () => {
  live = !live;
  say(live ? "Live" : "Paused", live);
});
setTimeout(refresh, 2000);
