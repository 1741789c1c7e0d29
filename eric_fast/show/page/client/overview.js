// The first page: how well the program does, what chaining costs, where it differs from the model.

function overviewPage() {
  const start = known();
  const pairs = confusedPairs(start.confusion).slice(0, 6);
  const key = rankKernels().slice(0, 8);
  return {
    title: "Overview",
    content: [
      h("h1", {}, doc.summary.heading),
      h(
        "p",
        { class: "lead" },
        `On ${format(start.n_images)} images, ${count(start.n_rules, "rule")} with ${count(start.n_literals, "literal")} and ${count(start.n_integers, "integer")} over the bits of `,
        h("code", {}, start.start_layer),
        ` answer as the network does `,
        h("b", {}, `${percent(start.fidelity)} of the time`),
        start.accuracy === null ? "." : [` and are right ${percent(start.accuracy)} of the time; the network itself is right ${percent(start.model_accuracy)}.`],
      ),
      h(
        "div",
        { class: "facts" },
        fact(percent(start.fidelity), "fidelity", "agrees with the model"),
        fact(percent(start.accuracy), "accuracy", start.model_accuracy === null ? "no labels are known" : `the model ${percent(start.model_accuracy)}`),
        fact(percent(start.coverage), "coverage", "some class rule fires"),
        fact(format(start.n_rules), "rules", `${format(classRules.n)} for classes`),
        fact(format(start.n_literals), "literals", `${(start.n_literals / Math.max(1, start.n_rules)).toFixed(1)} in a rule`),
        fact(format(start.n_integers), "integers", "weights and bounds other than 1"),
      ),
      h(
        "div",
        { class: "columns" },
        section("Model against program", confusionTable()),
        starts.length > 1
          ? section("What starting lower costs", chainChart(), note("Each further layer of rules loses information. Choose the layer that is given at the top of the page; everything follows."))
          : section("How much of each class it finds", foundBars()),
      ),
      doc.groups ? section("By group", groupTable()) : null,
      section(
        "Where they differ most",
        pairs.length
          ? h(
              "div",
              { class: "pairs" },
              pairs.map(([n, m, p]) => {
                const found = listImages((i) => images.predictions[i] === m && currentRun().answers[i] === p);
                return h(
                  "div",
                  { class: "pair" },
                  h("a", { class: "pairname", href: linkTo("images", { model: classes[m], program: p < 0 ? "(nothing)" : classes[p] }) }, `${nameOfClass(m)} → ${nameOfClass(p)}`, h("small", {}, count(n, "image"))),
                  h("div", { class: "strip" }, found.slice(0, 6).map((image) => picture(image, { caption: false }))),
                );
              }),
            )
          : note("Nowhere: the program answers as the model does on every image."),
      ),
      section("Key kernels", note(...importanceWords()), h("div", { class: "kernelcards" }, key.map(kernelCard)), h("p", {}, h("a", { href: "#/kernels" }, `All ${format(usedAtoms().length)} kernels in rules`))),
      section("Where this comes from", h("dl", { class: "origin" }, originRows()), h("p", { id: "check", class: "note" }, "Checking this page’s answers against Python’s …")),
    ],
    after: showCheck,
  };
}

// For each class the share of the model's images on which the program agrees, the least found first
function foundBars() {
  const rows = [...classes.keys()].map((index) => ({ index, ...classFigures(index) })).filter(({ byModel }) => byModel);
  rows.sort((a, b) => a.both / a.byModel - b.both / b.byModel || a.index - b.index);
  const shown = rows.slice(0, 14);
  const missed = rows.filter(({ both }) => !both).length;
  return [
    h("ul", { class: "bars" }, shown.map(({ index, byModel, both }) => h("li", {}, h("a", { href: classLink(index) }, classes[index]), bar(both / byModel), h("span", { class: "num" }, percent(both / byModel, 0))))),
    note("The share of the images that the model gives to a class on which the program says the same, the least first."),
    rows.length > shown.length ? note(`These are ${shown.length} of ${format(rows.length)} classes; ${format(missed)} ${missed === 1 ? "is" : "are"} never found.`) : null,
  ];
}

function confusedPairs(confusion) {
  const n = classes.length;
  return confusion
    .flatMap((row, m) => row.map((value, p) => [value, m, p < n ? p : NO_RULE]))
    .filter(([value, m, p]) => value && m !== p)
    .sort((a, b) => b[0] - a[0] || a[1] - b[1] || a[2] - b[2]);
}

function originRows() {
  const { origin } = doc;
  const rows = [
    ["program", program.file],
    ["model", origin.model],
    ["fingerprint", origin.fingerprint.slice(0, 16)],
    ["images", `${origin.data}: ${format(images.nAll)} captured, ${format(images.n)} embedded here`],
    ["norm", origin.norm],
    ...program.settings.filter(([key]) => !["model"].includes(key)),
    ["version", `eric_fast ${origin.version}`],
  ];
  return rows.filter(([, value]) => value).map(([key, value]) => [h("dt", {}, key.replaceAll("_", " ")), h("dd", {}, String(value))]);
}

function showCheck(root) {
  const line = root.querySelector("#check");
  setTimeout(() => {
    const n = countDifferences(state.start);
    line.dataset.differences = String(n);
    line.textContent = n
      ? `This page and Python disagree on ${format(n)} images: the report is damaged.`
      : `Checked in this page: bits and rules give Python’s answer, and its deciding rule, on all ${format(images.n)} embedded images.`;
    line.classList.toggle("bad", n > 0);
  }, 0);
}
