// The proof of work in front of a place in the line, while machines come: ALTCHA's
// widget with our own texts, in the form that it belongs to. It starts by itself.
// Who presses the button before it is done waits and needs not press again. Where
// it cannot work, a place behind the line is offered in its stead.
"use strict";
(() => {
  for (const box of document.querySelectorAll(".wr-challenge")) begin(box);

  async function begin(box) {
    const d = box.dataset, form = box.closest("form"), lang = document.documentElement.lang || "de";
    const host = box.querySelector(".wr-challenge-widget"), line = box.querySelector(".wr-challenge-say");
    const other = box.querySelector(".wr-challenge-failed"), behind = other.querySelector("button");
    // The widget's label shows the same; aloud it is said here, and what went wrong is shown.
    const say = (text, shown = false) => { line.textContent = text; line.classList.toggle("kern-sr-only", !shown); };
    const fail = () => { other.hidden = false; behind.disabled = false; };
    behind.disabled = true; // hidden, it must not be the button that the Enter key presses

    // A page without TLS has no crypto.subtle; very old browsers have neither.
    if (!window.isSecureContext || !window.Worker || !window.customElements) { fail(); return; }
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = d.sheet;
    document.head.append(style);
    try {
      await import(d.widget);
    } catch {
      fail();
      return;
    }
    globalThis.$altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(d.worker));
    globalThis.$altcha.i18n.set(lang, {
      ariaLinkLabel: "", enterCode: "", enterCodeAria: "", footer: "", getAudioChallenge: "", loading: "", reload: "", verify: d.label,
      label: d.label, error: d.error, expired: d.expired, verificationRequired: d.required, verified: d.verified, verifying: d.verifying, waitAlert: d.wait,
    });
    const widget = document.createElement("altcha-widget");
    widget.setAttribute("challenge", d.challenge);
    widget.setAttribute("language", lang);
    widget.setAttribute("configuration", JSON.stringify({
      auto: "onload", hideFooter: true, hideLogo: true, humanInteractionSignature: false, type: "native", validationMessage: d.required,
      // More than the device has cores helps nobody; a phone should stay usable.
      workers: Math.max(1, Math.min(8, navigator.hardwareConcurrency || 2)),
    }));

    let state = "", pressed = null;
    widget.addEventListener("statechange", (event) => {
      state = event.detail.state;
      switch (state) {
        case "verifying": say(d.verifying); break;
        case "verified":
          say(d.verified);
          if (pressed) setTimeout(() => { form.requestSubmit(pressed); pressed = null; }, 0); // after the widget has put the solution into its field
          break;
        case "error": say(d.error, true); pressed = null; fail(); break;
        case "expired":
          say(d.expired, true);
          again();
          break;
      }
    });
    // An expired challenge is fetched anew only by a page that somebody looks at.
    const again = () => {
      if (document.visibilityState === "visible") widget.verify();
      else document.addEventListener("visibilitychange", again, { once: true });
    };
    form.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button || button.name === "behind" || state !== "verifying") return;
      event.preventDefault();
      pressed = button;
      say(d.wait, true);
    }, { capture: true });

    host.append(widget);
    host.hidden = false;
  }
})();
