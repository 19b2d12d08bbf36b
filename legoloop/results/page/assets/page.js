// The page as a whole: what is shown, drawn anew when that changes, and kept up to date by a board.
const runs = new Runs(await unpackedJson($('content').textContent));
const state = readState();
const POLL = 2000;

let view = null, pointed = [];

const actions = {
  onpoint: found => {
    if (String(found) === String(pointed)) return;
    pointed = found;
    mark();
  },
  onmark: found => {
    const names = found.slice(0, 2).map(run => runs.names[run]);
    set({marked: names.reduce(toggled, state.marked).slice(-2)});
  },
  onsort: key => set({sort: state.sort === firstSort(key) ? reversed(firstSort(key)) : firstSort(key)}),
  onpin: name => set({pinned: toggled(state.pinned, name)}),
  onhide: name => set({hidden: toggled(state.hidden, name), marked: state.marked.filter(each => each !== name)}),
  onall: () => set({all: true}),
  onbrush: brush => set({brush}),
};

const reversed = sort => sort[0] === '-' ? sort.slice(1) : `-${sort}`;
const firstSort = key => runs.head(key)?.better === 'higher' ? `-${key}` : key;

const chart = new Chart($('plot'), actions);
const scatter = new Scatter($('scatter'), actions);
const parallel = new Parallel($('parallel'), actions);
const table = new Table($('table'), actions);

// What is shown where nothing was chosen.
const usual = () => ({
  metric: runs.metric ?? '',
  colour: runs.varied.find(key => !isSeed(key)) ?? runs.varied[0] ?? 'run',
  sort: state.metric && firstSort(state.metric),
});

// What a link leaves open, or names and is not there.
function settle() {
  if (!runs.metrics.includes(state.metric)) state.metric = usual().metric;
  if (!runs.has(state.colour)) state.colour = usual().colour;
  if (!['step', 'epoch', 'time'].includes(state.x)) state.x = 'step';
  if (!['runs', 'seeds', 'colour'].includes(state.lines)) state.lines = 'runs';
  if (!runs.columns.has(state.sort.replace(/^-/, ''))) state.sort = usual().sort;
  state.smooth = Math.min(Math.max(state.smooth, 0), 0.99);
}

async function set(changes) {
  const wasBest = state.sort === firstSort(state.metric);
  Object.assign(state, changes);
  if (changes.metric && wasBest) state.sort = firstSort(state.metric);
  await draw();
}

let drawn = 0;

async function draw() {
  const number = ++drawn, isNewest = () => number === drawn;
  settle();
  document.documentElement.dataset.theme = state.theme;
  await runs.unpack(state.metric);
  if (!isNewest()) return;
  const filter = parseFilter(state.where, runs), hidden = new Set(state.hidden);
  const holds = filter.holds ?? (() => true);
  const matching = runs.names.map((_, run) => run).filter(run => !hidden.has(runs.names[run]) && holds(run));
  const shown = brushed(runs, matching, state.metric, state.brush);
  const colours = coloursBy(state.colour, runs, shown);
  view = {matching, shown, colours, problem: filter.problem, best: state.metric ? runs.best(shown, state.metric) : null};
  drawHeader();
  drawControls();
  const lines = linesOf(runs, shown, state, colours);
  drawLegend(lines);
  fill('keys-title', document.createTextNode(`${state.metric} against each key`));
  scatter.draw(runs, shown, state.metric, colours);
  parallel.draw(runs, matching, shown, state.metric, colours, state.brush);
  chart.describe = describePoint;
  chart.draw(lines, state, markedRuns());
  table.draw(runs, shown, state, colours, view.best);
  drawTools();
  drawFooter();
  mark();
  const marked = state.marked.map(name => runs.index.get(name)).filter(run => run !== undefined);
  const details = await detailsContent(runs, marked, view.best);
  if (isNewest()) fill('details', details);
  writeState(state, {...DEFAULTS, ...usual()});
  requestAnimationFrame(() => requestAnimationFrame(() => {
    performance.mark('drawn');
    document.documentElement.dataset.drawn = state.metric;
  }));
}

const markedRuns = () => new Set(pointed.length ? pointed : state.marked.map(name => runs.index.get(name)));

function mark() {
  const marked = markedRuns();
  chart.mark(marked);
  scatter.mark(marked);
  parallel.mark(marked);
  table.mark(new Set(state.marked.map(name => runs.index.get(name))), new Set(pointed));
}

function drawHeader() {
  document.title = `${runs.title} · runs`;
  const counts = new Map();
  for (const status of runs.values('status')) counts.set(status, (counts.get(status) ?? 0) + 1);
  const left = (runs.sweep?.jobs ?? 0) - runs.names.length;
  const pills = [...counts].map(([status, n]) => el('span', {class: 'pill'}, el('b', {}, String(n)), ' ', statusChip(status)));
  if (left > 0) pills.push(el('span', {class: 'pill'}, el('b', {}, String(left)), ' not begun'));
  const time = timeLeft(counts, left);
  if (time) pills.push(el('span', {class: 'pill'}, 'about ', el('b', {}, formatDuration(time)), ' left'));
  $('title').textContent = runs.title;
  $('live').hidden = runs.version == null;
  const {best} = view;
  fill('summary', pills, best != null && el('button', {type: 'button', class: 'best', onclick: () => actions.onmark([best])},
    el('span', {class: 'star'}, '★'), ` best ${state.metric} `, el('b', {}, format(runs.value(best, state.metric))),
    ` · run ${runs.names[best]}`, runs.varied.slice(0, MAX_KEYS).map(key => ` · ${key} ${format(runs.value(best, key))}`)));
}

// From the runs that ended: how long one takes, and how many ran side by side.
function timeLeft(counts, left) {
  const running = counts.get('RUNNING') ?? 0;
  if (!running) return null;
  const ended = runs.values('duration').filter((seconds, run) => isNumber(seconds) && runs.value(run, 'status') === 'COMPLETED');
  if (!ended.length) return null;
  const mean = ended.reduce((a, b) => a + b, 0) / ended.length;
  return mean * (left / running + 0.5);
}

const CONTROLS = ['theme', 'metric', 'x', 'lines', 'colour', 'smooth', 'log', 'where'];

function drawControls() {
  const others = runs.heads.filter(head => head.about !== 'metric').map(head => head.key);
  choices('metric', runs.metrics);
  choices('colour', [...new Set([...runs.varied, ...others])]);
  choices('conditions', runs.varied.map(key => `${key}=`));
  for (const id of CONTROLS) {
    const [item, value] = [$(id), state[id]];
    if (typeof value === 'boolean') item.checked = value;
    else if (item.value !== String(value)) item.value = value;
  }
  $('problem').textContent = view.problem ?? '';
}

// What is offered stays as it is while it is the same: somebody may be choosing.
function choices(id, values) {
  const offered = Array.from($(id).options, item => item.value);
  if (String(offered) !== String(values)) fill(id, values.map(value => el('option', {value}, value)));
}

function listen() {
  for (const id of CONTROLS) {
    const read = {smooth: item => Number(item.value), log: item => item.checked}[id] ?? (item => item.value);
    $(id).addEventListener('input', event => set({[id]: read(event.target)}));
  }
  $('controls').addEventListener('submit', event => event.preventDefault());
}

function drawLegend(lines) {
  fill('curves-title', document.createTextNode(`${state.metric} by ${state.x}`));
  const {legend, key} = view.colours;
  const items = legend.map(({value, label, colour}) => {
    const members = view.shown.filter(run => runs.value(run, key) === value);
    return el('li', {onmouseenter: () => actions.onpoint(members), onmouseleave: () => actions.onpoint([])}, swatch(colour), label);
  });
  fill('legend', items.length ? el('li', {class: 'key'}, key) : null, items);
  const points = Math.max(0, ...runs.parts.map(part => part.points)), longest = Math.max(0, ...runs.parts.map(part => part.longest));
  const notes = [];
  if (longest > points) notes.push(`Curves of up to ${longest.toLocaleString('en')} points are thinned out to about ${Math.round(points)}: the least and the greatest value of each piece; averages and smoothing are of the means of the pieces.`);
  if (state.x === 'time') notes.push('Time is the duration of a run, spread evenly over its steps.');
  if (state.smooth > 0) notes.push(`Smoothed: an exponential mean of weight ${state.smooth}.`);
  if (state.lines !== 'runs') notes.push('Bands are one sample standard deviation around the mean of the runs that reach a step.');
  const missing = view.shown.length - new Set(lines.flatMap(line => line.runs)).size;
  if (missing && lines.length) notes.push(`${missing} of the runs shown ${missing === 1 ? 'has' : 'have'} no curve.`);
  fill('curves-note', document.createTextNode(notes.join(' ')));
}

function describePoint({line, index}) {
  const [x, y] = [line.x[index], line.y[index]], [run] = line.runs, head = line.label ?? `run ${runs.names[run]}`;
  const spread = line.std && line.n[index] > 1 ? ` ± ${format(line.std[index])}` : '';
  return [
    el('b', {}, swatch(line.colour), head),
    el('div', {}, `${state.metric} ${format(y)}${spread}`),
    el('div', {class: 'note'}, state.x === 'time' ? formatDuration(x) : `${state.x} ${format(x)}`, line.std ? ` · ${line.n[index]} runs` : ''),
    ...(line.label ? [] : runs.varied.slice(0, MAX_KEYS).map(key => el('div', {class: 'note'}, `${key} ${format(runs.value(run, key))}`))),
  ];
}

function drawTools() {
  const brushes = Object.keys(state.brush).length;
  const boxes = runs.heads.filter(head => head.key !== 'run').map(({key}) => el('label', {class: 'check'}, el('input', {
    type: 'checkbox', checked: shownColumns(runs, state).includes(key), 'data-column': key, onchange: () => set({columns: toggled(state.columns, key)}),
  }), key));
  const isOpen = $('columns')?.open, focus = document.activeElement?.dataset?.column;
  fill('tools', el('span', {class: 'note'}, `${view.shown.length} of ${runs.names.length}`),
    state.hidden.length && el('button', {type: 'button', class: 'small', onclick: () => set({hidden: []})}, `Show ${state.hidden.length} hidden`),
    brushes && el('button', {type: 'button', class: 'small', onclick: () => set({brush: {}})}, 'Clear brushes'),
    state.marked.length && el('button', {type: 'button', class: 'small', onclick: () => set({marked: []})}, 'Clear marks'),
    el('details', {id: 'columns', open: isOpen}, el('summary', {}, 'Columns'), el('div', {class: 'menu'}, boxes)));
  if (focus) $('tools').querySelector(`[data-column="${CSS.escape(focus)}"]`)?.focus();
}

function drawFooter() {
  const problems = [...new Set([...(runs.problems ?? []), ...runs.parts.flatMap(part => part.problems)])];
  fill('footer',
    problems.length && el('details', {}, el('summary', {}, `${problems.length} could not be read`), el('ul', {}, problems.map(problem => el('li', {}, problem)))),
    el('p', {class: 'note'}, `${runs.folders.join(', ')} · written ${runs.written.slice(0, 16).replace('T', ' ')} UTC`));
}

// A board's page asks for what changed since; a file has nobody to ask.
async function follow() {
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, POLL));
    if (document.hidden) continue;
    try {
      const answer = await fetch(`changes?since=${runs.version}`);
      const update = await answer.json(), changes = update.version !== runs.version;
      if (changes) { runs.merge(update); await draw(); }
      Object.assign($('live'), {textContent: 'live', className: 'live'});
    } catch {
      Object.assign($('live'), {textContent: 'no answer', className: 'live lost'});
    }
  }
}

let waiting = null;
addEventListener('resize', () => { clearTimeout(waiting); waiting = setTimeout(draw, 150); });
addEventListener('hashchange', () => { Object.assign(state, readState()); draw(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
listen();
await draw();
if (runs.version != null) follow();
