// Images, heat maps over them, and drawings.

// One image as a link to its page; without pictures its name stands there
function picture(image, { caption = true, heat = null } = {}) {
  const run = currentRun();
  const answer = run.answers[image];
  const agrees = answer === images.predictions[image];
  const url = thumbnailOf(image);
  const said = agrees ? nameOfClass(answer) : [h("b", {}, nameOfClass(answer)), `. Model: ${nameOfClass(images.predictions[image])}`];
  const alt = `${images.ids[image]}: the model says ${nameOfClass(images.predictions[image])}, the program ${nameOfClass(answer)}`;
  return h(
    "a",
    { class: `shot ${agrees ? "" : "differs"}`, href: imageLink(image), title: alt, "data-image": image },
    h("span", { class: "frame" }, url ? h("img", { src: url, alt, loading: "lazy", decoding: "async" }) : h("span", { class: "blank" }, images.ids[image]), heat ? drawHeat(heat) : null),
    caption ? h("span", { class: "said" }, said) : null,
  );
}

// Images that a class rule covers: those on which the model says its class, then the others
function coveredImages(rule, size) {
  const index = classRules.heads[rule];
  const covered = [...listBits(currentRun().fires[rule])];
  const [typical, others] = [covered.filter((i) => images.predictions[i] === index), covered.filter((i) => images.predictions[i] !== index)];
  const group = (words, list) => (list.length ? [h("p", { class: "group" }, `${words}: ${format(list.length)}`), gallery(list, size)] : null);
  if (!covered.length) return gallery([]);
  return [group(`Embedded images that the model, too, says are ${classes[index]}`, typical), group("That it says are something else", others)];
}

function gallery(list, size = 24, options = {}) {
  if (!list.length) return [note("None of the embedded images.")];
  return growing(h("div", { class: "gallery" }), list, size, (image) => picture(image, options));
}

// Viridis at nine points
const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"].map((hex) =>
  [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)),
);
function viridis(part) {
  const place = Math.min(1, Math.max(0, part)) * (VIRIDIS.length - 1);
  const low = Math.min(VIRIDIS.length - 2, Math.floor(place));
  return VIRIDIS[low].map((c, i) => c + (VIRIDIS[low + 1][i] - c) * (place - low));
}

// A feature map as a canvas that the style stretches over the image; opacity follows strength
function drawHeat({ values, width, height, top }) {
  const canvas = h("canvas", { class: "heat", width, height, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const part = top > 0 ? values[i] / top : 0;
    pixels.data.set(viridis(part), i * 4);
    pixels.data[i * 4 + 3] = Math.round(215 * part);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// Fidelity and accuracy by start layer
function chainChart() {
  const width = 520, height = 250, left = 52, right = 36, top = 16, bottom = 56;
  const x = (i) => left + ((width - left - right) * (starts.length === 1 ? 0.5 : i / (starts.length - 1)));
  const y = (value) => top + (height - top - bottom) * (1 - value);
  const line = (name, kind) => {
    const spots = doc.starts.map((start, i) => [i, start[name]]).filter(([, value]) => value !== null);
    return [
      svg("polyline", { class: `line ${kind}`, points: spots.map(([i, value]) => `${x(i)},${y(value)}`).join(" ") }),
      spots.map(([i, value]) =>
        kind === "one"
          ? svg("circle", { class: `dot ${kind}`, cx: x(i), cy: y(value), r: i === state.start ? 6 : 4 })
          : svg("rect", { class: `dot ${kind}`, x: x(i) - 6.5, y: y(value) - 6.5, width: 13, height: 13 }), // seen around a dot
      ),
    ];
  };
  const chart = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Fidelity and accuracy by start layer" },
    [0, 0.25, 0.5, 0.75, 1].map((value) => [
      svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      svg("text", { class: "tick", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, `${100 * value} %`),
    ]),
    doc.starts[0].model_accuracy === null
      ? null
      : svg("line", { class: "line reference", x1: left, x2: width - right, y1: y(doc.starts[0].model_accuracy), y2: y(doc.starts[0].model_accuracy) }),
    line("accuracy", "two"),
    line("fidelity", "one"),
    starts.map(({ name }, i) =>
      svg("text", { class: `tick ${i === state.start ? "chosen" : ""}`, x: x(i), y: height - bottom + 18, "text-anchor": "middle" }, name),
    ),
    svg("text", { class: "axis", x: (left + width - right) / 2, y: height - 10, "text-anchor": "middle" }, "layer whose bits are given"),
  );
  const key = h(
    "p",
    { class: "key" },
    h("span", { class: "one" }, "● fidelity (agrees with the model)"),
    h("span", { class: "two" }, "□ accuracy (agrees with the label)"),
    h("span", { class: "reference" }, "┄ the model’s own accuracy"),
  );
  return [chart, key];
}

// Images by the groups of what the model says (rows) and the program says (columns)
function groupTable() {
  const { names, ofClass } = doc.groups;
  const of = [...decodeInts(ofClass), names.length];
  const counts = names.map(() => new Array(names.length + 1).fill(0));
  known().confusion.forEach((row, m) => row.forEach((value, p) => (counts[of[m]][of[p]] += value)));
  const columns = counts.some((row) => row[names.length]) ? [...names, "nothing"] : names;
  const sums = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const same = counts.reduce((sum, row, m) => sum + row[m], 0);
  const table = h(
    "table",
    { class: "confusion", set: { "--columns": String(columns.length), "--names": "88px" } },
    h("caption", {}, "Images by group of the model’s answer (row) and the program’s (column)"),
    h("thead", {}, h("tr", {}, h("td"), columns.map((name) => h("th", { scope: "col" }, h("span", {}, name))))),
    h(
      "tbody",
      {},
      names.map((name, m) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          columns.map((other, p) => {
            const part = share(counts[m][p], sums[m]) || 0;
            const words = `${format(counts[m][p])} images: the model says ${name}, the program ${other}`;
            return h("td", { class: m === p ? "same" : "other", set: { "--part": String(counts[m][p] ? 0.08 + 0.82 * part : 0) } }, counts[m][p] ? h("b", { title: words, class: part > 0.7 ? "strong" : "" }, format(counts[m][p])) : h("span", {}, "·"));
          }),
        ),
      ),
    ),
  );
  return [h("div", { class: "scroll" }, table), note(`On ${percent(share(same, known().n_images))} of the images the groups are the same.`)];
}

// Images by what the model says (rows) and the program says (columns), the most confused classes where there are many
const MOST_CLASSES = 24;
function confusionTable() {
  const { confusion } = known();
  const n = classes.length;
  let shown = [...classes.keys()];
  if (n > MOST_CLASSES) {
    const wrong = shown.map((c) => confusion[c].reduce((sum, v, p) => sum + (p === c ? 0 : v), 0) + confusion.reduce((sum, row, m) => sum + (m === c ? 0 : row[c]), 0));
    shown = shown.sort((a, b) => wrong[b] - wrong[a] || a - b).slice(0, MOST_CLASSES).sort((a, b) => a - b);
  }
  const withNone = confusion.some((row) => row[n] > 0);
  const columns = withNone ? [...shown, n] : shown;
  const largest = Math.max(1, ...shown.flatMap((m) => columns.filter((p) => p !== m).map((p) => confusion[m][p])));
  const cell = (m, p) => {
    const value = confusion[m][p];
    const part = m === p ? share(value, confusion[m].reduce((a, b) => a + b, 0)) : value / largest;
    const words = `${format(value)} images: the model says ${classes[m]}, the program ${p === n ? "nothing" : classes[p]}`;
    const href = linkTo("images", { model: classes[m], program: p === n ? "(nothing)" : classes[p] });
    return h(
      "td",
      { class: m === p ? "same" : "other", set: { "--part": String(value ? 0.08 + 0.82 * (part || 0) : 0) } },
      value ? h("a", { href, title: words, class: part > 0.7 ? "strong" : "" }, format(value)) : h("span", {}, "·"),
    );
  };
  const table = h(
    "table",
    { class: "confusion", set: { "--columns": String(columns.length), "--names": `${Math.min(88, 16 + 7 * Math.max(...classes.map((name) => name.length)))}px` } },
    h("caption", {}, "Images by model (row) and program (column)"),
    h("thead", {}, h("tr", {}, h("td"), columns.map((p) => h("th", { scope: "col" }, p === n ? h("span", {}, "nothing") : h("span", { class: uprightNames() }, classes[p]))))),
    h("tbody", {}, shown.map((m) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: classLink(m) }, classes[m])), columns.map((p) => cell(m, p))))),
  );
  return [h("div", { class: "scroll" }, table), shown.length < n ? note(`The ${shown.length} of ${n} classes that are most often confused.`) : null];
}
