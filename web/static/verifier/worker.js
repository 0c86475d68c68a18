// The service worker of the verifier's page. The server puts in front which
// version it keeps: kept = {page, lang, base, files}. Its scope is that page alone.
const name = `verifier ${kept.base}`;

self.addEventListener('install', (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(name);
    await cache.addAll([new Request(kept.page, { cache: 'no-cache', headers: { 'Accept-Language': kept.lang } }), ...kept.files]);
    await self.skipWaiting();
  })());
});

self.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    for (const other of await caches.keys()) {
      if (other.startsWith('verifier /') && other !== name) await caches.delete(other);
    }
    await self.clients.claim();
  })());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin) return;
  if (request.mode === 'navigate' && url.pathname === kept.page) event.respondWith(page(request));
  else if (url.pathname.startsWith(kept.base)) event.respondWith(file(request));
});

// page comes from the server, in the language of today; without a connection the
// kept one. Kept is only what belongs to the files that are kept.
async function page(request) {
  const cache = await caches.open(name);
  try {
    const answer = await fetch(request);
    if (answer.ok && (await answer.clone().text()).includes(kept.base)) await cache.put(kept.page, answer.clone());
    return answer;
  } catch (error) {
    const before = await cache.match(kept.page, { ignoreVary: true });
    if (before) return before;
    throw error;
  }
}

async function file(request) {
  return (await (await caches.open(name)).match(request.url, { ignoreVary: true })) ?? fetch(request);
}
