// The document (page/document.py is its other end), and what follows from it alone.

const read = (id) => JSON.parse(document.getElementById(id).textContent);

function decodeBytes(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}
const decodeInts = (text) => new Int32Array(decodeBytes(text).buffer);
const decodeFloats = (text) => new Float32Array(decodeBytes(text).buffer);

const doc = read("document");
const program = doc.program;
const classes = program.classes;
const images = {
  ...doc.images,
  n: doc.images.ids.length,
  places: decodeInts(doc.images.places),
  labels: decodeInts(doc.images.labels),
  predictions: decodeInts(doc.images.predictions),
};

function decodeRules(rules) {
  const decoded = {};
  for (const [name, value] of Object.entries(rules)) decoded[name] = typeof value === "string" ? decodeInts(value) : value;
  decoded.n = decoded.heads.length;
  return decoded;
}
const classRules = decodeRules(program.classRules);
const kernelRules = decodeRules(program.kernelRules);
const bodyOf = (rules, i) => rules.literals.subarray(rules.offsets[i], rules.offsets[i + 1]);
// Of a weight body, which is true where the weights of its true literals reach the bound; a conjunction has the bound 0
const boundOf = (rules, i) => (rules.bounds.length ? rules.bounds[i] : 0);
const weightsOf = (rules, i) => rules.weights.subarray(rules.offsets[i], rules.offsets[i + 1]);
const atomOf = (literal) => (literal < 0 ? ~literal : literal);
const nAtoms = program.atoms.length;
const isNegated = new Uint8Array(nAtoms);
for (const atom of program.negated) isNegated[atom] = 1;

const layerOfAtom = new Int32Array(nAtoms).fill(-1);
program.layers.forEach((layer, i) => layerOfAtom.fill(i, layer.first, layer.first + layer.n));
const layerNames = program.layers.map((layer) => layer.name);

// What the program can start from: its name, the layers whose bits are given, and these with all that follow from them
const starts = doc.starts.map((start) => ({ name: start.start_layer, given: new Set(start.given), layers: start.layers, known: new Set(start.layers) }));
const N_WORDS = Math.ceil(images.n / 32);
const words = new Uint32Array(decodeBytes(doc.images.bits).buffer); // [nAtoms, N_WORDS]: the network's own bits
const givenBits = (atom) => words.subarray(atom * N_WORDS, (atom + 1) * N_WORDS);
function setBit(row, image, isTrue) {
  if (isTrue) row[image >>> 5] |= 1 << (image & 31);
  else row[image >>> 5] &= ~(1 << (image & 31));
}
const hasBit = (row, image) => ((row[image >>> 5] >>> (image & 31)) & 1) === 1;

// Rules by what they are for and by what they mention
function groupBy(n, pairs) {
  const groups = Array.from({ length: n }, () => []);
  for (const [key, value] of pairs) groups[key].push(value);
  return groups;
}
function* mentions(rules) {
  for (let i = 0; i < rules.n; i++) for (const atom of new Set(Array.from(bodyOf(rules, i), atomOf))) yield [atom, i];
}
const rulesOfClass = groupBy(classes.length, Array.from(classRules.heads, (head, i) => [head, i]));
const definingRules = groupBy(nAtoms, Array.from(kernelRules.heads, (head, i) => [head, i]));
const classUses = groupBy(nAtoms, mentions(classRules));
const kernelUses = groupBy(nAtoms, mentions(kernelRules));

// Labels that a person gave, in the program or now in this page
const labelKey = "eric-fast labels " + program.fingerprint + " " + program.file;
const labels = new Map(Object.entries(program.labels).map(([atom, label]) => [Number(atom), label]));
const newLabels = new Map();
function loadLabels() {
  let kept = null;
  try {
    kept = localStorage.getItem(labelKey);
  } catch {
    return; // a browser that keeps nothing for this file: labels last as long as the page
  }
  for (const [name, label] of Object.entries(JSON.parse(kept ?? "{}"))) {
    const atom = program.atoms.indexOf(name);
    if (atom >= 0) newLabels.set(atom, String(label));
  }
}
function setLabel(atom, label) {
  if (label === (labels.get(atom) ?? "")) newLabels.delete(atom);
  else newLabels.set(atom, label);
  const named = Object.fromEntries(Array.from(newLabels, ([a, text]) => [program.atoms[a], text]));
  try {
    localStorage.setItem(labelKey, JSON.stringify(named));
  } catch {
    return; // as above
  }
}
const labelOf = (atom) => newLabels.get(atom) ?? labels.get(atom) ?? "";
const nameOfAtom = (atom) => labelOf(atom) || program.atoms[atom];
const nameOfClass = (index) => (index < 0 ? "nothing" : classes[index]);

// Thumbnails are many megabytes of text: they are read when the first picture is drawn
let thumbnails = null;
function thumbnailOf(image) {
  thumbnails ??= read("thumbnails");
  return thumbnails.length ? "data:image/webp;base64," + thumbnails[image] : null;
}
const hasThumbnails = doc.hasThumbnails;
