// The program as a layered graph: kernels of each layer, class rules, classes. The most important nodes come first, and
// there are never more than a person can read, however many rules the program has.

const ROW = 26, TOP = 34, NODE = 156, MOST_EDGES = 6;
const WIDTH = 1116, NARROWEST = 236; // what the page has room for, and from column to column at least

function programPage(query) {
  const wantedClass = query.get("class") ?? "", fromLayer = query.get("layer") ?? "", size = Math.min(60, Math.max(5, Number(query.get("n") ?? 18) || 18));
  const go = (change) => (location.hash = linkTo("program", { class: wantedClass, layer: fromLayer, n: size === 18 ? "" : size, ...change }));
  const graph = selectGraph(classes.indexOf(wantedClass), layerNames.indexOf(fromLayer), size);
  const range = h("input", { type: "range", name: "n", min: 5, max: 60, step: 1, value: size, on: { change: () => go({ n: range.value }) } });
  const shown = graph.columns.map((column) => `${format(column.nodes.length)} of ${count(column.total, column.noun)}`).join(", ");
  return {
    title: "Program",
    content: [
      h("h1", {}, "The program as a graph"),
      h("p", { class: "lead" }, "Kernels on the left build rules, rules on the right decide classes. ", h("span", { class: "pos" }, "Solid blue"), " needs the kernel true, ", h("span", { class: "negword" }, "dashed orange"), " needs it false."),
      h(
        "form",
        { class: "filters", on: { submit: (event) => event.preventDefault() } },
        choose("class", "Class", [["", "all"], ...classes.map((name) => [name, name])], wantedClass, (value) => go({ class: value })),
        choose("layer", "From layer", [["", "the start layer"], ...starts[state.start].layers.map((layer) => [layerNames[layer], layerNames[layer]])], fromLayer, (value) => go({ layer: value })),
        h("label", { class: "field" }, h("span", {}, `Most important in a column: ${size}`), range),
      ),
      note(`Shown, the most important first: ${shown}.`),
      h("p", { class: "note scrollhint", hidden: true }, "The graph is wider than the page: scroll it sideways →"),
      h("div", { class: "scroll graphbox", tabindex: "0", role: "region", "aria-label": "Graph of the program" }, drawGraph(graph)),
    ],
    after: (root) => {
      const box = root.querySelector(".graphbox");
      root.querySelector(".scrollhint").hidden = box.scrollWidth <= box.clientWidth;
    },
  };
}

// Nodes by column, left to right, and edges between them
function selectGraph(wantedClass, fromLayer, size) {
  const pool = wantedClass < 0 ? [...Array(classRules.n).keys()] : rulesOfClass[wantedClass];
  const rules = rulesByWeight(pool).slice(0, size);
  const start = starts[state.start];
  const layers = start.layers.filter((layer) => layer >= fromLayer); // a column each
  const columnOf = (atom) => layers.indexOf(layerOfAtom[atom]);
  const nodes = new Map(), edges = [];
  const add = (id, column, node) => nodes.has(id) || nodes.set(id, { id, column, order: 0, ...node });
  const heads = [...new Set(rules.map((rule) => classRules.heads[rule]))].sort((a, b) => a - b);
  const nLayers = layers.length;
  for (const index of heads) add("c" + index, nLayers + 1, { text: classes[index], href: classLink(index), kind: "class" });
  // A class's rules lie together
  for (const rule of [...rules].sort((a, b) => classRules.heads[a] - classRules.heads[b] || figuresOf(b).decided - figuresOf(a).decided || a - b)) {
    add("r" + rule, nLayers, { text: `rule ${rule + 1}`, note: format(figuresOf(rule).decided), href: ruleLink(rule), kind: "rule" });
    edges.push({ from: "r" + rule, to: "c" + classRules.heads[rule], weight: figuresOf(rule).decided, kind: "pos" });
  }
  const totals = Array.from({ length: nLayers }, () => 0);
  for (const atom of usedAtoms()) if (columnOf(atom) >= 0) totals[columnOf(atom)]++;
  // Which atoms the nodes to the right ask for, from the highest layer down
  let asked = new Map();
  const ask = (atom, to, weight, isNot) => {
    if (columnOf(atom) < 0) return;
    if (!asked.has(atom)) asked.set(atom, new Map());
    const links = asked.get(atom);
    const key = to + (isNot ? "-" : "+");
    links.set(key, { from: "k" + atom, to, weight: (links.get(key)?.weight ?? 0) + weight, kind: isNot ? "neg" : "pos" });
  };
  for (const rule of rules) for (const literal of bodyOf(classRules, rule)) ask(atomOf(literal), "r" + rule, figuresOf(rule).decided, literal < 0);
  for (const layer of [...layers].reverse()) {
    const here = [...asked.keys()].filter((atom) => layerOfAtom[atom] === layer).sort((a, b) => importanceOf(b) - importanceOf(a) || a - b).slice(0, size);
    for (const atom of here) {
      add("k" + atom, columnOf(atom), { text: nameOfAtom(atom), href: kernelLink(atom), kind: "kernel", atom });
      const links = [...asked.get(atom).values()].filter((edge) => nodes.has(edge.to));
      edges.push(...links);
      if (start.given.has(layer)) continue;
      const below = new Map();
      for (const rule of definingRules[atom]) {
        for (const literal of bodyOf(kernelRules, rule)) {
          const key = `${literal}`;
          below.set(key, { literal, weight: (below.get(key)?.weight ?? 0) + Math.max(1, kernelRules.covered[rule]) });
        }
      }
      const most = [...below.values()].sort((a, b) => b.weight - a.weight || a.literal - b.literal).slice(0, MOST_EDGES);
      for (const { literal, weight } of most) ask(atomOf(literal), "k" + atom, weight, (literal < 0) !== (isNegated[atom] === 1));
    }
  }
  const columns = Array.from({ length: nLayers + 2 }, (_, column) => ({
    title: column < nLayers ? layerNames[layers[column]] : column === nLayers ? "rules" : "classes",
    noun: column < nLayers ? "kernel" : column === nLayers ? "rule" : "classe",
    total: column < nLayers ? totals[column] : column === nLayers ? pool.length : wantedClass < 0 ? classes.length : 1,
    nodes: [...nodes.values()].filter((node) => node.column === column),
  }));
  orderColumns(columns, nodes, edges);
  return { columns, nodes, edges };
}

// Each kernel stands beside what it leads to
function orderColumns(columns, nodes, edges) {
  columns.at(-2).nodes.forEach((node, i) => (node.order = i));
  for (const column of columns.slice(0, -2).reverse()) {
    for (const node of column.nodes) {
      const ends = edges.filter((edge) => edge.from === node.id).map((edge) => nodes.get(edge.to));
      const size = ends.length ? columns[ends[0].column].nodes.length : 1;
      node.order = ends.reduce((sum, end) => sum + end.order / size, 0) / Math.max(1, ends.length);
    }
    column.nodes.sort((a, b) => a.order - b.order);
    column.nodes.forEach((node, i) => (node.order = i));
  }
}

function drawGraph({ columns, nodes, edges }) {
  const rows = Math.max(1, ...columns.map((column) => column.nodes.length));
  const height = TOP + rows * ROW + 12, step = Math.max(NARROWEST, Math.min(400, (WIDTH - NODE - 16) / (columns.length - 1))), width = (columns.length - 1) * step + NODE + 16;
  const x = (node) => 8 + node.column * step;
  columns.forEach((column) => column.nodes.forEach((node, i) => (node.y = TOP + (rows / 2 - column.nodes.length / 2 + i + 0.5) * ROW)));
  const heaviest = {};
  for (const edge of edges) {
    const column = nodes.get(edge.from).column;
    heaviest[column] = Math.max(heaviest[column] ?? 1, edge.weight);
  }
  const lines = edges.map((edge) => {
    const from = nodes.get(edge.from), to = nodes.get(edge.to);
    const x1 = x(from) + NODE, x2 = x(to), middle = (x1 + x2) / 2;
    const line = svg("path", { class: `edge ${edge.kind}`, d: `M${x1},${from.y}C${middle},${from.y} ${middle},${to.y} ${x2},${to.y}` });
    line.style.setProperty("stroke-width", (0.8 + 3.2 * Math.sqrt(edge.weight / heaviest[from.column])).toFixed(2));
    line.style.setProperty("--strength", (0.2 + 0.55 * Math.sqrt(edge.weight / heaviest[from.column])).toFixed(2));
    return { ...edge, line };
  });
  const drawing = svg(
    "svg",
    { class: "graph", viewBox: `0 0 ${width} ${height}`, width, height },
    columns.map((column, i) => svg("text", { class: "column", x: 8 + i * step, y: 18 }, column.title)),
    svg("g", { class: "edges" }, lines.map(({ line }) => line)),
  );
  const boxes = new Map();
  const light = (id) => {
    drawing.classList.toggle("lit", id !== null);
    const lit = id === null ? new Set() : reach(id, edges);
    for (const [key, box] of boxes) box.classList.toggle("on", lit.has(key));
    for (const edge of lines) edge.line.classList.toggle("on", lit.has(edge.from) && lit.has(edge.to));
  };
  for (const node of nodes.values()) {
    const listeners = { mouseenter: () => light(node.id), mouseleave: () => light(null), focus: () => light(node.id), blur: () => light(null) };
    const box = svg(
      "a",
      { class: `node ${node.kind}`, href: node.href, transform: `translate(${x(node)},${node.y})`, on: listeners },
      svg("title", {}, node.text),
      svg("rect", { y: -10, width: NODE, height: 20, rx: 5 }),
      svg("text", { x: 8, y: 4 }, shorten(node.text, node.note ? 15 : 22)),
      node.note ? svg("text", { class: "count", x: NODE - 8, y: 4, "text-anchor": "end" }, node.note) : null,
    );
    boxes.set(node.id, box);
    drawing.append(box);
  }
  return drawing;
}

// A node and all that leads to it or follows from it
function reach(id, edges) {
  const found = new Set([id]);
  for (const [here, there] of [["to", "from"], ["from", "to"]]) {
    const queue = [id];
    while (queue.length) {
      const at = queue.pop();
      for (const edge of edges) {
        if (edge[here] === at && !found.has(edge[there])) {
          found.add(edge[there]);
          queue.push(edge[there]);
        }
      }
    }
  }
  return found;
}
const shorten = (text, most) => (text.length <= most ? text : text.slice(0, most - 1) + "…");
