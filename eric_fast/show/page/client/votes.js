// Votes: what rules add to classes, as a sheet (a row for each body, a column for each class) and as bars.

const MOST_COLUMNS = 24, N_ROWS = 40; // of the sheet; rows drawn at once
const isVote = program.decision === "vote";
const signed = (value) => (value < 0 ? "−" : "+") + format(Math.abs(value));

// Rules of one literal by their literal, those without any together, every other rule alone
const hasBase = program.base.some((value) => value !== 0);

let voteRows = null;
function listVotes() {
  if (voteRows) return voteRows;
  const rows = new Map();
  const { votes, voteClasses, voteWeights } = classRules;
  for (let rule = 0; rule < classRules.n; rule++) {
    const body = Array.from(bodyOf(classRules, rule));
    const key = body.length < 2 ? `literal ${body}` : `rule ${rule}`;
    if (!rows.has(key)) rows.set(key, { rules: [], body, points: new Float64Array(classes.length), size: 0 });
    const row = rows.get(key);
    row.rules.push(rule);
    for (let v = votes[rule]; v < votes[rule + 1]; v++) row.points[voteClasses[v]] += voteWeights[v];
  }
  for (const row of rows.values()) row.size = row.points.reduce((sum, value) => sum + Math.abs(value), 0);
  voteRows = [...rows.values()].sort((a, b) => b.size - a.size || a.rules[0] - b.rules[0]);
  return voteRows;
}
const nameVote = ({ rules, body }) =>
  body.length === 1 ? kernelChip(atomOf(body[0]), body[0] < 0) : h("a", { href: ruleLink(rules[0]) }, body.length ? `rule ${format(rules[0] + 1)}` : "always");

function votesPage(query) {
  const rows = listVotes();
  const onImage = query.get("image") ?? "";
  const image = images.ids.indexOf(onImage);
  return {
    title: "Votes",
    content: [
      h("h1", {}, "Votes"),
      h("p", { class: "lead" }, `Each row whose kernel is as it says adds its points to the classes; the class with the most answers. ${count(rows.length, "row")}, ${count(classRules.voteWeights.filter((weight) => weight !== 0).length, "number")}: `, h("span", { class: "pos" }, "blue"), " speaks for a class, ", h("span", { class: "negword" }, "orange"), " against it."),
      image < 0 ? null : h("p", { class: "actions" }, "Rows that count on ", h("a", { href: imageLink(image) }, onImage), h("a", { href: "#/votes" }, "all rows")),
      section(null, voteSheet(image < 0 ? rows : rows.filter(({ rules }) => rules.some((rule) => hasBit(currentRun().fires[rule], image))))),
    ],
  };
}

// Columns are the classes, those with the most points where there are many
function voteSheet(rows) {
  let columns = [...classes.keys()];
  if (columns.length > MOST_COLUMNS) {
    const sizes = columns.map((index) => rows.reduce((sum, { points }) => sum + Math.abs(points[index]), 0));
    columns = columns.sort((a, b) => sizes[b] - sizes[a] || a - b).slice(0, MOST_COLUMNS).sort((a, b) => a - b);
  }
  const most = rows.reduce((top, { points }) => Math.max(top, ...points.map(Math.abs)), 1e-9);
  const cell = (value, index) =>
    h("td", { class: value > 0 ? "for" : value < 0 ? "against" : "", title: classes[index], set: { "--part": String(value ? 0.1 + 0.8 * Math.abs(value) / most : 0) } }, value ? h("span", { class: Math.abs(value) > 0.6 * most ? "strong" : "" }, signed(value)) : h("span", { class: "zero" }, "·"));
  const row = (name, points, kind) => h("tr", { class: kind }, h("th", { scope: "row" }, name), columns.map((index) => cell(points[index], index)));
  const starting = h("tr", { class: "base" }, h("th", { scope: "row" }, "before any"), columns.map((index) => h("td", {}, format(program.base[index]))));
  const body = h("tbody", {}, hasBase ? starting : null);
  const [grown, more] = growing(body, rows, N_ROWS, (one) => row(nameVote(one), one.points, ""));
  return [
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Votes" },
      h(
        "table",
        { class: "sheet", set: { "--columns": String(columns.length) } },
        h("thead", {}, h("tr", {}, h("td", {}, "where this holds"), columns.map((index) => h("th", { scope: "col" }, h("a", { href: classLink(index), class: uprightNames() }, classes[index]))))),
        grown,
      ),
    ),
    more,
    columns.length < classes.length ? note(`The ${columns.length} of ${format(classes.length)} classes with the most points.`) : null,
  ];
}

// One class's column: bars of its points, the largest first
function classVotes(index) {
  const rows = listVotes().filter(({ points }) => points[index] !== 0).sort((a, b) => Math.abs(b.points[index]) - Math.abs(a.points[index]) || a.rules[0] - b.rules[0]);
  if (!rows.length) return note("Nothing votes for it or against it.");
  const most = Math.abs(rows[0].points[index]);
  const others = program.base.filter((_, other) => other !== index);
  const starting = hasBase && others.length ? note(`It has ${format(program.base[index])} points before any rule, other classes ${format(Math.min(...others))} to ${format(Math.max(...others))}.`) : null;
  return [starting, growing(h("ul", { class: "bars" }), rows, 20, (row) => pointBar(nameVote(row), row.points[index], most))];
}
const pointBar = (name, points, most) => h("li", {}, h("span", {}, name), bar(Math.abs(points) / most, points < 0 ? "warm" : ""), h("span", { class: "num" }, signed(points)));

// What one rule adds to each class, the most first
function listAdds(rule) {
  const { votes, voteClasses, voteWeights } = classRules;
  const pairs = Array.from({ length: votes[rule + 1] - votes[rule] }, (_, i) => [voteClasses[votes[rule] + i], voteWeights[votes[rule] + i]]);
  return pairs.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}
function ruleVotes(rule) {
  const adds = listAdds(rule);
  const most = Math.max(...adds.map(([, points]) => Math.abs(points)));
  return h("ul", { class: "bars" }, adds.map(([index, points]) => pointBar(classChip(index), points, most)));
}
// `+13 for six, −14 for four, −13 for three and 6 more`: its own class, then those with the most points
function addsWords(rule, size = 3) {
  const isOwn = ([index]) => index === classRules.heads[rule];
  const adds = listAdds(rule).sort((a, b) => isOwn(b) - isOwn(a) || Math.abs(b[1]) - Math.abs(a[1]) || a[0] - b[0]);
  const rest = adds.length - size;
  return [adds.slice(0, size).map(([index, points], i) => [i ? ", " : "", h("b", { class: points < 0 ? "negword" : "pos" }, signed(points)), " for ", classChip(index)]), rest > 0 ? h("span", { class: "and" }, ` and ${format(rest)} more`) : null];
}
