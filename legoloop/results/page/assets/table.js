// The table of runs: a real one, its heads and first cells buttons.
const FIRST_ROWS = 100;

class Table {
  constructor(host, actions) {
    Object.assign(this, {host, actions, rows: new Map()});
    host.addEventListener('mouseover', event => actions.onpoint(this.runOf(event)));
    host.addEventListener('mouseleave', () => actions.onpoint([]));
    host.addEventListener('click', event => {
      const runs = event.target.closest('button') ? [] : this.runOf(event);
      if (runs.length && !String(getSelection())) actions.onmark(runs);
    });
  }

  runOf(event) {
    const row = event.target.closest('tr[data-run]');
    return row ? [Number(row.dataset.run)] : [];
  }

  draw(runs, shown, state, colours, best) {
    const {actions} = this, keys = shownColumns(runs, state);
    const ordered = sortedRuns(runs, shown, state);
    const listed = state.all ? ordered : ordered.slice(0, FIRST_ROWS), focus = document.activeElement?.dataset?.focus;
    const heads = keys.map(key => {
      const sort = state.sort.replace(/^-/, '') === key ? (state.sort[0] === '-' ? 'descending' : 'ascending') : 'none';
      const arrow = el('span', {class: 'arrow', 'aria-hidden': 'true'}, {ascending: '▲', descending: '▼', none: ''}[sort]);
      const button = el('button', {type: 'button', onclick: () => actions.onsort(key), 'data-focus': `head ${key}`}, key, arrow);
      return el('th', {scope: 'col', 'aria-sort': sort, class: isText(sampleOf(runs, key)) ? 'text' : ''}, button);
    });
    this.rows = new Map(listed.map(run => [run, this.row(runs, run, keys, state, colours, run === best)]));
    const caption = el('caption', {}, `${shown.length} of ${runs.names.length} runs; the heads sort, a run's name marks it`);
    const more = listed.length < ordered.length && el('button', {type: 'button', class: 'small more', onclick: actions.onall}, `Show all ${ordered.length} runs`);
    this.host.replaceChildren(el('table', {}, caption, el('thead', {}, el('tr', {}, heads, el('th', {class: 'acts'}, el('span', {class: 'hidden'}, 'Pin and hide')))), el('tbody', {}, ...this.rows.values())), ...(more ? [more] : []));
    if (focus) this.host.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
  }

  row(runs, run, keys, state, colours, isBest) {
    const {actions} = this, name = runs.names[run], isPinned = state.pinned.includes(name);
    const [, ...others] = keys;
    const mark = el('button', {
      type: 'button', class: 'name', 'aria-pressed': String(state.marked.includes(name)), 'data-focus': `mark ${name}`, onclick: () => actions.onmark([run]),
    }, swatch(colours.of(run)), name, isBest && el('span', {class: 'star', title: 'the best'}, ' ★', el('span', {class: 'hidden'}, ' the best')));
    const acts = [['pin', isPinned ? 'Unpin' : 'Pin', isPinned], ['hide', 'Hide', false]].map(([what, word, pressed]) => el('button', {
      type: 'button', class: 'small', 'aria-label': `${word} ${name}`, 'aria-pressed': what === 'pin' && String(pressed), 'data-focus': `${what} ${name}`, onclick: () => actions[`on${what}`](name),
    }, word));
    return el('tr', {'data-run': run, class: isPinned ? 'pinned' : ''}, el('th', {scope: 'row'}, mark),
      others.map(key => cellOf(key, runs.value(run, key))), el('td', {class: 'acts'}, el('div', {}, acts)));
  }

  mark(marked, pointed) {
    for (const [run, row] of this.rows) {
      row.classList.toggle('marked', marked.has(run));
      row.classList.toggle('pointed', pointed.has(run));
      row.querySelector('.name').setAttribute('aria-pressed', String(marked.has(run)));
    }
  }
}

function cellOf(key, value) {
  if (key === 'status') return el('td', {class: 'text'}, statusChip(value));
  const isLong = isText(value) && value.length > 24, shown = formatCell(key, value);
  return el('td', {class: isText(value) ? 'text' : '', title: isLong ? value : null}, shown);
}

const statusChip = status => el('span', {class: `status ${/^[A-Z]+$/.test(status) ? status.toLowerCase() : ''}`}, String(status).toLowerCase());

const sampleOf = (runs, key) => runs.values(key).find(value => value != null);

// The run, what varied, how it ended, and the metrics of the data set of the one that is shown.
function shownColumns(runs, state) {
  const kin = state.metric.includes('/') ? state.metric.slice(0, state.metric.lastIndexOf('/') + 1) : state.metric;
  const usual = head => head.varied || ['run', 'name', 'tags', 'status', 'duration', 'cause'].includes(head.key)
    || head.about === 'metric' && (head.key === state.metric || head.key === `best ${state.metric}` || head.key.startsWith(kin));
  const order = head => head.key === 'run' ? -2 : head.key === 'name' ? -1 : head.key === 'tags' ? 0 : head.varied ? 1 : head.about === 'record' && head.key !== 'cause' ? 2 : head.about === 'metric' ? 3 : 4;
  return runs.heads.filter(head => head.key === 'run' || Boolean(usual(head)) !== state.columns.includes(head.key))
    .toSorted((a, b) => order(a) - order(b)).map(head => head.key);
}

function sortedRuns(runs, shown, state) {
  const descending = state.sort[0] === '-', key = state.sort.replace(/^-/, '');
  const isPinned = new Set(state.pinned);
  return [...shown].sort((a, b) => isPinned.has(runs.names[b]) - isPinned.has(runs.names[a])
    || (runs.columns.has(key) ? compareValues(runs.value(a, key), runs.value(b, key), descending) : 0));
}
