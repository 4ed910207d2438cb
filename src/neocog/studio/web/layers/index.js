// All layers of the page, by families; each enters itself into LAYERS.

export { LAYERS } from "./base.js";
import "./activation.js";
import "./bias.js";
import "./channels.js";
import "./convolution.js";
import "./dense.js";
import "./dropout.js";
import "./global_pooling.js";
import "./merge.js";
import "./normalization.js";
import "./padding.js";
import "./pooling.js";
import "./radial.js";
import "./reduction.js";
import "./scaling.js";
import "./shape.js";
import "./softmax.js";
import "./sparse.js";
import "./transposed_convolution.js";
import "./upsampling.js";
