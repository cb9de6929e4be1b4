// A folder as a tar, made of the files' own bytes: nothing is read before it is sent, so memory doesn't grow with the folder.

const BLOCK = 512;

/** The archive of `entries` ({path, file}) as a Blob (POSIX.1-2001: ustar with extended headers for long names). */
export function tar(entries) {
  const parts = [];
  for (const { path, file } of entries) {
    const name = new TextEncoder().encode(path);
    const plain = name.length <= 100 && name.every((byte) => byte < 128);
    if (!plain) {
      const record = extended('path', path);
      parts.push(header(new TextEncoder().encode('PaxHeader'), record.length, 'x'), record, padding(record.length));
    }
    parts.push(header(plain ? name : new TextEncoder().encode('long'), file.size, '0'), file, padding(file.size));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: 'application/x-tar' });
}

const padding = (length) => new Uint8Array((BLOCK - (length % BLOCK)) % BLOCK);

/** `LENGTH KEY=VALUE\n`, whose length counts itself. */
function extended(key, value) {
  const rest = new TextEncoder().encode(` ${key}=${value}\n`);
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  const record = new Uint8Array(length);
  record.set(new TextEncoder().encode(String(length)));
  record.set(rest, length - rest.length);
  return record;
}

function header(name, length, kind) {
  const block = new Uint8Array(BLOCK);
  const text = (at, value) => block.set(new TextEncoder().encode(value), at);
  // Eleven octal digits end at 8 GiB; no picture does.
  const octal = (at, digits, value) => text(at, `${value.toString(8).padStart(digits, '0')}\0`);
  block.set(name, 0);
  octal(100, 7, 0o644);
  octal(108, 7, 0);
  octal(116, 7, 0);
  octal(124, 11, length);
  octal(136, 11, 0);
  text(148, '        ');
  text(156, kind);
  text(257, 'ustar\0' + '00');
  const sum = block.reduce((total, byte) => total + byte, 0);
  text(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  return block;
}
