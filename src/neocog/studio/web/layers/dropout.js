// Dropout, StochasticDepth: in inference the numbers go through.

import { LAYERS, copied } from "./base.js";

LAYERS.Dropout = LAYERS.StochasticDepth = { terms: copied };
