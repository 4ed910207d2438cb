// SparseConv2D: a convolution whose maps see some of the maps below.

import { LAYERS } from "./base.js";
import { convolution } from "./convolution.js";

LAYERS.SparseConv2D = convolution;
