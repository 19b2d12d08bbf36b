// The curves. uPlot draws axes and grid and zooms; the lines are painted here, since a thousand of
// them with steps of their own would not fit its one table.
const NEAR = 30, MANY = 60, DRAWN_POINTS = 120_000, MIN_DRAWN = 60;

class Chart {
  constructor(host, {onpoint, onmark}) {
    Object.assign(this, {host, onpoint, onmark, lines: []});
  }

  draw(lines, state, marked) {
    const room = Math.max(MIN_DRAWN, Math.floor(DRAWN_POINTS / lines.length));
    Object.assign(this, {lines, marked, drawn: lines.map(line => extremesOf(line, room))});
    const zoomed = this.plot && this.isZoomed && this.kind === kindOf(state) && this.scales();
    this.plot?.destroy();
    this.kind = kindOf(state);
    this.isZoomed = Boolean(zoomed);
    const usable = state.log ? value => value > 0 : () => true;
    const ys = lines.flatMap(line => bounds(line, usable, state.log));
    const xs = lines.flatMap(line => [line.x[0], line.x.at(-1)]);
    if (!ys.length) {
      this.plot = null;
      fill(this.host.id, el('p', {class: 'empty'}, lines.length ? `${state.metric} has no value above 0` : `No run that is shown has a curve of ${state.metric}`));
      return;
    }
    this.host.replaceChildren();
    const axis = {stroke: theme('--muted'), font: `11px ${theme('--font')}`, grid: {stroke: theme('--grid'), width: 1}, ticks: {show: false}};
    const values = (plot, ticks) => ticks.map(tick => tick == null ? '' : state.x === 'time' ? formatDuration(tick) : formatTick(tick));
    this.plot = new uPlot({
      width: this.host.clientWidth,
      height: this.host.clientHeight,
      padding: [10, 18, 0, 0],
      legend: {show: false},
      scales: {x: {time: false}, y: {distr: state.log ? 3 : 1}},
      axes: [{...axis, values, space: 60, size: 30}, {...axis, size: 56, values: (plot, ticks) => ticks.map(tick => tick == null ? '' : formatTick(tick))}],
      series: [{}, {stroke: 'transparent', paths: () => null, points: {show: false}}],
      cursor: {drag: {x: true, y: true, uni: 30}, points: {show: false}, y: false},
      hooks: {
        draw: [plot => this.paint(plot), () => this.highlight()],
        setCursor: [plot => this.point(plot)],
        setSelect: [plot => { this.isZoomed = plot.select.width > 0; }],
      },
    }, [extent(xs), extent(ys)], this.host);
    this.overlay = el('canvas', {class: 'over', 'aria-hidden': 'true'});
    this.tip = el('div', {class: 'tip', hidden: true});
    this.plot.over.append(this.overlay, this.tip);
    this.plot.over.addEventListener('mouseleave', () => this.leave());
    this.plot.over.addEventListener('dblclick', () => { this.isZoomed = false; });
    let pressed = null;
    this.plot.over.addEventListener('mousedown', event => { pressed = [event.clientX, event.clientY]; });
    this.plot.over.addEventListener('click', event => {
      const moved = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]);
      if (this.near && moved < 4) this.onmark(this.near.runs);
    });
    if (zoomed) for (const [name, range] of Object.entries(zoomed)) this.plot.setScale(name, range);
  }

  scales() {
    return Object.fromEntries(['x', 'y'].map(name => [name, {min: this.plot.scales[name].min, max: this.plot.scales[name].max}]));
  }

  // Places of x and y on a canvas whose plotting area has this size and origin.
  places(left, top, width, height) {
    const {x, y} = this.plot.scales, by = y.distr === 3 ? Math.log : value => value;
    const xScale = width / (x.max - x.min), yScale = height / (by(y.max) - by(y.min));
    return {
      px: value => left + (value - x.min) * xScale,
      py: value => top + height - (by(value) - by(y.min)) * yScale,
    };
  }

  paint(plot) {
    const {ctx, bbox} = plot, places = this.places(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.globalAlpha = this.lines.length > 300 ? 0.45 : this.lines.length > MANY ? 0.7 : 0.9;
    for (const line of this.drawn) if (line.std) band(ctx, line, places);
    // A line of one pixel is drawn many times as fast as a wider one.
    const width = this.lines.length > MANY ? 1 : (this.lines[0].std ? 2 : 1.25) * devicePixelRatio;
    for (const line of this.drawn) stroke(ctx, line, places, width);
    ctx.restore();
  }

  // The line that is pointed at, and the marked ones, above all others.
  highlight() {
    if (!this.plot || !this.overlay) return;
    const {over} = this.plot, ratio = devicePixelRatio || 1, [width, height] = [over.clientWidth, over.clientHeight];
    this.overlay.width = width * ratio;
    this.overlay.height = height * ratio;
    const ctx = this.overlay.getContext('2d'), places = this.places(0, 0, width, height);
    ctx.scale(ratio, ratio);
    const strong = this.lines.filter(line => line.runs.some(run => this.marked.has(run)));
    if (!strong.length) return;
    ctx.globalAlpha = 0.65;
    ctx.fillStyle = theme('--card');
    ctx.fillRect(0, 0, width, height);
    ctx.globalAlpha = 1;
    for (const line of strong) {
      if (line.std) band(ctx, line, places);
      stroke(ctx, line, places, 2.5);
      const end = line.x.length - 1;
      ctx.beginPath();
      ctx.arc(places.px(line.x[end]), places.py(line.y[end]), 3, 0, 7);
      ctx.fillStyle = line.colour;
      ctx.fill();
    }
  }

  mark(marked) {
    this.marked = marked;
    this.highlight();
  }

  point(plot) {
    const {left, top} = plot.cursor;
    if (!this.tip || left < 0) return;
    const found = this.nearest(left, top);
    if (found?.line !== this.near) {
      this.near = found?.line ?? null;
      this.onpoint(this.near?.runs ?? []);
    }
    this.tip.hidden = !found;
    if (!found) return;
    this.tip.replaceChildren(...this.describe(found));
    const width = plot.over.clientWidth, isLeft = found.x > width / 2;
    Object.assign(this.tip.style, {
      left: isLeft ? '' : `${found.x + 14}px`, right: isLeft ? `${width - found.x + 14}px` : '',
      top: `${Math.max(0, Math.min(found.y - 20, plot.over.clientHeight - this.tip.offsetHeight))}px`,
    });
  }

  leave() {
    if (this.tip) this.tip.hidden = true;
    if (this.near) this.onpoint([]);
    this.near = null;
  }

  nearest(left, top) {
    const {over} = this.plot, {px, py} = this.places(0, 0, over.clientWidth, over.clientHeight);
    const at = this.plot.posToVal(left, 'x');
    let best = null;
    for (const line of this.lines) {
      const index = closest(line.x, at), x = px(line.x[index]), y = py(line.y[index]);
      const distance = Math.abs(y - top) + Math.abs(x - left) / 4;
      if (distance < (best?.distance ?? NEAR)) best = {line, index, distance, x, y};
    }
    return best;
  }
}

// Of very many lines each is drawn with fewer points: the least and the greatest of each piece.
function extremesOf(line, points) {
  const {x, y} = line, width = Math.ceil(2 * y.length / points);
  if (width < 3 || line.std) return line;
  const kept = [];
  for (let start = 0; start < y.length; start += width) {
    let low = start, high = start;
    for (let i = start; i < Math.min(start + width, y.length); i++) {
      if (y[i] < y[low]) low = i;
      if (y[i] > y[high]) high = i;
    }
    kept.push(Math.min(low, high), Math.max(low, high));
  }
  return {...line, x: kept.map(i => x[i]), y: kept.map(i => y[i])};
}

const kindOf = state => [state.metric, state.x, state.log].join();

// A band's lower edge, near 0 or below it, would take all the room of a logarithmic axis.
function bounds({y, std}, usable, isLog) {
  const edges = std ? [y, y.map((value, i) => value + std[i]), ...(isLog ? [] : [y.map((value, i) => value - std[i])])] : [y];
  return edges.flatMap(edge => extent(Array.from(edge).filter(usable)) ?? []);
}

function closest(xs, at) {
  let low = 0, high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < at) low = middle + 1; else high = middle;
  }
  return low > 0 && at - xs[low - 1] < xs[low] - at ? low - 1 : low;
}

function stroke(ctx, {x, y, colour}, {px, py}, width) {
  ctx.beginPath();
  for (let i = 0; i < x.length; i++) ctx.lineTo(px(x[i]), py(y[i]));
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.lineJoin = 'round';
  ctx.stroke();
  if (x.length === 1) {
    ctx.beginPath();
    ctx.arc(px(x[0]), py(y[0]), 1.5 * width, 0, 7);
    ctx.fillStyle = colour;
    ctx.fill();
  }
}

function band(ctx, {x, y, std, colour}, {px, py}) {
  const alpha = ctx.globalAlpha;
  ctx.beginPath();
  for (let i = 0; i < x.length; i++) ctx.lineTo(px(x[i]), py(y[i] + std[i]));
  for (let i = x.length - 1; i >= 0; i--) {
    const low = py(y[i] - std[i]);
    ctx.lineTo(px(x[i]), Number.isFinite(low) ? low : 1e5);
  }
  ctx.globalAlpha = alpha * 0.18;
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.globalAlpha = alpha;
}
