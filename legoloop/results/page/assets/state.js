// What is shown, kept in the URL: a link shows another person the same.
const DEFAULTS = {
  metric: '', x: 'step', log: false, smooth: 0, colour: '', lines: 'runs', where: '', sort: '',
  marked: [], pinned: [], hidden: [], columns: [], brush: {}, theme: 'auto', all: false,
};

function readState() {
  const state = structuredClone(DEFAULTS);
  for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
    if (!Object.hasOwn(DEFAULTS, key)) continue;
    const initial = DEFAULTS[key];
    if (typeof initial === 'string') { state[key] = text; continue; }
    try {
      const value = JSON.parse(text);
      const isOfKind = typeof value === typeof initial && value !== null
        && Array.isArray(value) === Array.isArray(initial);
      if (isOfKind) state[key] = value;
    } catch { /* a link that was cut: the default stays */ }
  }
  if (!state.marked.every(isText)) state.marked = [];
  if (!state.pinned.every(isText)) state.pinned = [];
  if (!state.hidden.every(isText)) state.hidden = [];
  return state;
}

const isText = value => typeof value === 'string';

function writeState(state, defaults) {
  const parameters = new URLSearchParams();
  for (const [key, initial] of Object.entries(defaults)) {
    const text = isText(state[key]) ? state[key] : JSON.stringify(state[key]);
    if (text !== (isText(initial) ? initial : JSON.stringify(initial))) parameters.set(key, text);
  }
  const hash = String(parameters);
  history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search);
}

const toggled = (list, item) => list.includes(item) ? list.filter(each => each !== item) : [...list, item];
