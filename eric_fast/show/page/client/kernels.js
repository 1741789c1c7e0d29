// Kernels: the list, and a page for each with its strongest images, its rules, what its bit does, and its label.

let used = null;
// Atoms that some rule mentions or defines, from the start layer up
function usedAtoms() {
  const { start, isKnown } = currentRun();
  if (used?.start !== start) {
    used = { start, atoms: [...Array(nAtoms).keys()].filter((a) => isKnown(a) && (classUses[a].length || kernelUses[a].length || definingRules[a].length)) };
  }
  return used.atoms;
}

// What the forced-bit analysis says of an atom from the chosen start layer, or null
function effectOf(atom) {
  const effects = doc.effects[known().start_layer];
  if (!effects) return null;
  effects.columns ??= Object.fromEntries(Object.entries(effects.packed).map(([name, text]) => [name, decodeFloats(text)]));
  effects.rows ??= new Map(Array.from(decodeInts(effects.atoms), (own, row) => [own, row]));
  const row = effects.rows.get(atom);
  if (row === undefined) return null;
  return Object.fromEntries(Object.entries(effects.columns).map(([name, values]) => [name, values[row]]));
}

// Fidelity lost when the bit is another image's; without that analysis, the share of images that its rules decide
let weights = null;
function importanceOf(atom) {
  const effect = effectOf(atom);
  if (effect) return Math.max(0, known().fidelity - effect.swapped_fidelity);
  if (weights?.start !== state.start) {
    const values = new Float64Array(nAtoms);
    for (let r = 0; r < classRules.n; r++) for (const literal of bodyOf(classRules, r)) values[atomOf(literal)] += figuresOf(r).decided / images.nAll;
    for (let r = kernelRules.n - 1; r >= 0; r--) {
      const part = classRules.n ? Math.max(0, kernelRules.covered[r]) / (program.nTraining || 1) : 0;
      for (const literal of bodyOf(kernelRules, r)) values[atomOf(literal)] += values[kernelRules.heads[r]] * part;
    }
    weights = { start: state.start, values };
  }
  return weights.values[atom];
}
const hasEffects = () => Boolean(doc.effects[known().start_layer]);
const importanceWords = () =>
  hasEffects()
    ? ["By the fidelity that is lost when a kernel’s bit is replaced by that of another image."]
    : ["By the share of images that are decided by rules with the kernel in them."];
const importanceText = (atom) => (hasEffects() ? `${(100 * importanceOf(atom)).toFixed(2)} points` : percent(importanceOf(atom)));

let ranking = null;
function rankKernels() {
  if (ranking?.start !== state.start) {
    const order = usedAtoms().map((atom) => [importanceOf(atom), atom]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    ranking = { start: state.start, order: order.map(([, atom]) => atom) };
  }
  return ranking.order;
}

// The images with the highest norm of all that were captured, and the norms; of kernels in rules all are embedded
const strongest = doc.strongest ? { n: doc.strongest.n, images: decodeInts(doc.strongest.images), norms: decodeFloats(doc.strongest.norms) } : null;
const strongestOf = (atom) => Array.from({ length: strongest.n }, (_, i) => ({ image: strongest.images[atom * strongest.n + i], norm: strongest.norms[atom * strongest.n + i] }));
const isHere = ({ image }) => image >= 0;

let heats = null;
function heatOf(atom, image) {
  if (!doc.heat) return null;
  heats ??= new Map(doc.heat.map((entry) => [entry.atom, { ...entry, images: decodeInts(entry.images), values: decodeBytes(entry.values) }]));
  const entry = heats.get(atom);
  const rank = entry ? entry.images.indexOf(image) : -1;
  if (rank < 0) return null;
  const { width, height } = entry;
  return { width, height, top: 255, values: entry.values.subarray(rank * width * height, (rank + 1) * width * height) };
}
const strongPictures = (atom, n, caption) => strongestOf(atom).filter(isHere).slice(0, n).map(({ image }) => picture(image, { caption, heat: heatOf(atom, image) }));

// The class or sub-class whose images the kernel's bit follows best: it stands for it if most images on which it is true
// are of it, else it is true for several
function symbolWords(atom) {
  const symbol = doc.symbols[program.atoms[atom]];
  if (!symbol) return null;
  const words = (found, name) => [name, `: φ ${found.phi.toFixed(2)}, ${percent(found.precision, 0)} of the images on which it is true are, and it finds ${percent(found.recall, 0)} of them`];
  const rule = symbol.rule ? parseInt(symbol.rule.name.slice(5), 10) - 1 : -1;
  return h(
    "ul",
    { class: "stands" },
    symbol.class ? h("li", {}, symbol.class.isPrecise ? ["stands for ", words(symbol.class, classChip(classes.indexOf(symbol.class.name)))] : trueForWords(symbol.class)) : null,
    rule >= 0 && isTested() && symbol.rule.isPrecise ? h("li", {}, "stands for the sub-class of ", words(symbol.rule, h("a", { href: ruleLink(rule) }, symbol.rule.name))) : null,
  );
}
// `true for 2, 5, 4, 6 (100 %, 100 %, 96 %, 91 %)`
function trueForWords({ trueFor }) {
  const shown = trueFor.slice(0, 6);
  const rest = trueFor.length - shown.length;
  return ["true for ", shown.map(([name], i) => [i ? ", " : "", classChip(classes.indexOf(name))]), ` (${shown.map(([, part]) => percent(part, 0)).join(", ")})`, rest ? ` and ${format(rest)} more` : ""];
}
function standsWords(atom) {
  const symbol = doc.symbols[program.atoms[atom]]?.class;
  return symbol ? [" · ", symbol.isPrecise ? `stands for ${symbol.name}` : trueForWords(symbol)] : null;
}

function kernelCard(atom) {
  return h(
    "article",
    { class: "card kernelcard" },
    h("h3", {}, kernelChip(atom)),
    h("p", { class: "small" }, labelOf(atom) ? [h("code", {}, program.atoms[atom]), " · "] : null, importanceText(atom), ` · ${count(classUses[atom].length, "class rule")}`, standsWords(atom)),
    h("div", { class: "strip" }, strongPictures(atom, 6, false)),
  );
}

function byClass(atom) {
  const row = currentRun().truth[atom];
  const n = new Float64Array(classes.length), on = new Float64Array(classes.length);
  for (let i = 0; i < images.n; i++) {
    n[images.predictions[i]]++;
    on[images.predictions[i]] += hasBit(row, i);
  }
  return [...classes.keys()].filter((c) => n[c]).map((c) => ({ index: c, n: n[c], on: on[c] / n[c] })).sort((a, b) => b.on - a.on || a.index - b.index);
}

function kernelsPage(query) {
  const layer = query.get("layer") ?? "", text = query.get("q") ?? "", sort = query.get("sort") ?? "importance";
  const orders = {
    importance: ["importance", (a, b) => importanceOf(b) - importanceOf(a)],
    uses: ["rules", (a, b) => usesOf(b) - usesOf(a)],
    share: ["true on", (a, b) => shareTrue(b) - shareTrue(a)],
    name: ["kernel", () => 0],
  };
  const usesOf = (atom) => classUses[atom].length + kernelUses[atom].length;
  const shareTrue = (atom) => countBits(currentRun().truth[atom]) / images.n;
  const wanted = text.toLowerCase();
  const list = usedAtoms()
    .filter((a) => !layer || layerNames[layerOfAtom[a]] === layer)
    .filter((a) => !wanted || program.atoms[a].toLowerCase().includes(wanted) || labelOf(a).toLowerCase().includes(wanted))
    .sort((a, b) => (orders[sort] ?? orders.importance)[1](a, b) || a - b);
  const go = (change) => (location.hash = linkTo("kernels", { layer, q: text, sort: sort === "importance" ? "" : sort, ...change }));
  const search = h("input", { type: "search", name: "q", value: text, placeholder: "name or label", "data-search": true, on: { change: () => go({ q: search.value }) } });
  const most = importanceOf(list[0] ?? 0) || 1;
  const row = (atom) =>
    h(
      "tr",
      { "data-atom": atom },
      h("td", {}, kernelChip(atom), labelOf(atom) ? h("code", { class: "small" }, " " + program.atoms[atom]) : null),
      h("td", { class: "wide" }, h("div", { class: "strip tiny" }, strongPictures(atom, 5, false))),
      h("td", { class: "num" }, importanceText(atom), bar(importanceOf(atom) / most)),
      h("td", { class: "num" }, format(usesOf(atom))),
      h("td", { class: "num wide" }, percent(shareTrue(atom), 0)),
      h("td", { class: "wide" }, byClass(atom).slice(0, 2).map(({ index, on }) => h("span", { class: "mini" }, `${classes[index]}: ${percent(on, 0)}`))),
    );
  const body = h("tbody");
  const heading = (key, extra = "") => h("th", { scope: "col", class: extra, "aria-sort": sort === key ? "descending" : false }, h("button", { type: "button", class: "sort", on: { click: () => go({ sort: key }) } }, orders[key][0]));
  const [grown, more] = growing(body, list, 60, row);
  return {
    title: "Kernels",
    content: [
      h("h1", {}, "Kernels"),
      h("p", { class: "lead" }, `${format(list.length)} of ${format(nAtoms)} kernels are in rules. `, ...importanceWords()),
      h(
        "form",
        { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
        h("label", { class: "field grow" }, h("span", {}, "Search"), search),
        choose("layer", "Layer", [["", "all"], ...starts[state.start].layers.map((layer) => [layerNames[layer], layerNames[layer]])], layer, (value) => go({ layer: value })),
      ),
      list.length
        ? h("div", { class: "scroll" }, h("table", { class: "list" }, h("thead", {}, h("tr", {}, heading("name"), h("th", { scope: "col", class: "wide" }, "strongest images"), heading("importance", "num"), heading("uses", "num"), heading("share", "num wide"), h("th", { scope: "col", class: "wide" }, "classes"))), grown))
        : note("No kernel fits."),
      more,
      newLabels.size ? section("Labels given here", labelCommands()) : null,
    ],
  };
}

function kernelPage(name) {
  const atom = program.atoms.indexOf(name);
  if (atom < 0) return missing(`There is no kernel “${name}”.`);
  const run = currentRun();
  if (!run.isKnown(atom)) {
    return missing(`${name} lies below ${known().start_layer}, whose bits are given. Choose a lower start layer to see it.`);
  }
  const isGiven = run.isGiven(atom);
  const place = rankKernels().indexOf(atom);
  const unit = program.thresholds[atom] === null ? "" : ` Its bit is true where the ${doc.origin.norm} norm of its map is ${program.operators[atom]} ${program.thresholds[atom].toPrecision(4)}.`;
  return {
    title: name,
    content: [
      h("p", { class: "crumb" }, h("a", { href: "#/kernels" }, "Kernels"), " › ", h("a", { href: linkTo("kernels", { layer: layerNames[layerOfAtom[atom]] }) }, layerNames[layerOfAtom[atom]])),
      h("h1", {}, labelOf(atom) || name),
      h("p", { class: "lead" }, labelOf(atom) ? [h("code", {}, name), ". "] : null, place < 0 ? "No rule mentions it." : `Number ${format(place + 1)} of ${format(rankKernels().length)} by importance.`, unit),
      labelEditor(atom),
      section(
        "Strongest images",
        note(doc.heat ? "The embedded images with the highest norm; colour shows where the kernel is active." : doc.hasThumbnails ? "The embedded images with the highest norm. Give the report --model to see where the kernel is active." : "The embedded images with the highest norm. Give the report --data to see them."),
        h("div", { class: "gallery large" }, strongPictures(atom, strongest.n, true)),
      ),
      h("div", { class: "columns" }, section("What its bit does", effectTable(atom)), section("True for which classes", symbolWords(atom), classBars(atom))),
      section("Class rules that use it", classUses[atom].length ? growing(h("div", { class: "rules compact" }), rulesByWeight(classUses[atom]), N_RULES, compactRule) : note("None.")),
      isGiven ? null : section("Rules that define it", definition(atom)),
      section("Kernel rules that use it", usesBelow(atom)),
      section("Kernels that go with it", related(atom)),
    ],
  };
}

const compactRule = (rule) => h("article", { class: "rule" }, h("h3", {}, h("a", { href: ruleLink(rule) }, `Rule ${format(rule + 1)}`)), ruleSentence(rule), ruleFacts(rule));
const compactKernelRule = (rule) => h("article", { class: "rule" }, kernelSentence(rule), h("p", { class: "small" }, `training: ${trainingWords(kernelRules, rule)}`));
const byCoverage = (rules) => [...rules].sort((a, b) => kernelRules.covered[b] - kernelRules.covered[a] || a - b);

function definition(atom) {
  const rules = byCoverage(definingRules[atom]);
  if (!rules.length) return note(isNegated[atom] ? "None: it is always true." : "None: it is never true.");
  return [isNegated[atom] ? note("They say where it is false; everywhere else it is true.") : null, growing(h("div", { class: "rules compact" }), rules, N_RULES, compactKernelRule)];
}
function usesBelow(atom) {
  const { isGiven, isKnown } = currentRun();
  const rules = byCoverage(kernelUses[atom].filter((rule) => isKnown(kernelRules.heads[rule]) && !isGiven(kernelRules.heads[rule])));
  return rules.length ? growing(h("div", { class: "rules compact" }), rules, N_RULES, compactKernelRule) : note("None.");
}

function effectTable(atom) {
  const effect = effectOf(atom);
  const now = known();
  if (!effect) return note(`True on ${percent(countBits(currentRun().truth[atom]) / images.n)} of the embedded images. What forcing it does is known from ${Object.keys(doc.effects).join(", ")}.`);
  const row = (name, key) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "num" }, `${points(effect[key + "_fidelity"] - now.fidelity)}`), h("td", { class: "num" }, now.accuracy === null ? "–" : points(effect[key + "_accuracy"] - now.accuracy)), h("td", { class: "num" }, percent(effect[key + "_changed"], 2)));
  return [
    h("div", { class: "scroll" }, h(
      "table",
      { class: "list" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "its bit is"), h("th", { scope: "col", class: "num" }, "fidelity"), h("th", { scope: "col", class: "num" }, "accuracy"), h("th", { scope: "col", class: "num" }, "answers changed"))),
      h("tbody", {}, row("forced true", "true"), row("forced false", "false"), row("another image’s", "swapped")),
    )),
    note(`Points of difference, on all ${format(images.nAll)} images. It is true on ${percent(effect.share_true)}.`, Number.isNaN(effect.p_value) ? null : ` Is it needed? ${pText(effect.p_value)} (McNemar, adjusted for all kernels).`),
  ];
}

function classBars(atom) {
  const rows = byClass(atom);
  const shown = rows.length > 14 ? [...rows.slice(0, 10), ...rows.slice(-4)] : rows;
  return h("ul", { class: "bars" }, shown.map(({ index, on }) => h("li", {}, h("a", { href: classLink(index) }, classes[index]), bar(on), h("span", { class: "num" }, percent(on, 0)))));
}

// Phi of two bits over the embedded images: 1 where they are the same, -1 where they are opposite
function phi(a, b) {
  let both = 0;
  for (let w = 0; w < N_WORDS; w++) if (a[w] & b[w]) both += countBits([(a[w] & b[w]) >>> 0]);
  const n = images.n, na = countBits(a), nb = countBits(b);
  const spread = Math.sqrt(na * (n - na) * nb * (n - nb));
  return spread ? (n * both - na * nb) / spread : 0;
}
function related(atom) {
  const { truth } = currentRun();
  const pairs = usedAtoms().filter((other) => other !== atom).map((other) => [phi(truth[atom], truth[other]), other]);
  pairs.sort((a, b) => Math.abs(b[0]) - Math.abs(a[0]) || a[1] - b[1]);
  return [
    note("Correlation (phi) of the two bits over the embedded images: 1 is always the same, −1 always opposite."),
    h("ul", { class: "bars" }, pairs.slice(0, 8).map(([value, other]) => h("li", {}, kernelChip(other), bar(Math.abs(value), value < 0 ? "warm" : ""), h("span", { class: "num" }, (value < 0 ? "−" : "") + Math.abs(value).toFixed(2))))),
  ];
}

function labelEditor(atom) {
  const input = h("input", { name: "label", value: labelOf(atom), placeholder: "such as: wheels", maxlength: 80, autocomplete: "off" });
  const commands = h("div", { class: "commands" }, newLabels.size ? labelCommands() : null);
  const save = (event) => {
    event.preventDefault();
    setLabel(atom, input.value.trim());
    document.querySelector("main h1").textContent = labelOf(atom) || program.atoms[atom];
    commands.replaceChildren(...(newLabels.size ? labelCommands() : []));
    say(input.value.trim() ? "Labelled" : "Label removed");
  };
  return h("form", { class: "label", on: { submit: save } }, h("label", { class: "field grow" }, h("span", {}, "What does it see? Its label"), input), h("button", { type: "submit" }, "Set label"), commands);
}

// The labels given in this page as commands for a shell
const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
const commandText = () => Array.from(newLabels, ([atom, label]) => `eric-fast label ${quote(program.file)} ${quote(program.atoms[atom] + "=" + label)}`).join("\n");
function labelCommands() {
  const text = h("textarea", { class: "code", readonly: true, rows: Math.min(8, newLabels.size), "aria-label": "Commands that keep these labels", spellcheck: "false" });
  text.value = commandText();
  const copy = async () => {
    text.select();
    await navigator.clipboard.writeText(text.value);
    say("Copied");
  };
  return [note("Keep the labels given here in the program’s file:"), text, h("button", { type: "button", on: { click: () => copy().catch(() => say("Press Ctrl-C to copy")) } }, "Copy")];
}
