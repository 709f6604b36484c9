// The page's sentences, in the person's language, from its JSON block; `{name}` places are filled in.

const blocks = ["live-words", "words"].map((id) => document.getElementById(id)).filter(Boolean);
const words = Object.assign({}, ...blocks.map((block) => JSON.parse(block.textContent)));

export function say(key, values = {}) {
  const sentence = words[key] ?? words.fault ?? key;
  return sentence.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

export function sayFailure(failure) {
  if (failure.reason === "said") return failure.detail; // a rule of the trust, in its own words
  const key = failure.seconds > 0 && words[`${failure.reason}-seconds`] ? `${failure.reason}-seconds` : failure.reason;
  return say(words[key] ? key : "fault", { seconds: failure.seconds });
}
