// A canvas for what stays, and one above it for what is pointed at and marked.
class Layers {
  constructor(host) {
    this.host = host;
    this.canvases = ['base', 'over'].map(name => el('canvas', {class: name, 'aria-hidden': 'true'}));
    host.replaceChildren(...this.canvases);
  }

  resize() {
    const {clientWidth: width, clientHeight: height} = this.host, ratio = devicePixelRatio || 1;
    Object.assign(this, {width, height});
    [this.base, this.over] = this.canvases.map(canvas => {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      const context = canvas.getContext('2d');
      context.scale(ratio, ratio);
      context.font = `11px ${theme('--font')}`;
      return context;
    });
  }

  clearOver() { this.over.clearRect(0, 0, this.width, this.height); }

  // Everything but what is drawn next on the upper canvas steps back.
  veil(frame) {
    this.over.globalAlpha = 0.65;
    this.over.fillStyle = theme('--card');
    this.over.fillRect(...frame);
    this.over.globalAlpha = 1;
  }
}

function text(context, words, x, y, align, colour, room = Infinity) {
  context.fillStyle = colour;
  context.textAlign = align;
  let shown = words;
  while (shown.length > 1 && context.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
  context.fillText(shown, x, y);
}

// Labels along an axis, without those that would touch the one before.
function spread(labels, gap) {
  const kept = [];
  for (const label of labels.sort((a, b) => a.at - b.at)) {
    if (!kept.length || label.at - kept.at(-1).at >= gap(kept.at(-1), label)) kept.push(label);
    else if (label === labels.at(-1)) kept[kept.length - 1] = label;
  }
  return kept;
}

const pointer = event => {
  const box = event.currentTarget.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
