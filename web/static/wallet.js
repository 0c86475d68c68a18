// Passing a certificate to an app: the picture by the phone's own sharing, the text
// by the clipboard. Both buttons are there only where the browser can do it.
(() => {
  const share = document.getElementById('share');
  const copy = document.getElementById('copy');
  const say = (text) => { document.getElementById('said').textContent = text; };

  if (navigator.canShare?.({ files: [new File(['x'], share.dataset.name, { type: 'image/png' })] })) {
    share.hidden = false;
    share.addEventListener('click', async () => {
      const answer = await fetch(share.dataset.picture).catch(() => null);
      if (!answer?.ok) { // no connection, or logged out meanwhile
        say(share.dataset.failed);
        return;
      }
      const picture = await answer.blob();
      await navigator.share({ files: [new File([picture], share.dataset.name, { type: 'image/png' })] }).catch(() => {});
    });
  }
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener('click', async () => {
      const text = document.getElementById('hc1');
      try {
        await navigator.clipboard.writeText(text.value);
        say(copy.dataset.done);
      } catch { // not allowed: it is marked, to be copied by hand
        text.select();
        say(copy.dataset.failed);
      }
    });
  }
})();
