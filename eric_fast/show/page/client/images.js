// Images: search and filters, and a page for each with its proof.

const NOTHING = "(nothing)";
const classOptions = (extra = []) => [["", "any"], ...extra, ...classes.map((name) => [name, name])];
const indexOfClass = (name) => (name === NOTHING ? NO_RULE : classes.indexOf(name));

// The embedded images that fit a query's filters
function filterImages(query) {
  const run = currentRun();
  const tests = [];
  const text = (query.get("q") ?? "").toLowerCase();
  if (text) tests.push((i) => images.ids[i].toLowerCase().includes(text));
  for (const [key, values] of [["label", images.labels], ["model", images.predictions], ["program", run.answers]]) {
    if (query.get(key)) tests.push((i) => values[i] === indexOfClass(query.get(key)));
  }
  if (query.get("rule")) tests.push((i) => run.rules[i] === Number(query.get("rule")) - 1);
  if (query.get("show") === "differ") tests.push((i) => run.answers[i] !== images.predictions[i]);
  if (query.get("show") === "agree") tests.push((i) => run.answers[i] === images.predictions[i]);
  if (query.get("show") === "wrong") tests.push((i) => images.labels[i] >= 0 && run.answers[i] !== images.labels[i]);
  return listImages((i) => tests.every((test) => test(i)));
}
let lastQuery = new URLSearchParams();

function embeddedWords() {
  if (images.n === images.nAll) return `All ${format(images.nAll)} captured images are here.`;
  return `${format(images.n)} of ${format(images.nAll)} captured images are embedded (${percent(images.n / images.nAll)}): ${doc.embeddedFirst}`;
}

function imagesPage(query) {
  lastQuery = query;
  const found = filterImages(query);
  const keys = ["q", "label", "model", "program", "rule", "show"];
  const go = (change) => (location.hash = linkTo("images", { ...Object.fromEntries(keys.map((key) => [key, query.get(key) ?? ""])), ...change }));
  const search = h("input", { type: "search", name: "q", value: query.get("q") ?? "", placeholder: "part of a name", "data-search": true, on: { change: () => go({ q: search.value.trim() }) } });
  const field = (key, text, extra) => choose(key, text, classOptions(extra), query.get(key) ?? "", (value) => go({ [key]: value }));
  const isFiltered = keys.some((key) => query.get(key));
  return {
    title: "Images",
    content: [
      h("h1", {}, "Images"),
      h("p", { class: "lead" }, embeddedWords()),
      h(
        "form",
        { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
        h("label", { class: "field grow" }, h("span", {}, "Search"), search),
        choose("show", "Show", [["", "all"], ["differ", "model and program differ"], ["agree", "they agree"], ["wrong", "the program is wrong"]], query.get("show") ?? "", (value) => go({ show: value })),
        field("label", "Label"),
        field("model", "Model says"),
        field("program", "Program says", [[NOTHING, "nothing"]]),
        isFiltered ? h("a", { class: "button", href: "#/images" }, "Clear") : null,
      ),
      h("p", { class: "count", id: "count", "data-count": found.length }, count(found.length, "image")),
      found.length ? gallery(found, 120) : note("No embedded image fits."),
    ],
  };
}

function imagePage(id) {
  const image = images.ids.indexOf(id);
  if (image < 0) return missing(`There is no embedded image “${id}”.`);
  if (whatIf && whatIf.image !== image) changeBits(image, new Map());
  const run = currentRun();
  const order = filterImages(lastQuery);
  const place = order.indexOf(image);
  const step = (by) => (place >= 0 && order[place + by] !== undefined ? imageLink(order[place + by]) : null);
  const around = (href, text, key) => (href ? h("a", { class: "button", href, "data-step": key }, text) : h("span", { class: "button off" }, text));
  const url = thumbnailOf(image);
  const model = images.predictions[image], answer = run.answers[image], label = images.labels[image];
  const same = run.rules[image] === NO_RULE ? [] : [...listBits(run.fires[run.rules[image]])].filter((i) => i !== image);
  return {
    title: id,
    content: [
      h("p", { class: "crumb" }, h("a", { href: linkTo("images", Object.fromEntries(lastQuery)) }, "Images")),
      h("div", { class: "imagehead" }, h("h1", {}, id), h("span", { class: "steps" }, around(step(-1), "← Previous", "previous"), around(step(1), "Next →", "next"))),
      h(
        "div",
        { class: "columns image" },
        h(
          "section",
          { class: "panel" },
          h("div", { class: "frame big" }, url ? h("img", { src: url, alt: id }) : h("span", { class: "blank" }, id)),
          h(
            "dl",
            { class: "origin" },
            h("dt", {}, "model"), h("dd", {}, classChip(model)),
            h("dt", {}, "program"), h("dd", { id: "answer", "data-answer": answer }, classChip(answer), answer === model ? " ✓ Model agrees" : h("b", { class: "differs" }, ` ≠ Model disagrees: ${nameOfClass(model)}`)),
            h("dt", {}, "label"), h("dd", {}, label < 0 ? "unknown" : classChip(label)),
          ),
        ),
        section("Why", whatIfWords(image), proofOf(image)),
      ),
      same.length ? section("Images that the same rule covers", gallery(same, 24)) : null,
    ],
  };
}
