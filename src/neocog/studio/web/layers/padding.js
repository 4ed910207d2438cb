// Pad2D, PadChannels.

import { LAYERS } from "./base.js";
import { copying } from "./copying.js";

Object.assign(LAYERS, {
  Pad2D: copying(({ rows, columns }, [c, i, j]) => (rows[i] < 0 || columns[j] < 0 ? null : [0, [c, rows[i], columns[j]]])),
  PadChannels: copying((settings, index, [x]) => (index[0] < x.shape[0] ? [0, index] : null)),
});
