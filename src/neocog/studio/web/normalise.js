// Turn strokes into what the network knows: scaled to the data's box, drawn again with the data's pen.

/** Return how strokes become an image (C, H, W) like the samples: `{grid, box, pen, light, centre}` in pixels of a side. */
export function manner([, height, width], samples) {
  const light = background(samples) > 0.5; // dark strokes on a light ground
  if (height === 8 && width === 8) return { times: 4, box: [1, 1], pen: 4.6 / 32, light, centre: "box", binary: true };
  if (height === 28 && width === 28) return { times: 4, box: [20 / 28, 20 / 28], pen: 2.2 / 28, light, centre: "mass", binary: false };
  return { times: 4, box: [0.75, 0.75], pen: 0.08, light, centre: "box", binary: false };
}

/** Return the median brightness of the border of the samples. */
function background(samples) {
  const border = [];
  for (const { image } of samples.slice(0, 16)) {
    const side = Math.round(Math.sqrt(image.length));
    for (let k = 0; k < side; k++) border.push(image[k], image[image.length - 1 - k]);
  }
  border.sort((a, b) => a - b);
  return border.length ? border[border.length >> 1] : 0;
}

/** Return the corners of strokes, `{left, top, right, bottom}`, undefined if there are none. */
export function extent(strokes) {
  const points = strokes.flat();
  if (!points.length) return undefined;
  const x = points.map((point) => point[0]);
  const y = points.map((point) => point[1]);
  return { left: Math.min(...x), right: Math.max(...x), top: Math.min(...y), bottom: Math.max(...y) };
}

/**
 * Draw strokes (lists of [x, y] of any unit) as an image of (1, H, W): scaled so that they fill the box, ink
 * counted in blocks of `times` x `times` finer pixels.
 */
export function normalise(strokes, shape, how) {
  const [channels, height, width] = shape;
  const image = new Float32Array(channels * height * width).fill(how.light ? 1 : 0);
  const corners = extent(strokes);
  if (!corners) return image;
  const { times } = how;
  const pen = Math.max(1, how.pen * Math.max(height, width)) * times;
  const [down, across] = [height * times, width * times];
  const room = [how.box[0] * down - pen, how.box[1] * across - pen];
  const size = [corners.bottom - corners.top, corners.right - corners.left];
  const scale = Math.min(room[0] / Math.max(size[0], 1e-6), room[1] / Math.max(size[1], 1e-6));
  const dot = Math.max(...size) * scale < 1e-3 || !Number.isFinite(scale) || Math.max(...size) < 1e-6;
  const s = dot ? 0 : scale;
  const middle = [(corners.top + corners.bottom) / 2, (corners.left + corners.right) / 2];
  const placed = strokes.map((stroke) =>
    stroke.map(([x, y]) => [(x - middle[1]) * s + across / 2, (y - middle[0]) * s + down / 2]),
  );
  let ink = rasterise(placed, down, across, pen / 2, how.binary);
  if (how.centre === "mass") {
    let [sum, row, column] = [0, 0, 0];
    for (let i = 0; i < ink.length; i++) {
      sum += ink[i];
      row += ink[i] * Math.floor(i / across);
      column += ink[i] * (i % across);
    }
    const by = [Math.round(down / 2 - 0.5 - row / sum), Math.round(across / 2 - 0.5 - column / sum)];
    ink = rasterise(placed.map((stroke) => stroke.map(([x, y]) => [x + by[1], y + by[0]])), down, across, pen / 2, how.binary);
  }
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      let count = 0;
      for (let a = 0; a < times; a++) {
        for (let b = 0; b < times; b++) count += ink[(i * times + a) * across + j * times + b];
      }
      const share = count / (times * times);
      for (let c = 0; c < channels; c++) image[(c * height + i) * width + j] = how.light ? 1 - share : share;
    }
  }
  return image;
}

/** Return which pixels lie under a round pen that goes along the strokes; soft at its edge unless binary. */
function rasterise(strokes, height, width, radius, binary) {
  const ink = new Float32Array(height * width);
  for (const stroke of strokes) {
    for (let k = 0; k < stroke.length; k++) {
      const [ax, ay] = stroke[Math.max(0, k - 1)];
      const [bx, by] = stroke[k];
      const [dx, dy] = [bx - ax, by - ay];
      const length = dx * dx + dy * dy;
      const top = Math.max(0, Math.floor(Math.min(ay, by) - radius - 1));
      const bottom = Math.min(height - 1, Math.ceil(Math.max(ay, by) + radius + 1));
      const left = Math.max(0, Math.floor(Math.min(ax, bx) - radius - 1));
      const right = Math.min(width - 1, Math.ceil(Math.max(ax, bx) + radius + 1));
      for (let i = top; i <= bottom; i++) {
        for (let j = left; j <= right; j++) {
          const [px, py] = [j + 0.5 - ax, i + 0.5 - ay];
          const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
          const distance = Math.hypot(px - t * dx, py - t * dy);
          const share = binary ? Number(distance <= radius) : Math.min(1, Math.max(0, radius + 0.5 - distance));
          if (share > ink[i * width + j]) ink[i * width + j] = share;
        }
      }
    }
  }
  return ink;
}
