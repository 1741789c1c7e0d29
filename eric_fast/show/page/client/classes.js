// Classes, their rules as sentences, and the images that each rule covers.

const N_RULES = 12; // cards drawn at once

const listImages = (test) => [...Array(images.n).keys()].filter(test);

function classFigures(index) {
  const { confusion } = known();
  const byModel = confusion[index].reduce((a, b) => a + b, 0);
  const byProgram = confusion.reduce((sum, row) => sum + row[index], 0);
  return { byModel, byProgram, both: confusion[index][index] };
}

const rulesByWeight = (rules) => [...rules].sort((a, b) => figuresOf(b).decided - figuresOf(a).decided || classRules.covered[b] - classRules.covered[a] || a - b);

function classesPage() {
  const order = [...classes.keys()].sort((a, b) => rulesOfClass[b].length - rulesOfClass[a].length || a - b);
  const byName = classes.length <= 40 ? [...classes.keys()] : order;
  const run = currentRun();
  const card = (index) => {
    const figures = classFigures(index);
    const shown = listImages((i) => run.answers[i] === index && images.predictions[i] === index).slice(0, 6);
    return h(
      "article",
      { class: "card" },
      h("h2", {}, h("a", { href: classLink(index) }, classes[index])),
      h("p", { class: "small" }, `${count(rulesOfClass[index].length, "rule")} · ${format(figures.byModel)} images by the model, `, h("b", {}, percent(share(figures.both, figures.byModel))), " found"),
      bar(share(figures.both, figures.byModel)),
      h("div", { class: "strip" }, shown.map((image) => picture(image, { caption: false }))),
    );
  };
  return {
    title: "Classes",
    content: [
      h("h1", {}, "Classes"),
      h("p", { class: "lead" }, "Each class is what its rules say. “Found” is the share of the images that the model gives to a class on which the program agrees."),
      growing(h("div", { class: "cards" }), byName, 60, card),
    ],
  };
}

function classPage(name) {
  const index = classes.indexOf(name);
  if (index < 0) return missing(`There is no class “${name}”.`);
  const figures = classFigures(index);
  const rules = rulesByWeight(rulesOfClass[index]);
  return {
    title: name,
    content: [
      h("p", { class: "crumb" }, h("a", { href: "#/classes" }, "Classes")),
      h("h1", {}, name),
      h(
        "div",
        { class: "facts" },
        fact(format(rules.length), rules.length === 1 ? "rule" : "rules", isVote ? "that add most to it" : null),
        fact(format(figures.byModel), "images by the model"),
        fact(percent(share(figures.both, figures.byModel)), "of them found", "fidelity within the class"),
        fact(percent(share(figures.both, figures.byProgram)), "of its answers agree", `${format(figures.byProgram)} images by the program`),
      ),
      subclassNote(index),
      h("p", { class: "actions" }, h("a", { href: linkTo("images", { model: name }) }, "Images that the model says are " + name), h("a", { href: linkTo("program", { class: name }) }, "Its part of the program")),
      isVote ? section("Points for it and against it", classVotes(index)) : null,
      rules.length ? growing(h("div", { class: "rules" }), rules, N_RULES, (rule) => ruleCard(rule)) : note(isVote ? "No row gives most of its points to this class; the points of several together may be the most." : "No rule is for this class: the program never says it" + (program.default === index ? ", except where no rule fires." : ".")),
    ],
  };
}

function ruleFacts(rule) {
  const { decided, agrees, correct } = figuresOf(rule);
  return h(
    "p",
    { class: "small" },
    h("span", { title: "on the training images" }, `training: ${trainingWords(classRules, rule)}`),
    h("span", {}, ` · here: decides ${count(decided, "image")} of ${format(images.nAll)}`, decided ? [", agrees with the model on ", h("b", {}, percent(share(agrees, decided)))] : null, decided && known().accuracy !== null ? `, with the label on ${percent(share(correct, decided))}` : null),
  );
}

function ruleCard(rule, size = 10) {
  const { decided, agrees } = figuresOf(rule);
  return h(
    "article",
    { class: "rule" },
    h("h3", {}, h("a", { href: ruleLink(rule) }, `Rule ${format(rule + 1)}`)),
    ruleSentence(rule),
    ruleFacts(rule),
    bar(share(agrees, decided)),
    subclassFigures(rule),
    coveredImages(rule, size),
  );
}

function rulePage(text) {
  const rule = Number(text) - 1;
  if (!Number.isInteger(rule) || rule < 0 || rule >= classRules.n) return missing(`There is no class rule ${text}.`);
  const index = classRules.heads[rule];
  return {
    title: `Rule ${rule + 1}`,
    content: [
      h("p", { class: "crumb" }, h("a", { href: "#/classes" }, "Classes"), " › ", h("a", { href: classLink(index) }, classes[index])),
      h("h1", {}, `Rule ${format(rule + 1)}`),
      section(null, ruleSentence(rule), ruleFacts(rule), subclassFigures(rule)),
      isVote ? section("What it adds", ruleVotes(rule)) : null,
      section("How its conditions narrow it down", note("On the embedded images, condition by condition: how many are left, and how many of those the model gives to this class."), narrowing(rule)),
      section("Images that it covers", coveredImages(rule, 40)),
    ],
  };
}

// The images left after each literal, and the share of them that the model gives to the rule's class
function narrowing(rule) {
  const { truth } = currentRun();
  const index = classRules.heads[rule];
  const isClass = new Uint32Array(N_WORDS);
  for (let i = 0; i < images.n; i++) if (images.predictions[i] === index) isClass[i >>> 5] |= 1 << (i & 31);
  const left = allTrue();
  const row = (words, n, inClass) =>
    h("li", {}, h("span", { class: "what" }, words), h("span", { class: "left" }, count(n, "image")), bar(share(inClass, n)), h("span", { class: "share" }, percent(share(inClass, n), 0)));
  const both = () => countBits(left.map((word, w) => word & isClass[w]));
  const items = [row("all", images.n, both())];
  for (const literal of boundOf(classRules, rule) ? [] : bodyOf(classRules, rule)) {
    meet([literal], truth, left);
    items.push(row(kernelChip(atomOf(literal), literal < 0), countBits(left), both()));
  }
  if (boundOf(classRules, rule)) {
    fire(classRules, rule, truth, left);
    items.push(row(`at least ${format(boundOf(classRules, rule))} points`, countBits(left), both()));
  }
  return h("ol", { class: "narrowing" }, items);
}

// What the test of sub-classes says; it was made from the layer that the page opens with
const ALPHA = 0.05;
const subclassOf = (index, rule) => doc.subclasses.rows[`${index} ${rule}`] ?? null;
const isTested = () => known().start_layer === doc.start;

function subclassFigures(rule) {
  const found = isTested() ? subclassOf(classRules.heads[rule], rule) : null;
  if (!found) return null;
  const figure = (value) => (value === null ? "unknown" : value.toFixed(2));
  return h(
    "p",
    { class: "small" },
    h("b", { class: found.isFound ? "found" : "" }, verdictOf(found)),
    ": ",
    h("span", { title: "By which share its images are nearer to each other than images of the class are, in the network’s last layer: 0 as random ones, 1 all the same" }, `cohesion ${figure(found.cohesion)}`),
    found.effect === null ? null : h("span", { title: "By how many standard deviations its images lie closer together than random subsets of the class of the same size" }, ` (${found.effect.toFixed(1)} deviations from random subsets)`),
    ", ",
    h("span", { title: "How far its mean lies from that of the rest of the class, squared, over the mean squared distance of two images of the class" }, `distinctness ${figure(found.distinctness)}`),
    `, ${percent(found.shareOfClass)} of the class; ${pText(found.p)} against ${format(doc.subclasses.nPermutations)} random sets`,
  );
}

function verdictOf(found) {
  if (found.isFound) return "A sub-class of its own";
  if (found.shareOfClass > 0.5) return "No sub-class, as it is most of its class";
  return found.p < ALPHA ? "No sub-class, as it is hardly closer together than its class" : "No more of a sub-class than chance gives";
}

function subclassNote(index) {
  if (!isTested()) return null;
  const rows = [...Array(classRules.n).keys()].map((rule) => subclassOf(index, rule)).filter(Boolean);
  if (!rows.length) return null;
  const n = rows.filter((row) => row.isFound).length;
  return h("p", { class: "lead" }, `Of ${isVote ? `${count(rows.length, "group")} of images by the row of points that decides` : `${count(rows.length, "rule")} that could be tested`}, ${format(n)} ${n === 1 ? "covers" : "cover"} a sub-class of its own: at most half of the class, pure, closer together than random images of the class, and apart from the rest of it (p < ${ALPHA}).`);
}
