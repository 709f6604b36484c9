// Deterministic CBOR, docs/spec/zones.md 2: whole numbers, bytes, text, arrays and maps with text keys; shortest lengths, sorted keys.

const text = new TextEncoder();

function head(kind, number) {
  if (number < 24) return Uint8Array.of((kind << 5) | number);
  if (number < 0x100) return Uint8Array.of((kind << 5) | 24, number);
  if (number < 0x10000) return Uint8Array.of((kind << 5) | 25, number >> 8, number & 255);
  if (number < 2 ** 32) return Uint8Array.of((kind << 5) | 26, number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255);
  const long = new DataView(new ArrayBuffer(9)); // as far as a JavaScript number is exact
  long.setUint8(0, (kind << 5) | 27);
  long.setBigUint64(1, BigInt(number));
  return new Uint8Array(long.buffer);
}

export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function before(a, b) {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) if (a[at] !== b[at]) return a[at] - b[at];
  return a.length - b.length;
}

export function encoded(value) {
  if (value instanceof Uint8Array) return join(head(2, value.length), value);
  if (typeof value === "string") {
    const raw = text.encode(value);
    return join(head(3, raw.length), raw);
  }
  if (Array.isArray(value)) return join(head(4, value.length), ...value.map(encoded));
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 53) return head(0, value);
  if (value === null) return Uint8Array.of(0xf6);
  const members = Object.entries(value).map(([key, one]) => [encoded(key), encoded(one)]);
  members.sort((a, b) => before(a[0], b[0]));
  return join(head(5, members.length), ...members.flat());
}

/** docs/spec/zones.md 2, "packed": each part as a 4-byte length and itself. Text and bytes only. */
export function packed(...parts) {
  return join(
    ...parts.flatMap((part) => {
      const raw = part instanceof Uint8Array ? part : text.encode(part);
      return [Uint8Array.of(raw.length >>> 24, (raw.length >>> 16) & 255, (raw.length >>> 8) & 255, raw.length & 255), raw];
    }),
  );
}
