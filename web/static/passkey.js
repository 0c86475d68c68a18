// Security keys (WebAuthn). A form with data-passkey asks for one when it is sent:
//
//   "touch"   asks data-begin for a challenge, has it signed, puts the answer into the
//             field "touch" as JSON and sends the form
//   "create"  asks data-begin for an offer, makes a key, sends it to data-finish with
//             the field "key_name", and goes to data-done
//   "add"     as "create", after a touch of a key that is there: data-vouch gives the
//             challenge, data-begin takes the touch
//
// data-send names the fields that data-begin (or data-vouch) gets, "login" or
// "login=field_of_the_form". What went wrong is
// said in the form's element with data-say.
"use strict";
(() => {
  const german = (document.documentElement.lang || "de") === "de";
  const words = german ? {
    none: "Dieser Browser oder diese Adresse kann keine Sicherheitsschlüssel verwenden. Nötig sind ein aktueller Browser und eine https-Adresse.",
    cancelled: "Der Vorgang wurde abgebrochen oder hat zu lange gedauert. Bitte versuchen Sie es noch einmal.",
    again: "Dieser Schlüssel ist schon eingerichtet. Bitte nehmen Sie einen anderen.",
    wait: "Bitte stecken Sie Ihren Schlüssel an und berühren Sie ihn.",
    failed: "Das hat nicht geklappt. Bitte versuchen Sie es noch einmal.",
  } : {
    none: "This browser or this address cannot use security keys. A current browser and an https address are needed.",
    cancelled: "This was cancelled or took too long. Please try again.",
    again: "This key is set up already. Please take another one.",
    wait: "Please plug in your key and touch it.",
    failed: "That did not work. Please try again.",
  };

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (b) => String.fromCharCode(b)).join("")).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const ids = (list) => list.map((id) => ({ type: "public-key", id: bytes(id) }));

  async function post(url, body) {
    const answer = await fetch(url, {
      method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(body),
    });
    const said = answer.status === 204 ? {} : await answer.json();
    if (!answer.ok) throw new Error((said.errors && said.errors[0] && said.errors[0].detail) || said.title || words.failed);
    return said;
  }

  async function touch(asked) {
    const c = await navigator.credentials.get({ publicKey: {
      challenge: bytes(asked.challenge), rpId: asked.rp_id, allowCredentials: ids(asked.allow), userVerification: "required", timeout: asked.timeout_ms,
    } });
    return {
      challenge_id: asked.challenge_id, credential_id: text(c.rawId), client_data: text(c.response.clientDataJSON),
      authenticator_data: text(c.response.authenticatorData), signature: text(c.response.signature),
      user_handle: c.response.userHandle ? text(c.response.userHandle) : "",
    };
  }

  async function create(offered, name) {
    const c = await navigator.credentials.create({ publicKey: {
      challenge: bytes(offered.challenge), rp: { id: offered.rp_id, name: "Impfportal" },
      user: { id: bytes(offered.user_id), name: offered.user_name, displayName: offered.user_name },
      pubKeyCredParams: offered.algorithms.map((alg) => ({ type: "public-key", alg })), excludeCredentials: ids(offered.exclude),
      authenticatorSelection: { residentKey: "preferred", userVerification: "required" }, attestation: offered.attestation, timeout: offered.timeout_ms,
    } });
    return {
      challenge_id: offered.challenge_id, name, credential_id: text(c.rawId), client_data: text(c.response.clientDataJSON),
      attestation_object: text(c.response.attestationObject), transports: c.response.getTransports ? c.response.getTransports() : [],
    };
  }

  async function run(form) {
    const d = form.dataset, body = {};
    for (const pair of (d.send || "").split(" ").filter(Boolean)) {
      const [name, field] = pair.split("=");
      body[name] = form.elements[field || name].value;
    }
    if (d.passkey === "touch") {
      form.elements.touch.value = JSON.stringify(await touch(await post(d.begin, body)));
      form.submit();
      return;
    }
    const offered = d.passkey === "add" ? await post(d.begin, await touch(await post(d.vouch, body))) : await post(d.begin, body);
    await post(d.finish, await create(offered, form.elements.key_name.value));
    location.assign(d.done);
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const line = form.querySelector("[data-say]");
    const say = (what) => { line.textContent = what; line.hidden = false; };
    const can = window.PublicKeyCredential && window.isSecureContext;
    let busy = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!can) { say(words.none); return; }
      if (busy) return;
      busy = true;
      say(words.wait);
      try {
        await run(form);
      } catch (error) {
        if (error.name === "InvalidStateError") say(words.again);
        else if (error.name === "NotAllowedError" || error.name === "AbortError") say(words.cancelled);
        else if (error.name === "SecurityError" || error.name === "NotSupportedError") say(words.none);
        else say(error instanceof TypeError ? words.failed : error.message);
        busy = false;
      }
    });
  }
})();
