// The lists: fetched when there is a connection, kept on the device as they were
// downloaded, checked each time they are opened.
import { open, toBase64 } from './lists.js';

const trustURL = '/api/v1/certificates/trust';
const revocationsURL = '/certificates/revocations';
const cacheName = 'verifier-lists';
const key = '/certificates/verify/lists';

// Without a secure connection there is no cache: the lists then end with the page.
const cache = async () => ('caches' in globalThis ? caches.open(cacheName) : null);

// kept opens the lists of the last time; null = none that count.
export async function kept(pins) {
  try {
    const answer = await (await cache())?.match(key);
    if (!answer) return null;
    const downloaded = await answer.json();
    return { downloaded, lists: await open(downloaded, pins) };
  } catch {
    return null;
  }
}

// fetchAll downloads what is new, checks all of it, and keeps it. before is what
// kept or fetchAll gave: batches never change and are fetched once. It throws
// 'offline' without a connection and 'forged' when something is not signed.
export async function fetchAll(before, pins, now) {
  let downloaded;
  try {
    const trust = await get(trustURL, 'json');
    const index = await get(revocationsURL, 'json');
    const old = before?.downloaded.revocations ?? { ids: [], batches: [] };
    const batches = [];
    for (const { batchId } of index.body.batches) {
      const at = old.ids.indexOf(batchId);
      batches.push(at >= 0 ? old.batches[at] : toBase64(new Uint8Array((await get(`${revocationsURL}/${batchId}/batch.cms`, 'arrayBuffer', 'default')).body)));
    }
    const ids = index.body.batches.map((b) => b.batchId);
    // Nobody signs the index: a batch that was there counts until it expires, and who
    // was distrusted stays so, whatever a later answer has lost.
    old.ids.forEach((id, i) => {
      if (ids.includes(id) || !(before.lists.ends[i] > now())) return;
      ids.push(id);
      batches.push(old.batches[i]);
    });
    const distrusted = [...new Set([...trust.body.distrusted, ...(before?.downloaded.trust.distrusted ?? [])])];
    downloaded = {
      trust: { at: now() - trust.age, test: trust.body.test, signers: trust.body.signers.map(({ certificate }) => ({ certificate })), distrusted },
      revocations: { at: now() - index.age, ids, batches },
    };
  } catch { // no connection, or nothing that answers
    throw new Error('offline');
  }
  let lists;
  try {
    lists = await open(downloaded, pins);
  } catch {
    throw new Error('forged');
  }
  await (await cache())?.put(key, new Response(JSON.stringify(downloaded), { headers: { 'Content-Type': 'application/json' } }));
  return { downloaded, lists };
}

// get: a cache on the way says how old its answer is.
async function get(url, kind, mode = 'no-cache') {
  const answer = await fetch(url, { cache: mode, credentials: 'omit' });
  if (!answer.ok) throw new Error(String(answer.status));
  return { body: await answer[kind](), age: 1000 * (Number(answer.headers.get('age')) || 0) };
}
