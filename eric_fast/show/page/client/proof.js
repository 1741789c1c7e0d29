// Why the program answers as it does on one image: the rule that decided, and below each kernel the rules that made it.

const holds = (literal, image) => hasBit(currentRun().truth[atomOf(literal)], image) === literal >= 0;
const firesOn = (rules, rule, image) => pointsOn(rules, rule, image) >= neededBy(rules, rule);
const pointOf = (rules, rule, i) => (boundOf(rules, rule) ? weightsOf(rules, rule)[i] : 1); // all of a conjunction's are needed
const neededBy = (rules, rule) => boundOf(rules, rule) || bodyOf(rules, rule).length;
const pointsOn = (rules, rule, image) => bodyOf(rules, rule).reduce((sum, literal, i) => sum + (holds(literal, image) ? pointOf(rules, rule, i) : 0), 0);

function proofOf(image) {
  const run = currentRun();
  const rule = run.rules[image];
  if (rule === NO_RULE) {
    return [note(program.default < 0 ? "No class rule fires, so the program answers nothing." : `No class rule fires, so the program answers its default, ${classes[program.default]}.`), nearMisses(image)];
  }
  const decider = h("a", { href: ruleLink(rule) }, `Rule ${format(rule + 1)}`);
  if (isVote) {
    return [h("p", {}, classChip(run.answers[image]), " has the most points."), ...rivalry(image), h("p", {}, decider, " adds most to it, because"), reasons(classRules, rule, image)];
  }
  return [h("p", {}, decider, " decided: ", classChip(run.answers[image]), " because"), reasons(classRules, rule, image), nearMisses(image)];
}

// Where a kernel is active in the image, if the report holds that map
function proofMap(atom, image) {
  const heat = heatOf(atom, image), url = thumbnailOf(image);
  if (!heat || !url) return null;
  const words = `where ${program.atoms[atom]} is active in this image`;
  return h("span", { class: "frame inproof", title: words }, h("img", { src: url, alt: words }), drawHeat(heat));
}

// One literal of a body, true or not, and what lies below it
function step(literal, image, weight = 0) {
  const atom = atomOf(literal), run = currentRun();
  const isTrue = hasBit(run.truth[atom], image);
  const fits = isTrue === literal >= 0;
  const own = hasBit(givenBits(atom), image);
  const line = [
    weight ? h("b", { class: "points" }, `${format(weight)} `) : null,
    h("span", { class: fits ? "yes" : "no", "aria-hidden": "true" }, fits ? "✓" : "✗"),
    kernelChip(atom, false, literal < 0 ? "not" : ""),
    ` is ${isTrue ? "true" : "false"}`,
    " ",
    turnButton(atom, image, isTrue),
    run.isGiven(atom) || own === isTrue ? null : h("span", { class: "slip", title: "The bit that the network itself gives" }, ` (in the network ${own ? "true" : "false"})`),
  ];
  if (run.isGiven(atom)) return h("li", {}, line, h("small", {}, " given"), proofMap(atom, image));
  const below = h("div");
  const details = h("details", { on: { toggle: () => below.childElementCount || below.append(...because(atom, image, isTrue)) } }, h("summary", {}, line, proofMap(atom, image)), below);
  return h("li", {}, details);
}

// The rules that made a derived atom what it is
function because(atom, image, isTrue) {
  const rules = definingRules[atom];
  const fired = rules.filter((rule) => firesOn(kernelRules, rule, image));
  const says = (rule) => h("li", {}, boundOf(kernelRules, rule) ? null : kernelSentence(rule), reasons(kernelRules, rule, image));
  if (fired.length) {
    const words = isNegated[atom] ? "false, as this rule fires:" : "true, as this rule fires:";
    return [note(words), h("ul", { class: "proof" }, fired.slice(0, 1).map(says)), fired.length > 1 ? note(`${count(fired.length - 1, "other rule")} of it would do, too.`) : null].filter(Boolean);
  }
  const closest = [...rules].sort((a, b) => unmet(kernelRules, a, image).length - unmet(kernelRules, b, image).length || a - b).slice(0, 1);
  return [note(rules.length ? `${isTrue ? "true" : "false"}, as none of its ${count(rules.length, "rule")} fires. The nearest lacks ${count(unmet(kernelRules, closest[0], image).length, "condition")}:` : `it has no rule, so it is always ${isTrue ? "true" : "false"}.`), h("ul", { class: "proof" }, closest.map(says))];
}

// What settles a rule on an image: all literals of a conjunction; of a weight body the fewest, largest first, that reach
// its bound, or without which it can't be reached
function reasons(rules, rule, image) {
  const all = Array.from(bodyOf(rules, rule));
  if (!boundOf(rules, rule)) return h("ul", { class: "proof" }, all.map((literal) => step(literal, image)));
  const has = pointsOn(rules, rule, image);
  const settling = fewest(rules, rule, image, has >= neededBy(rules, rule));
  const steps = settling.map(([literal, weight]) => step(literal, image, weight));
  return h("div", {}, h("p", { class: "small" }, `It has ${count(has, "point")} and needs ${format(neededBy(rules, rule))}. What settles it:`), h("ul", { class: "proof" }, steps), h("details", {}, h("summary", {}, `all ${count(all.length, "literal")}`), scoreCard(rules, rule, image)));
}

function fewest(rules, rule, image, isTrue) {
  const pairs = Array.from(bodyOf(rules, rule), (literal, i) => [literal, pointOf(rules, rule, i)]);
  const total = pairs.reduce((sum, [, weight]) => sum + weight, 0);
  let missing = isTrue ? neededBy(rules, rule) : total - neededBy(rules, rule) + 1;
  const able = pairs.filter(([literal]) => holds(literal, image) === isTrue).sort((a, b) => b[1] - a[1]);
  return able.filter(([, weight]) => {
    const isNeeded = missing > 0;
    missing -= weight;
    return isNeeded;
  });
}

// The literals that a rule lacks: of a weight body the fewest that would reach its bound
function unmet(rules, rule, image) {
  let missing = neededBy(rules, rule) - pointsOn(rules, rule, image);
  const failing = Array.from(bodyOf(rules, rule), (literal, i) => [literal, pointOf(rules, rule, i)]).filter(([literal]) => !holds(literal, image));
  const lacking = failing.sort((a, b) => b[1] - a[1]).filter(([, weight]) => {
    const isNeeded = missing > 0;
    missing -= weight;
    return isNeeded;
  });
  return lacking.map(([literal]) => literal);
}

// Under `vote`: the rows that count, by what they add to the answer against the class with the next most points; then
// the points of every class
function rivalry(image) {
  const run = currentRun();
  const answer = run.answers[image];
  const fired = listVotes().filter(({ rules }) => hasBit(run.fires[rules[0]], image));
  const sums = classes.map((_, index) => program.base[index] + fired.reduce((sum, { points }) => sum + points[index], 0));
  const order = [...classes.keys()].sort((a, b) => sums[b] - sums[a] || a - b);
  const rival = order.find((index) => index !== answer);
  if (rival === undefined) return [];
  const rows = fired.map((row) => [row, row.points[answer] - row.points[rival]]).filter(([, lead]) => lead !== 0);
  rows.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]) || a[0].rules[0] - b[0].rules[0]);
  const most = Math.max(...rows.map(([, lead]) => Math.abs(lead)));
  const start = program.base[answer] - program.base[rival];
  const top = Math.max(...sums.map(Math.abs));
  return [
    h(
      "div",
      { class: "near rivalry" },
      h("h3", {}, "Points for it against the runner-up"),
      h("p", { class: "small" }, classChip(answer), ` ${format(sums[answer])}, `, classChip(rival), ` ${format(sums[rival])}: ahead by ${format(sums[answer] - sums[rival])}`, start ? `, ${signed(start)} of it before any rule fires` : "", " · ", h("a", { href: linkTo("votes", { image: images.ids[image] }) }, "every row that counts here")),
      ...growing(h("ul", { class: "bars" }), rows, 12, ([row, lead]) => pointBar(nameVote(row), lead, most)),
    ),
    h("div", { class: "near" }, h("h3", {}, "Points of each class"), ...growing(h("ul", { class: "bars" }), order, 10, (index) => pointBar(classChip(index), sums[index], top))),
  ];
}

// The class rule that decides under `first` if these atoms' bits were the other way on an image
function ruleIf(image, flips) {
  const isMet = (literal) => holds(literal, image) !== flips.has(atomOf(literal));
  for (let rule = 0; rule < classRules.n; rule++) {
    const points = bodyOf(classRules, rule).reduce((sum, literal, i) => sum + (isMet(literal) ? pointOf(classRules, rule, i) : 0), 0);
    if (points >= neededBy(classRules, rule)) return rule;
  }
  return NO_RULE;
}

// The bits of the last layer that have to differ for a rule's class: what the rule lacks and, if an earlier rule still
// decides, one bit of that more; null where this isn't enough
function flipsFor(rule, image) {
  const index = classRules.heads[rule];
  const flips = new Set(unmet(classRules, rule, image).map(atomOf));
  const answers = (set) => {
    const decider = ruleIf(image, set);
    return decider !== NO_RULE && classRules.heads[decider] === index;
  };
  if (answers(flips)) return flips;
  const own = new Set(Array.from(bodyOf(classRules, rule), atomOf));
  const decider = ruleIf(image, flips);
  for (const atom of decider === NO_RULE ? [] : Array.from(bodyOf(classRules, decider), atomOf)) {
    const more = new Set(flips).add(atom);
    if (!own.has(atom) && answers(more)) return more;
  }
  return null;
}

// For other classes, the fewest bits found without which the program would answer them: each is tried
function nearMisses(image) {
  if (isVote) return null;
  const run = currentRun();
  const best = new Map();
  for (let rule = 0; rule < classRules.n; rule++) {
    const index = classRules.heads[rule];
    const least = best.get(index)?.flips.size ?? Infinity;
    if (index === run.answers[image] || unmet(classRules, rule, image).length >= least) continue;
    const flips = flipsFor(rule, image);
    if (flips && flips.size < least) best.set(index, { flips, decider: ruleIf(image, flips) });
  }
  const rows = [...best].sort((a, b) => a[1].flips.size - b[1].flips.size || a[0] - b[0]).slice(0, 4);
  if (!rows.length) return null;
  const turned = (atom, i) => [i ? " and " : "", kernelChip(atom), ` were ${hasBit(run.truth[atom], image) ? "false" : "true"}`];
  return h(
    "div",
    { class: "near" },
    h("h3", {}, "Nearly"),
    h("ul", {}, rows.map(([index, { flips, decider }]) => h("li", { "data-class": index, "data-flips": [...flips].join(" ") }, h("a", { href: ruleLink(decider) }, `Rule ${format(decider + 1)}`), " would answer ", classChip(index), " if ", [...flips].map(turned)))),
  );
}

// Change a bit of an image and show what the program answers then; once more, and it is as it was
function turnBit(atom, image) {
  const bits = new Map(whatIf?.image === image ? whatIf.bits : []);
  if (bits.has(atom)) bits.delete(atom);
  else bits.set(atom, !hasBit(currentRun().truth[atom], image));
  changeBits(image, bits);
  showPage({ focus: false });
}
function turnButton(atom, image, isTrue) {
  const turn = (event) => {
    event.preventDefault(); // in a summary, which would open
    turnBit(atom, image);
  };
  const isTurned = whatIf?.image === image && whatIf.bits.has(atom);
  const words = isTurned ? "as it was" : `what if ${isTrue ? "false" : "true"}?`;
  return h("button", { type: "button", class: "turn", "data-turn": atom, title: `${program.atoms[atom]}: ${isTurned ? "give it back its bit" : `see what the program answers if it were ${isTrue ? "false" : "true"}`}`, on: { click: turn } }, words);
}
function whatIfWords(image) {
  if (whatIf?.image !== image) return null;
  const before = plainRun().answers[image], now = whatIf.run.answers[image];
  const changed = [...whatIf.bits].map(([atom, isTrue], i) => [i ? " and " : "", kernelChip(atom), ` were ${isTrue ? "true" : "false"}`]);
  const reset = () => {
    changeBits(image, new Map());
    showPage({ focus: false });
  };
  return h("div", { class: "whatif", role: "status" }, h("p", {}, "If ", changed, ", the program would ", before === now ? "still answer " : "answer ", classChip(now), before === now ? "." : [", not ", classChip(before), "."]), h("button", { type: "button", on: { click: reset } }, "Undo"));
}
