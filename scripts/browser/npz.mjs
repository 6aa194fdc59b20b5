// Reads float32 arrays out of an .npz file.
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';

export function readNpz(path) {
  const file = readFileSync(path);
  const end = file.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  let at = file.readUInt32LE(end + 16);
  const arrays = {};
  for (let i = 0; i < file.readUInt16LE(end + 10); i++) {
    const [method, size] = [file.readUInt16LE(at + 10), file.readUInt32LE(at + 20)];
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => file.readUInt16LE(at + offset));
    const local = file.readUInt32LE(at + 42);
    const name = file.toString('utf8', at + 46, at + 46 + nameLength).replace('.npy', '');
    const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28);
    const bytes = file.subarray(start, start + size);
    const npy = method === 8 ? inflateRawSync(bytes) : bytes;
    const data = 10 + npy.readUInt16LE(8);
    const header = npy.toString('latin1', 10, data);
    if (header.includes("'<f4'")) {
      const shape = header.match(/\(([^)]*)\)/)[1].split(',').filter((n) => n.trim()).map(Number);
      const values = Array.from({ length: (npy.length - data) / 4 }, (_, i) => npy.readFloatLE(data + 4 * i));
      arrays[name] = { shape, values };
    }
    at += 46 + nameLength + extra + comment;
  }
  return arrays;
}
