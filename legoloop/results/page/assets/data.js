// The runs: their rows, and their curves, which are unpacked when a metric is first shown.
class Runs {
  constructor(content) {
    this.parts = [];
    this.merge(content);
  }

  // Of a board, an update may have the rows and curves of those runs alone that changed.
  merge({parts = [], changed = [], ...rest}) {
    Object.assign(this, rest);
    this.names = this.rows.map(row => row[0]);
    this.index = new Map(this.names.map((name, run) => [name, run]));
    for (const row of changed) this.rows[this.index.get(row[0])] = row;
    this.columns = new Map(this.heads.map((head, column) => [head.key, column]));
    this.parts.push(...parts.map(part => ({...part, unpacked: new Map()})));
    this.holder = new Map();
    for (const part of this.parts) part.runs.forEach((name, at) => this.holder.set(name, {part, at}));
    this.parts = this.parts.filter(part => part.runs.some(name => this.holder.get(name).part === part));
    this.metrics = this.heads.filter(head => head.about === 'metric').map(head => head.key);
    this.varied = this.heads.filter(head => head.varied).map(head => head.key);
  }

  head(key) { return this.heads[this.columns.get(key)]; }

  has(key) { return this.columns.has(key) || Object.hasOwn(this.shared, key); }

  value(run, key) {
    const column = this.columns.get(key);
    if (column !== undefined) return this.rows[run][column];
    return Object.hasOwn(this.shared, key) ? this.shared[key] : null;
  }

  values(key) { return this.rows.map((row, run) => this.value(run, key)); }

  detail(run, name) {
    const held = this.holder.get(this.names[run]);
    return held ? held.part[name][held.at] : null;
  }

  // The name of a metric's curves, where that of its column is another.
  tag(metric) { return this.head(metric)?.tag ?? metric; }

  async unpack(key) {
    const metric = this.tag(key);
    for (const part of this.parts) {
      if (part.unpacked.has(metric) || !Object.hasOwn(part.curves, metric)) continue;
      const packed = part.curves[metric];
      const curves = await unpackCurves(packed);
      const means = packed.means && await unpackCurves(packed.means);
      part.unpacked.set(metric, curves.map((curve, at) => curve && {...curve, mean: means?.[at] ?? curve}));
    }
  }

  curve(run, metric) {
    const held = this.holder.get(this.names[run]);
    return held?.part.unpacked.get(this.tag(metric))?.[held.at] ?? null;
  }

  best(runs, metric) {
    const better = this.head(metric)?.better;
    if (!better) return null;
    const known = runs.filter(run => isNumber(this.value(run, metric)));
    const sign = better === 'higher' ? -1 : 1;
    return known.sort((a, b) => sign * (this.value(a, metric) - this.value(b, metric)))[0] ?? null;
  }
}

const unpackedJson = async text => JSON.parse(new TextDecoder().decode(await unpacked(text)));

// The bytes of packing.py: differences of steps in four planes, of levels in two.
async function unpackCurves({points, least, greatest, logarithmic, data}) {
  const bytes = await unpacked(data), count = points.reduce((a, b) => a + b, 0);
  let at = 0;
  return points.map((length, curve) => {
    if (!length) return null;
    const x = new Float64Array(length), y = new Float64Array(length);
    const isLog = logarithmic[curve], by = isLog ? Math.log : value => value;
    const low = by(least[curve]), high = by(greatest[curve]);
    let step = 0, level = 0;
    for (let i = 0; i < length; i++, at++) {
      step += bytes[at] + bytes[at + count] * 256 + bytes[at + 2 * count] * 65536 + bytes[at + 3 * count] * 16777216;
      level = (level + bytes[at + 4 * count] + bytes[at + 5 * count] * 256) & 65535;
      const share = level / 65535, value = low * (1 - share) + high * share;
      x[i] = step;
      y[i] = level === 0 ? least[curve] : level === 65535 ? greatest[curve] : isLog ? Math.exp(value) : value;
    }
    return {x, y};
  });
}
