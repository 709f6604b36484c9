// What went wrong, told in its place on the page: the status is cleared, the alert says the reason's own sentence.

import { Failure } from "./keys.js";
import { sayFailure } from "./words.js";

export function tellFailure(fault, status, alert, sentence = sayFailure) {
  if (!(fault instanceof Failure)) console.error(fault);
  const failure = fault instanceof Failure ? fault : new Failure("fault");
  if (status) status.textContent = "";
  alert.textContent = sentence(failure);
  alert.dataset.reason = failure.reason;
  alert.hidden = false;
}
