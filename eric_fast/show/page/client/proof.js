// Why the program answers as it does on one image: the rule that decided, and below each kernel the rules that made it.

const holds = (literal, image) => hasBit(currentRun().truth[atomOf(literal)], image) === literal >= 0;
const firesOn = (rules, rule, image) => bodyOf(rules, rule).every((literal) => holds(literal, image));

function proofOf(image) {
  const run = currentRun();
  const rule = run.rules[image];
  if (rule === NO_RULE) {
    return [note(program.default < 0 ? "No class rule fires, so the program answers nothing." : `No class rule fires, so the program answers its default, ${classes[program.default]}.`), nearMisses(image)];
  }
  const earlier = program.decision === "first" ? "" : ` It adds most to ${nameOfClass(run.answers[image])}.`;
  return [
    h("p", {}, h("a", { href: ruleLink(rule) }, `Rule ${format(rule + 1)}`), " decided: ", classChip(run.answers[image]), " because", earlier),
    h("ul", { class: "proof" }, Array.from(bodyOf(classRules, rule), (literal) => step(literal, image))),
    nearMisses(image),
  ];
}

// One literal of a body, true or not, and what lies below it
function step(literal, image) {
  const atom = atomOf(literal), run = currentRun();
  const isTrue = hasBit(run.truth[atom], image);
  const fits = isTrue === literal >= 0;
  const own = hasBit(givenBits(atom), image);
  const line = [
    h("span", { class: fits ? "yes" : "no", "aria-hidden": "true" }, fits ? "✓" : "✗"),
    kernelChip(atom, false, literal < 0 ? "not" : ""),
    ` is ${isTrue ? "true" : "false"}`,
    atom < run.last || own === isTrue ? null : h("span", { class: "slip", title: "The bit that the network itself gives" }, ` (in the network ${own ? "true" : "false"})`),
  ];
  if (atom < run.last) return h("li", {}, line, h("small", {}, " given"));
  const below = h("div");
  const details = h("details", { on: { toggle: () => below.childElementCount || below.append(...because(atom, image, isTrue)) } }, h("summary", {}, line), below);
  return h("li", {}, details);
}

// The rules that made a derived atom what it is
function because(atom, image, isTrue) {
  const rules = definingRules[atom];
  const fired = rules.filter((rule) => firesOn(kernelRules, rule, image));
  const says = (rule) => h("li", {}, kernelSentence(rule), h("ul", { class: "proof" }, Array.from(bodyOf(kernelRules, rule), (literal) => step(literal, image))));
  if (fired.length) {
    const words = isNegated[atom] ? "false, as this rule fires:" : "true, as this rule fires:";
    return [note(words), h("ul", { class: "proof" }, fired.slice(0, 1).map(says)), fired.length > 1 ? note(`${count(fired.length - 1, "other rule")} of it would do, too.`) : null].filter(Boolean);
  }
  const closest = [...rules].sort((a, b) => unmet(kernelRules, a, image).length - unmet(kernelRules, b, image).length || a - b).slice(0, 1);
  return [note(rules.length ? `${isTrue ? "true" : "false"}, as none of its ${count(rules.length, "rule")} fires. The nearest lacks ${count(unmet(kernelRules, closest[0], image).length, "condition")}:` : `it has no rule, so it is always ${isTrue ? "true" : "false"}.`), h("ul", { class: "proof" }, closest.map(says))];
}

const unmet = (rules, rule, image) => bodyOf(rules, rule).filter((literal) => !holds(literal, image));

// For other classes, the rule that lacks least
function nearMisses(image) {
  const run = currentRun();
  const best = new Map();
  for (let rule = 0; rule < classRules.n; rule++) {
    const index = classRules.heads[rule];
    if (index === run.answers[image]) continue;
    const lacking = unmet(classRules, rule, image);
    if (!best.has(index) || lacking.length < best.get(index).lacking.length) best.set(index, { rule, lacking });
  }
  const rows = [...best].sort((a, b) => a[1].lacking.length - b[1].lacking.length || a[0] - b[0]).slice(0, 4);
  if (!rows.length) return null;
  return h(
    "div",
    { class: "near" },
    h("h3", {}, "Nearly"),
    h(
      "ul",
      {},
      rows.map(([index, { rule, lacking }]) =>
        h("li", {}, classChip(index), " by ", h("a", { href: ruleLink(rule) }, `rule ${rule + 1}`), lacking.length ? [", were it for ", Array.from(lacking, (literal, i) => [i ? " and " : "", kernelChip(atomOf(literal), literal < 0)])] : ", which fires, too, but does not decide"),
      ),
    ),
  );
}
