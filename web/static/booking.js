// Says in words how long appointments are still held. The page is complete
// without this: it names the time of day until which they are held.
(function () {
  "use strict";
  var p = document.querySelector("[data-countdown]");
  if (!p) return;
  var until = Date.parse(p.dataset.countdown);
  // The page may come from a portal whose clock differs from this device's.
  var first = parseInt((p.textContent.match(/\d+/) || ["0"])[0], 10);
  var offset = 0;
  var left = Math.ceil((until - Date.now()) / 60000);
  if (Math.abs(left - first) > 1) offset = until - Date.now() - first * 60000;
  var shown = first;
  var timer = setInterval(function () {
    var minutes = Math.ceil((until - Date.now() - offset) / 60000);
    if (minutes <= 0) {
      clearInterval(timer);
      p.textContent = p.dataset.over;
      return;
    }
    if (minutes === shown) return;
    shown = minutes;
    p.textContent = minutes === 1 ? p.dataset.one : p.dataset.many.replace("#", String(minutes));
  }, 5000);
})();
