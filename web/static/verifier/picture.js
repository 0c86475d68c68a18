// QR codes in pictures: the browser's own reader where it has one, else the
// library's, which also has a second try where the first one finds nothing.
import decodeQR from '../qr/decode.js';

// The longest side of a picture in pixels, tried one after the other: large codes
// in photos are found when the picture is small, small codes when it is large.
const sides = [1000, 1800, 500];

const own = 'BarcodeDetector' in globalThis ? new globalThis.BarcodeDetector({ formats: ['qr_code'] }) : null;
const canvas = document.createElement('canvas');

// textsOf returns what the QR codes of a picture say; source is a video or an
// ImageBitmap of width and height. quick has one try only.
export async function textsOf(source, width, height, quick = false) {
  if (own) {
    const found = await own.detect(source).catch(() => []);
    if (found.length > 0) return found.map((f) => f.rawValue);
  }
  for (const side of quick ? sides.slice(0, 1) : sides) {
    const text = read(source, width, height, Math.min(1, side / Math.max(width, height)));
    if (text) return [text];
  }
  return [];
}

function read(source, width, height, scale) {
  // A rim of white: codes that fill the whole picture have none of their own.
  const rim = 16;
  const w = Math.max(1, Math.round(width * scale));
  const h = Math.max(1, Math.round(height * scale));
  canvas.width = w + 2 * rim;
  canvas.height = h + 2 * rim;
  const drawing = canvas.getContext('2d', { willReadFrequently: true });
  drawing.fillStyle = '#fff';
  drawing.fillRect(0, 0, canvas.width, canvas.height);
  drawing.drawImage(source, rim, rim, w, h);
  try {
    return decodeQR(drawing.getImageData(0, 0, canvas.width, canvas.height));
  } catch {
    return null;
  }
}
