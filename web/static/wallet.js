// Passing a certificate to an app: the picture by the phone's own sharing, the text
// by the clipboard. Both buttons are there only where the browser can do it.
(() => {
  const share = document.getElementById('share');
  const copy = document.getElementById('copy');
  const say = (text) => { document.getElementById('said').textContent = text; };

  if (navigator.canShare?.({ files: [new File(['x'], share.dataset.name, { type: 'image/png' })] })) {
    share.hidden = false;
    share.addEventListener('click', async () => {
      const picture = await (await fetch(share.dataset.picture)).blob();
      await navigator.share({ files: [new File([picture], share.dataset.name, { type: 'image/png' })] }).catch(() => {});
    });
  }
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener('click', async () => {
      await navigator.clipboard.writeText(document.getElementById('hc1').value);
      say(copy.dataset.done);
    });
  }
})();
