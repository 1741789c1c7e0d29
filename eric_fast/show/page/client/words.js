// Numbers and rules in words.

const pText = (p) => (p < 0.0001 ? "p < 0.0001" : `p = ${p.toFixed(4)}`);
const number = new Intl.NumberFormat("en-US");
const format = (value) => number.format(value);
const percent = (share, digits = 1) => (share === null || Number.isNaN(share) ? "unknown" : (100 * share).toFixed(digits) + " %");
const share = (part, whole) => (whole ? part / whole : NaN);
const count = (n, noun) => format(n) + " " + noun + (n === 1 ? "" : "s");
// A difference of shares in points; less than a hundredth is none
function points(difference) {
  const hundredths = Math.round(difference * 10000);
  return (hundredths > 0 ? "+" : hundredths < 0 ? "−" : "±") + Math.abs(hundredths / 100).toFixed(2);
}

function kernelChip(atom, isNot = false, extra = "") {
  const title = program.atoms[atom] + (isNot ? " is false" : " is true");
  const name = labelOf(atom);
  return h(
    "a",
    { class: `chip ${isNot ? "not" : ""} ${extra}`, href: kernelLink(atom), title },
    isNot ? h("b", { class: "neg" }, "not ") : null,
    name || h("code", {}, program.atoms[atom]),
  );
}
const classChip = (index) =>
  index < 0 ? h("span", { class: "klass none" }, "nothing") : h("a", { class: "klass", href: classLink(index) }, classes[index]);

// `truck if features.19:207 and not features.19:50`, or `truck if 7 of 12 points:` and a card of them
const ruleSentence = (rule) => sentence(classRules, rule, isVote ? addsWords(rule) : classChip(classRules.heads[rule]));
function kernelSentence(rule) {
  const head = kernelRules.heads[rule];
  return sentence(kernelRules, rule, kernelChip(head, isNegated[head] === 1));
}
function sentence(rules, rule, head) {
  const body = Array.from(bodyOf(rules, rule));
  const said = (...words) => h("p", { class: "sentence" }, head, words);
  if (!boundOf(rules, rule)) {
    return said(
      h("span", { class: "and" }, body.length ? " if " : " always"),
      body.flatMap((literal, i) => [i ? h("span", { class: "and" }, " and ") : null, kernelChip(atomOf(literal), literal < 0)]),
    );
  }
  const all = weightsOf(rules, rule).reduce((sum, weight) => sum + weight, 0);
  return h("div", {}, said(h("span", { class: "and" }, ` if at least ${format(boundOf(rules, rule))} of ${count(all, "point")}: `)), scoreCard(rules, rule));
}

// A row for each literal, the most points first: a bar, its points, and on one image whether it has them
function scoreCard(rules, rule, image = null) {
  const body = bodyOf(rules, rule);
  const weights = weightsOf(rules, rule);
  const most = Math.max(...weights);
  const order = [...body.keys()].sort((a, b) => weights[b] - weights[a] || a - b);
  const row = (i) =>
    h(
      "li",
      { class: image !== null && !holds(body[i], image) ? "lacks" : "" },
      kernelChip(atomOf(body[i]), body[i] < 0),
      bar(weights[i] / most),
      h("span", { class: "num" }, format(weights[i])),
    );
  return h("ul", { class: "bars card-of-points" }, order.map(row));
}

// What training said of a rule
function trainingWords(rules, rule) {
  const covered = rules.covered[rule];
  const parts = covered < 0 ? [] : [`support ${format(covered)}`];
  if (covered >= 0 && program.nTraining) parts.push(`coverage ${percent(covered / program.nTraining)}`);
  const confidence = rules.confidence[rule], least = rules.leastConfidence[rule];
  if (confidence !== null) parts.push(`confidence ${confidence.toFixed(2)}` + (least === confidence ? "" : ` (${least.toFixed(2)} at least)`));
  return parts.join(", ") || "support unknown";
}

// Images that a class rule decided, of all that were captured, by Python
function figuresOf(rule) {
  const start = known();
  start.figures ??= {
    decided: decodeInts(start.ruleDecided),
    agrees: decodeInts(start.ruleAgrees),
    correct: decodeInts(start.ruleCorrect),
  };
  const at = (name) => start.figures[name][rule] ?? 0;
  return { decided: at("decided"), agrees: at("agrees"), correct: at("correct") };
}

function fact(value, name, detail = null, tone = "") {
  return h("div", { class: `fact ${tone}` }, h("strong", {}, value), h("span", {}, name), detail ? h("small", {}, detail) : null);
}

function bar(part, tone = "") {
  return h("span", { class: `meter ${tone}`, "aria-hidden": "true" }, h("i", { set: { "--part": `${Math.max(0, Math.min(1, part || 0)) * 100}%` } }));
}
