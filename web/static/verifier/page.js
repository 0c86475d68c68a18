// The verifier's page. What is checked never leaves the device: see check.js.
import { check } from './check.js';
import { textsOf } from './picture.js';
import { fetchAll, kept } from './store.js';
import { prefix } from './text.js';

const root = document.getElementById('verifier');
const words = root.dataset;
const element = (id) => document.getElementById(id);
const pins = { signers: words.anchors.split(' ').filter(Boolean), batches: words.pins.split(' ').filter(Boolean) };
const now = () => Date.now() + Number(words.shift);
const options = {
  maxAge: Number(words.maxAge), products: JSON.parse(words.products),
  inflater: async () => (await import('../fflate.js')).unzlibSync,
};
const renewEvery = 15 * 60 * 1000;
const frameEvery = 200;

let state = null; // what store.js gave

// The lists.

const moment = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' });

function showLists(problem) {
  const { lists } = state ?? {};
  const text = lists
    ? words.lists.replace('[trust]', moment.format(lists.trustAt)).replace('[revocations]', moment.format(lists.revocationsAt))
    : words.listsNone;
  element('lists').textContent = problem ? `${problem} ${lists ? text : ''}` : text;
}

async function renew() {
  try {
    state = await fetchAll(state, pins, now);
    showLists();
  } catch (error) {
    showLists(error.message === 'forged' ? words.listsForged : '');
  }
}

// The answer.

async function answer(text) {
  const { reason, facts } = await check(text, state?.lists ?? null, now(), options);
  const parts = [root.querySelector(`template[data-reason="${reason}"]`).content.cloneNode(true)];
  if (facts) parts.push(describe(facts));
  show(...parts);
}

function describe(facts) {
  const list = element('facts').content.cloneNode(true);
  const values = {
    name: facts.name, standard: facts.standard, birth: asOnCard(facts.birth), product: facts.product, day: asOnCard(facts.day),
    dose: facts.dose ? `${facts.dose} ${words.of} ${facts.doses}` : '', full_from: asOnCard(facts.fullFrom), missing: facts.missing ? words.yes : '',
    issuer: facts.issuer, id: facts.id, until: asOnCard(facts.until.toISOString().slice(0, 10)),
  };
  for (const row of list.querySelectorAll('[data-fact]')) {
    if (values[row.dataset.fact]) row.querySelector('dd').textContent = values[row.dataset.fact];
    else row.remove();
  }
  return list;
}

// asOnCard writes an ISO day, as far as it is known, as identity cards do.
function asOnCard(day) { return (day ?? '').split('-').reverse().join('.'); }

function show(...parts) {
  const panel = document.createElement('div');
  panel.className = 'panel stack';
  panel.append(...parts);
  element('result').replaceChildren(panel);
  element('result').focus({ preventScroll: true });
  element('result').scrollIntoView({ block: 'start' }); // the verdict stands on top, and the whole may be longer than the screen
}

function say(text) {
  const p = document.createElement('p');
  p.className = 'kern-body';
  p.textContent = text;
  show(p);
}

// first is the text of a certificate among those found, or any other one, of
// which the page then says that it is none.
function first(texts) { return texts.find((t) => t.startsWith(prefix)) ?? texts[0]; }

// Pasted text.

element('by-text-form').addEventListener('submit', (event) => {
  event.preventDefault();
  if (element('pasted').value.trim() === '') say(words.noText);
  else answer(element('pasted').value);
});

// A picture.

element('picture').addEventListener('change', async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  say(words.searching);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    say(words.noPicture);
    return;
  } finally {
    event.target.value = ''; // so that the same file can be chosen again
  }
  const texts = await textsOf(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  if (texts.length > 0) await answer(first(texts));
  else say(words.noCode);
});

// The camera.

let stream = null;
const video = element('video');
const cameraLabel = element('camera').querySelector('.kern-label');

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
  video.hidden = true;
  cameraLabel.textContent = words.cameraStart;
}

async function look() {
  if (!stream) return;
  if (video.videoWidth > 0) {
    const texts = await textsOf(video, video.videoWidth, video.videoHeight, true);
    if (!stream) return;
    if (texts.length > 0) {
      stopCamera();
      await answer(first(texts));
      return;
    }
  }
  setTimeout(look, frameEvery);
}

element('camera').addEventListener('click', async () => {
  if (stream) {
    stopCamera();
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: { ideal: 1280 } } });
    video.srcObject = stream;
    video.hidden = false;
    cameraLabel.textContent = words.cameraStop;
    await video.play();
  } catch {
    stopCamera();
    say(words.noCamera);
    return;
  }
  look();
});

document.addEventListener('visibilitychange', () => { if (document.hidden) stopCamera(); });

// Without a connection.

async function keep() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register(`/certificates/verify/worker.js?lang=${document.documentElement.lang}`, { scope: '/certificates/verify', updateViaCache: 'none' });
    await navigator.serviceWorker.ready;
    element('offline').hidden = false;
  } catch { /* the page works, with a connection */ }
}

element('refresh').addEventListener('click', renew);
addEventListener('online', renew);
setInterval(() => { if (!document.hidden && navigator.onLine) renew(); }, renewEvery);

root.hidden = false;
state = await kept(pins);
showLists(state ? '' : words.listsLoading);
await Promise.all([renew(), keep()]);
root.dataset.ready = 'true';
