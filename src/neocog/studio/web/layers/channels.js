// Slice, ChannelShuffle.

import { LAYERS } from "./base.js";
import { copying } from "./copying.js";

Object.assign(LAYERS, {
  Slice: copying(({ axis, start, step }, index) => [0, index.map((k, a) => (a === axis ? start + k * step : k))]),
  ChannelShuffle: copying(({ groups }, [c, ...place], [x]) =>
    [0, [(c % groups) * (x.shape[0] / groups) + Math.floor(c / groups), ...place]]),
});
