// The program's answers, computed here from bits and rules, 32 images at a time; Python's answers are only compared.

const NO_RULE = -1;
const tailMask = images.n % 32 ? (1 << images.n % 32) - 1 : -1;

function allTrue() {
  const row = new Uint32Array(N_WORDS).fill(0xffffffff);
  if (N_WORDS) row[N_WORDS - 1] &= tailMask;
  return row;
}

// Where a conjunction is true; into `row`, which is true everywhere
function meet(body, truth, row = allTrue()) {
  for (const literal of body) {
    const bits = truth[atomOf(literal)];
    if (literal < 0) for (let w = 0; w < N_WORDS; w++) row[w] &= ~bits[w];
    else for (let w = 0; w < N_WORDS; w++) row[w] &= bits[w];
  }
  return row;
}

// Where a rule fires; into `row`, which is true everywhere
function fire(rules, rule, truth, row = allTrue()) {
  const bound = boundOf(rules, rule);
  if (!bound) return meet(bodyOf(rules, rule), truth, row);
  const sums = new Int32Array(images.n);
  const weights = weightsOf(rules, rule);
  const one = new Uint32Array(N_WORDS);
  bodyOf(rules, rule).forEach((literal, i) => {
    one.fill(0xffffffff);
    if (N_WORDS) one[N_WORDS - 1] &= tailMask;
    for (const image of listBits(meet([literal], truth, one))) sums[image] += weights[i];
  });
  for (let image = 0; image < images.n; image++) if (sums[image] < bound) row[image >>> 5] &= ~(1 << (image & 31));
  return row;
}

function countBits(row) {
  let count = 0;
  for (let word of row) {
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    count += (((word + (word >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
  }
  return count;
}

function* listBits(row) {
  for (let w = 0; w < row.length; w++) {
    for (let word = row[w]; word; word &= word - 1) yield w * 32 + 31 - Math.clz32(word & -word);
  }
}

// Everything that holds when the program starts at some layers: truth of atoms, where rules fire, answers
// `change`: { image, bits }: what atoms are made on one image, atom -> true or false, whatever the network or rules say
function runProgram(start, change = null) {
  const isGiven = (atom) => start.given.has(layerOfAtom[atom]);
  const isKnown = (atom) => layerOfAtom[atom] < 0 || start.known.has(layerOfAtom[atom]);
  const truth = new Array(nAtoms).fill(null); // of atoms below the start it isn't known
  const force = (atom) => change?.bits.has(atom) && setBit(truth[atom], change.image, change.bits.get(atom));
  for (let atom = 0; atom < nAtoms; atom++) {
    if (!isKnown(atom)) continue;
    if (!isGiven(atom)) truth[atom] = isNegated[atom] ? allTrue() : new Uint32Array(N_WORDS);
    else truth[atom] = change?.bits.has(atom) ? givenBits(atom).slice() : givenBits(atom);
    force(atom);
  }
  const full = allTrue();
  const row = new Uint32Array(N_WORDS);
  for (let i = 0; i < kernelRules.n; i++) {
    const head = kernelRules.heads[i];
    if (!isKnown(head) || isGiven(head) || bodyOf(kernelRules, i).some((literal) => !truth[atomOf(literal)])) continue;
    row.set(full);
    fire(kernelRules, i, truth, row);
    const target = truth[head];
    if (isNegated[head]) for (let w = 0; w < N_WORDS; w++) target[w] &= ~row[w];
    else for (let w = 0; w < N_WORDS; w++) target[w] |= row[w];
    force(head);
  }
  const fires = Array.from({ length: classRules.n }, (_, i) => fire(classRules, i, truth));
  return { start, isGiven, isKnown, truth, fires, ...decide(fires) };
}

function decide(fires) {
  const answers = new Int32Array(images.n).fill(program.default);
  const rules = new Int32Array(images.n).fill(NO_RULE);
  return program.decision === "vote" ? decideByVotes(fires, answers, rules) : decideFirst(fires, answers, rules);
}

function decideFirst(fires, answers, rules) {
  fires.forEach((row, rule) => {
    for (const image of listBits(row)) {
      if (rules[image] !== NO_RULE) continue;
      rules[image] = rule;
      answers[image] = classRules.heads[rule];
    }
  });
  return { answers, rules };
}

// The rule named is the one that added most to the winner, the first of equals
function decideByVotes(fires, answers, rules) {
  const sums = Array.from({ length: images.n }, () => Float64Array.from(program.base));
  const fired = new Uint8Array(images.n);
  const { votes, voteClasses, voteWeights } = classRules;
  fires.forEach((row, rule) => {
    for (const image of listBits(row)) {
      fired[image] = 1;
      for (let v = votes[rule]; v < votes[rule + 1]; v++) sums[image][voteClasses[v]] += voteWeights[v];
    }
  });
  for (let image = 0; image < images.n; image++) {
    if (fired[image]) answers[image] = sums[image].indexOf(Math.max(...sums[image]));
  }
  const best = new Float64Array(images.n).fill(-Infinity);
  fires.forEach((row, rule) => {
    for (const image of listBits(row)) {
      const added = weightFor(rule, answers[image]);
      if (added > best[image]) {
        best[image] = added;
        rules[image] = rule;
      }
    }
  });
  return { answers, rules };
}

// What a rule adds to a class under `vote`
function weightFor(rule, index) {
  for (let v = classRules.votes[rule]; v < classRules.votes[rule + 1]; v++) {
    if (classRules.voteClasses[v] === index) return classRules.voteWeights[v];
  }
  return 0;
}

// One run per start, made when it is first asked for
const runs = new Map();
const findStart = (name) => starts.findIndex((start) => start.name === name);
const state = { start: findStart(doc.start) };
const known = () => doc.starts[state.start];
let whatIf = null; // { image, bits, run }: bits that a reader changed on one image, and what follows
function currentRun() {
  return whatIf ? whatIf.run : plainRun();
}
function plainRun() {
  const start = starts[state.start];
  if (!runs.has(start)) runs.set(start, runProgram(start));
  return runs.get(start);
}


function changeBits(image, bits) {
  whatIf = bits.size ? { image, bits, run: runProgram(starts[state.start], { image, bits }) } : null;
}

// How many embedded images Python answered otherwise: none, or something is wrong with this page
function countDifferences(place) {
  const { answers, rules } = runProgram(starts[place]);
  const theirs = decodeInts(doc.starts[place].answers);
  const theirRules = decodeInts(doc.starts[place].rules);
  let n = 0;
  for (let i = 0; i < images.n; i++) n += answers[i] !== theirs[i] || rules[i] !== theirRules[i];
  return n;
}
