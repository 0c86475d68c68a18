// Renews the figures of the quotas' week. Without it they are those of the
// moment at which the page was opened.
(function () {
  "use strict";
  const box = document.getElementById("quota-live");
  if (!box) return;
  const tick = async () => {
    // Nobody is torn out of what they are reading with the keyboard, or of a page that is not seen.
    if (document.visibilityState === "visible" && !box.contains(document.activeElement)) {
      try {
        const r = await fetch(box.dataset.url, { cache: "no-store" });
        const html = r.ok && !r.redirected ? await r.text() : "";
        if (html && !box.contains(document.activeElement)) box.innerHTML = html;
      } catch { /* the next round tries again */ }
    }
    setTimeout(tick, 5000);
  };
  setTimeout(tick, 5000);
})();
