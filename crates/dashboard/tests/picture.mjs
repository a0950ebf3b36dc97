// Pictures of pages as small files: with few colours, since pages are flat, and only the edges of letters have many.

import { deflateSync } from "node:zlib";

const COLOURS = 32;

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

function crc(bytes) {
  let rest = 0xffffffff;
  for (const byte of bytes) rest = CRC[(rest ^ byte) & 0xff] ^ (rest >>> 8);
  return (rest ^ 0xffffffff) >>> 0;
}

function chunk(kind, content) {
  const named = Buffer.concat([Buffer.from(kind, "latin1"), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc(named));
  return Buffer.concat([length, named, sum]);
}

/** Each pixel's colour as a number. */
const colours = ({ width, height, data }) =>
  Uint32Array.from({ length: width * height }, (_, at) => (data[at * 4] << 16) | (data[at * 4 + 1] << 8) | data[at * 4 + 2]);

const distance = (one, other) =>
  [16, 8, 0].reduce((sum, shift) => sum + (((one >> shift) & 0xff) - ((other >> shift) & 0xff)) ** 2, 0);

/** The most frequent colours, and for each colour the number of the nearest among them: grounds and lines stay as they are. */
function reduced(pixels) {
  const counts = new Map();
  for (const colour of pixels) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const sorted = [...counts].sort(([one, often], [other, seldom]) => seldom - often || one - other);
  const palette = sorted.slice(0, COLOURS).map(([colour]) => colour);
  const nearest = (colour) =>
    palette.reduce((best, one, number) => (distance(colour, one) < distance(colour, palette[best]) ? number : best), 0);
  return { palette, numbers: new Map(sorted.map(([colour], at) => [colour, at < COLOURS ? at : nearest(colour)])) };
}

/** A picture (RGBA, opaque) as PNG with a palette (<https://www.w3.org/TR/png-3/>). */
export function packed(picture) {
  const { width, height } = picture;
  const pixels = colours(picture);
  const { palette, numbers } = reduced(pixels);
  const lines = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) lines[y * (width + 1) + 1 + x] = numbers.get(pixels[y * width + x]);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Eight bits a pixel, each the number of a colour.
  header.set([8, 3, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("PLTE", Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 0xff, colour & 0xff]))),
    chunk("IDAT", deflateSync(lines, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
