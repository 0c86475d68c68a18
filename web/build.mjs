// Copies what the pages need of the packages in node_modules to dist/, which is
// embedded into the program and not part of the repository:
//
//   kern.css        KERN's components and the faces of its typeface in one file
//   fonts/*.woff2   the three weights that KERN's components use
//   LICENSE-kern.md
//   altcha.js       ALTCHA's widget for the proof of work of the waiting room, the
//                   build that needs neither inline styles nor inline workers
//   altcha.css
//   altcha-worker.js   its PBKDF2 worker
//   LICENSE-altcha.txt
//   qr/decode.js    the reader of QR codes of the verifier page, with
//   qr/index.js     what it needs
//   LICENSE-qr.txt
//   fflate.js       zlib for browsers that have none of their own
//   LICENSE-fflate.txt
//   stamp           what it was made from; scripts/setup.sh compares it
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const kern = join(here, 'node_modules', '@kern-ux', 'native');
const dist = join(here, 'dist');

for (const name of readdirSync(dist)) {
  if (name !== '.gitkeep') rmSync(join(dist, name), { recursive: true });
}

mkdirSync(join(dist, 'fonts'));
const weights = { Regular: 400, Medium: 500, SemiBold: 600 };
const faces = Object.entries(weights).map(([name, weight]) => {
  const file = `FiraSans-${name}.woff2`;
  copyFileSync(join(kern, 'dist', 'fonts', 'fira-sans', file), join(dist, 'fonts', file));
  return `@font-face{font-family:"Fira Sans";src:url("fonts/${file}") format("woff2");` +
    `font-weight:${weight};font-style:normal;font-display:swap}`;
});

// A charset rule counts only at the very beginning; the server says UTF-8 anyway.
const components = readFileSync(join(kern, 'dist', 'kern.min.css'), 'utf8').replace(/^@charset "UTF-8";/, '');
writeFileSync(join(dist, 'kern.css'), `@charset "UTF-8";${faces.join('')}${components}`);
copyFileSync(join(kern, 'LICENSE.md'), join(dist, 'LICENSE-kern.md'));

const altcha = join(here, 'node_modules', 'altcha');
for (const [from, to] of [
  ['dist/external/altcha.min.js', 'altcha.js'],
  ['dist/external/altcha.css', 'altcha.css'],
  ['dist/workers/pbkdf2.js', 'altcha-worker.js'],
  ['LICENSE.txt', 'LICENSE-altcha.txt'],
]) copyFileSync(join(altcha, from), join(dist, to));

const qr = join(here, 'node_modules', 'qr');
mkdirSync(join(dist, 'qr'));
for (const [from, to] of [
  ['decode.js', 'qr/decode.js'],
  ['index.js', 'qr/index.js'],
  ['LICENSE-MIT', 'LICENSE-qr.txt'],
]) copyFileSync(join(qr, from), join(dist, to));
const fflate = join(here, 'node_modules', 'fflate');
copyFileSync(join(fflate, 'esm', 'browser.js'), join(dist, 'fflate.js'));
copyFileSync(join(fflate, 'LICENSE'), join(dist, 'LICENSE-fflate.txt'));

const sources = ['package-lock.json', 'build.mjs'].map((name) => readFileSync(join(here, name)));
writeFileSync(join(dist, 'stamp'), createHash('sha256').update(Buffer.concat(sources)).digest('hex') + '\n');
