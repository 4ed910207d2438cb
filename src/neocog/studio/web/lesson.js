// The living page of a lesson: the lesson lies in the file, beside the model.

import { lessonPanel } from "./lessons.js";
import { start as begin } from "./living.js";

/** Read model and lesson from the page, and draw both. */
export function start(el, data) {
  return begin(el, data, ({ lesson }) => [lessonPanel(lesson)]);
}
