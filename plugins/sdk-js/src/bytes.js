// The pieces that `next` hands out until it has none, as one; nothing if they are more than `maxBytes`.
export async function collect(next, maxBytes) {
  const pieces = [];
  let size = 0;
  for (;;) {
    const piece = await next();
    if (!piece) break;
    pieces.push(piece);
    size += piece.length;
    if (size > maxBytes) return undefined;
  }
  const whole = new Uint8Array(size);
  let end = 0;
  for (const piece of pieces) {
    whole.set(piece, end);
    end += piece.length;
  }
  return whole;
}
