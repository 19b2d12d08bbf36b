// The lines to draw: a run each, or the mean of a group with its standard deviation.
const MAX_GRID = 300;

// Steps as what the x axis counts.
function clockOf(runs, run, x, curve) {
  if (x === 'epoch') {
    const knots = [[0, 0], ...(runs.detail(run, 'epochs') ?? [])];
    if (knots.length < 2) return null;
    return steps => steps.map(step => interpolatedKnots(knots, step));
  }
  if (x === 'time') {
    const last = curve.x.at(-1), seconds = runs.value(run, 'duration') ?? secondsSince(runs, run);
    return isNumber(seconds) && last > 0 ? steps => steps.map(step => step / last * seconds) : null;
  }
  return steps => steps;
}

function secondsSince(runs, run) {
  const [started, now] = [runs.value(run, 'started'), runs.written].map(Date.parse);
  return now > started ? (now - started) / 1000 : null;
}

function interpolatedKnots(knots, step) {
  let at = 1;
  while (at < knots.length - 1 && knots[at][0] < step) at++;
  const [[x0, y0], [x1, y1]] = [knots[at - 1], knots[at]];
  return x1 === x0 ? y1 : y0 + (step - x0) / (x1 - x0) * (y1 - y0);
}

// An exponential mean, corrected for its beginning as Adam's are.
function smoothed(y, weight) {
  const result = new Float64Array(y.length);
  let mean = 0, total = 0;
  for (let i = 0; i < y.length; i++) {
    mean = mean * weight + y[i] * (1 - weight);
    total = total * weight + 1 - weight;
    result[i] = mean / total;
  }
  return result;
}

function lineOf(runs, run, state) {
  const curve = runs.curve(run, state.metric);
  if (!curve) return null;
  const averages = state.smooth > 0 || state.lines !== 'runs', {x, y} = averages ? curve.mean : curve;
  const clock = clockOf(runs, run, state.x, curve);
  if (!clock) return null;
  return {runs: [run], x: clock(x), y: state.smooth > 0 ? smoothed(y, state.smooth) : y};
}

const isSeed = key => /(^|\.)seed$/.test(key);

function groupKeys(runs, state) {
  return state.lines === 'colour' ? [state.colour] : runs.varied.filter(key => !isSeed(key));
}

function linesOf(runs, shown, state, colours) {
  const each = shown.map(run => lineOf(runs, run, state)).filter(Boolean);
  if (state.lines === 'runs') {
    for (const line of each) line.colour = colours.of(line.runs[0]);
    return each;
  }
  const keys = groupKeys(runs, state), groups = new Map();
  for (const line of each) {
    const name = JSON.stringify(keys.map(key => runs.value(line.runs[0], key)));
    groups.set(name, [...(groups.get(name) ?? []), line]);
  }
  return [...groups.values()].map(lines => {
    const members = lines.flatMap(line => line.runs);
    const label = keys.map(key => `${key} ${format(runs.value(members[0], key))}`).join(', ');
    return {...averageOf(lines), runs: members, label, colour: colours.of(members[0])};
  });
}

// Mean and sample standard deviation, at each x over the lines that reach it.
function averageOf(lines) {
  const x = gridOf(lines), sums = x.map(() => [0, 0, 0]);
  for (const line of lines) {
    let at = 0;
    x.forEach((value, i) => {
      if (value < line.x[0] || value > line.x.at(-1)) return;
      while (at < line.x.length - 2 && line.x[at + 1] < value) at++;
      const [x0, x1] = [line.x[at], line.x[at + 1] ?? line.x[at]];
      const share = x1 === x0 ? 0 : (value - x0) / (x1 - x0);
      const y = line.y[at] + share * ((line.y[at + 1] ?? line.y[at]) - line.y[at]);
      const sum = sums[i];
      sum[0] += 1;
      const off = y - sum[1];
      sum[1] += off / sum[0];
      sum[2] += off * (y - sum[1]);
    });
  }
  const kept = x.map((_, i) => i).filter(i => sums[i][0]);
  const y = kept.map(i => sums[i][1]);
  const std = kept.map(i => sums[i][0] > 1 ? Math.sqrt(sums[i][2] / (sums[i][0] - 1)) : 0);
  return {x: kept.map(i => x[i]), y, std, n: kept.map(i => sums[i][0])};
}

function gridOf(lines) {
  const all = new Set();
  for (const line of lines) for (const x of line.x) all.add(x);
  if (all.size <= 2 * MAX_GRID) return [...all].sort((a, b) => a - b);
  const [low, high] = extent(all);
  return Array.from({length: MAX_GRID}, (_, i) => low + i / (MAX_GRID - 1) * (high - low));
}
