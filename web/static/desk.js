// The page of a certificate that is being made looks again by itself, as often as its
// element with data-again says (seconds), and shows what is new in place.
"use strict";
(() => {
  const main = document.querySelector("main");
  const next = () => {
    const waits = main.querySelector("[data-again]");
    if (waits) setTimeout(look, Number(waits.dataset.again) * 1000);
  };
  async function look() {
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.ok && !answer.redirected) {
        const now = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
        if (now && now.textContent !== main.textContent) main.replaceChildren(...now.childNodes);
      }
    } catch { /* no connection: again later */ }
    next();
  }
  next();
})();
