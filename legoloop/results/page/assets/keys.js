// The metric against each key that was varied, and all of them as parallel coordinates.
const MAX_KEYS = 6, GUTTER = 52;

class Scatter {
  constructor(host, {onpoint, onmark}) {
    Object.assign(this, {layers: new Layers(host), near: null, spots: [], frames: []});
    host.addEventListener('mousemove', event => {
      const run = this.nearest(...pointer(event));
      if (run !== this.near) onpoint(run == null ? [] : [run]);
      this.near = run;
      host.style.cursor = run == null ? '' : 'pointer';
    });
    host.addEventListener('mouseleave', () => { this.near = null; onpoint([]); });
    host.addEventListener('click', () => { if (this.near != null) onmark([this.near]); });
  }

  nearest(x, y) {
    let best = null, least = 12;
    for (const spot of this.spots) {
      const distance = Math.hypot(spot.x - x, spot.y - y);
      if (distance < least) [best, least] = [spot.run, distance];
    }
    return best;
  }

  draw(runs, shown, metric, colours) {
    const {layers} = this, keys = runs.varied.slice(0, MAX_KEYS), rows = keys.length > 3 ? 2 : 1;
    layers.host.style.height = `${rows * 178}px`;
    layers.resize();
    this.spots = [];
    this.frames = [];
    const perRow = Math.ceil(keys.length / rows), width = (layers.width - GUTTER) / perRow, height = layers.height / rows;
    const y = axisOf(shown.map(run => runs.value(run, metric)), false);
    const muted = theme('--muted'), {base} = layers;
    keys.forEach((key, at) => {
      const left = GUTTER + (at % perRow) * width, top = 8 + Math.floor(at / perRow) * height;
      const inner = width - 14, tall = height - 52, axis = axisOf(shown.map(run => runs.value(run, key)), true);
      base.strokeStyle = theme('--line');
      base.strokeRect(left + 0.5, top + 0.5, inner, tall);
      this.frames.push([left + 1, top + 1, inner - 1, tall - 1]);
      if (at % perRow === 0) for (const tick of y.ticks) text(base, format(tick), left - 6, top + 10 + (1 - y.place(tick)) * (tall - 12), 'right', muted);
      const place = value => left + 14 + axis.place(value) * (inner - 28);
      const labels = axis.ticks.map(tick => ({label: format(tick), at: place(tick)}));
      const gap = (a, b) => (base.measureText(a.label).width + base.measureText(b.label).width) / 2 + 6;
      for (const {label, at: x} of spread(labels, gap)) text(base, label, x, top + tall + 15, 'center', muted, inner);
      text(base, key, left + inner / 2, top + tall + 33, 'center', theme('--text'), inner);
      const step = axis.ticks.length > 1 ? (inner - 28) / Math.max(axis.ticks.length, 4) : inner / 4;
      for (const run of shown) {
        const x = place(runs.value(run, key)), v = y.place(runs.value(run, metric));
        if (!Number.isFinite(x) || !Number.isFinite(v)) continue;
        const jitter = ((run * 37 % 17) / 16 - 0.5) * Math.min(step * 0.5, 22);
        this.spots.push({run, x: x + jitter, y: top + 6 + (1 - v) * (tall - 12), colour: colours.of(run)});
      }
    });
    base.globalAlpha = this.spots.length > 1500 ? 0.4 : 0.8;
    for (const spot of this.spots) dot(base, spot, 3);
    base.globalAlpha = 1;
    const what = keys.length ? `${metric} against ${keys.join(', ')}, ${shown.length} runs` : 'no key was varied';
    layers.host.setAttribute('aria-label', what);
  }

  mark(marked) {
    const {layers} = this;
    layers.clearOver();
    const strong = this.spots.filter(spot => marked.has(spot.run));
    if (strong.length) for (const frame of this.frames) layers.veil(frame);
    for (const spot of strong) dot(layers.over, spot, 5);
  }
}

function dot(context, {x, y, colour}, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fillStyle = colour;
  context.fill();
}

class Parallel {
  constructor(host, {onpoint, onmark, onbrush}) {
    Object.assign(this, {layers: new Layers(host), onbrush, near: null, axes: [], brush: {}, drag: null});
    host.addEventListener('mousedown', event => this.press(event));
    host.addEventListener('mousemove', event => {
      const [x, y] = pointer(event);
      if (this.drag) return this.move(y);
      const run = this.nearest(x, y);
      if (run !== this.near) onpoint(run == null ? [] : [run]);
      this.near = run;
      host.style.cursor = this.axisAt(x) ? 'ns-resize' : run == null ? '' : 'pointer';
    });
    addEventListener('mouseup', () => this.release());
    host.addEventListener('mouseleave', () => { this.near = null; onpoint([]); });
    host.addEventListener('click', event => {
      if (this.near != null && !this.axisAt(pointer(event)[0])) onmark([this.near]);
    });
  }

  get room() { return {top: 26, tall: this.layers.height - 56}; }

  axisAt(x) { return this.axes.find(axis => Math.abs(axis.x - x) < 9); }

  share(y) { return Math.min(1, Math.max(0, 1 - (y - this.room.top) / this.room.tall)); }

  press(event) {
    const [x, y] = pointer(event), axis = this.axisAt(x);
    if (!axis) return;
    event.preventDefault();
    this.drag = {key: axis.key, from: this.share(y), to: this.share(y)};
  }

  move(y) {
    this.drag.to = this.share(y);
    this.mark(this.marked);
  }

  // A click on an axis, without a range, takes its brush away.
  release() {
    if (!this.drag) return;
    const {key, from, to} = this.drag, {[key]: _, ...others} = this.brush;
    this.drag = null;
    const range = [Math.min(from, to), Math.max(from, to)].map(share => +share.toFixed(3));
    this.onbrush(range[1] - range[0] > 0.02 ? {...others, [key]: range} : others);
  }

  draw(runs, matching, visible, metric, colours, brush) {
    const {layers} = this, keys = [...runs.varied.slice(0, MAX_KEYS), metric];
    layers.resize();
    this.brush = brush;
    const width = layers.width - 90, {top, tall} = this.room, {base} = layers;
    this.axes = keys.map((key, at) => ({
      key, x: Math.round(45 + (keys.length > 1 ? at / (keys.length - 1) : 0.5) * width) + 0.5,
      ...axisOf(matching.map(run => runs.value(run, key)), key !== metric),
    }));
    const inBrush = new Set(visible);
    this.paths = matching.map(run => ({
      run, colour: colours.of(run), isIn: inBrush.has(run),
      spots: this.axes.map(axis => ({x: axis.x, y: top + (1 - axis.place(runs.value(run, axis.key))) * tall})).filter(spot => Number.isFinite(spot.y)),
    }));
    const alpha = matching.length > 300 ? 0.2 : matching.length > 60 ? 0.4 : 0.7;
    for (const path of this.paths) {
      base.globalAlpha = path.isIn ? alpha : 0.05;
      trace(base, path, matching.length > MANY ? 1 : 1.25);
    }
    base.globalAlpha = 1;
    this.label(base);
    layers.host.setAttribute('aria-label', `Each of ${matching.length} runs as a line through ${keys.join(', ')}; ${visible.length} within the brushes`);
  }

  // Axes and their values; above the marked lines once more.
  label(context) {
    const {top, tall} = this.room, last = this.axes.length - 1;
    const room = last ? this.axes[1].x - this.axes[0].x - 8 : this.layers.width;
    this.axes.forEach((axis, at) => {
      context.strokeStyle = theme('--muted');
      context.beginPath();
      context.moveTo(axis.x, top);
      context.lineTo(axis.x, top + tall);
      context.stroke();
      const labels = axis.ticks.map(tick => ({label: format(tick), at: top + (1 - axis.place(tick)) * tall}));
      const [off, align] = at === last ? [7, 'left'] : [-7, 'right'];
      for (const {label, at: y} of spread(labels, () => 12)) halo(context, label, axis.x + off, y + 4, align);
      text(context, axis.key, axis.x, top + tall + 22, 'center', theme('--text'), Math.min(room, at && at < last ? room : 88));
    });
  }

  mark(marked) {
    const {layers} = this, {over} = layers;
    this.marked = marked;
    layers.clearOver();
    const strong = this.paths.filter(path => marked.has(path.run));
    for (const path of strong) {
      trace(over, {...path, colour: theme('--card')}, 6);
      trace(over, path, 3);
    }
    if (strong.length) this.label(over);
    const brush = this.drag ? {...this.brush, [this.drag.key]: [this.drag.from, this.drag.to]} : this.brush;
    for (const axis of this.axes) {
      if (!Object.hasOwn(brush, axis.key)) continue;
      const [low, high] = brush[axis.key].toSorted((a, b) => a - b), {top, tall} = this.room;
      over.globalAlpha = 0.35;
      over.fillStyle = theme('--accent');
      over.fillRect(axis.x - 6, top + (1 - high) * tall, 12, (high - low) * tall);
      over.globalAlpha = 1;
    }
  }

  nearest(x, y) {
    let best = null, least = 6;
    for (const {run, spots, isIn} of this.paths) {
      if (!isIn) continue;
      for (let i = 1; i < spots.length; i++) {
        const [a, b] = [spots[i - 1], spots[i]];
        if (x < a.x || x > b.x) continue;
        const distance = Math.abs(a.y + (x - a.x) / (b.x - a.x) * (b.y - a.y) - y);
        if (distance < least) [best, least] = [run, distance];
      }
    }
    return best;
  }
}

function trace(context, {spots, colour}, width) {
  context.beginPath();
  for (const {x, y} of spots) context.lineTo(x, y);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
  context.lineWidth = 1;
}

function halo(context, words, x, y, align) {
  context.textAlign = align;
  context.strokeStyle = theme('--card');
  context.lineWidth = 3;
  context.strokeText(words, x, y);
  context.lineWidth = 1;
  text(context, words, x, y, align, theme('--muted'));
}

// Whether a run lies in every brushed range; as places on the axes of all that match.
function brushed(runs, matching, metric, brush) {
  const tests = Object.entries(brush).filter(([key]) => runs.has(key)).map(([key, range]) => {
    const axis = axisOf(matching.map(run => runs.value(run, key)), key !== metric);
    return run => { const at = axis.place(runs.value(run, key)); return at >= range[0] - 1e-9 && at <= range[1] + 1e-9; };
  });
  return matching.filter(run => tests.every(test => test(run)));
}
