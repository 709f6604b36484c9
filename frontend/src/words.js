// The page's sentences, in the person's language, from its JSON block; `{name}` places are filled in.

const block = document.getElementById("words");
const words = block ? JSON.parse(block.textContent) : {};

export function say(key, values = {}) {
  const sentence = words[key] ?? words.fault ?? key;
  return sentence.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

export function sayFailure(failure) {
  const key = failure.seconds > 0 && words[`${failure.reason}-seconds`] ? `${failure.reason}-seconds` : failure.reason;
  return say(words[key] ? key : "fault", { seconds: failure.seconds });
}
