// The panel of what is marked: one run, or what differs between two.
const SAMPLES_SHOWN = 40;

async function detailsContent(runs, [one, other], best) {
  if (other !== undefined) return comparisonOf(runs, one, other);
  const run = one ?? best;
  if (run != null) return detailsOf(runs, run, one === undefined);
  return [el('h2', {id: 'details-title'}, 'Details'), el('p', {class: 'note'}, 'Mark one run to see it, two to compare them.')];
}

function detailsOf(runs, run, isBest) {
  const name = runs.names[run], path = runs.directories[run];
  const facts = [...runs.varied, 'started', 'duration'].filter(key => runs.value(run, key) != null);
  const notes = runs.value(run, 'notes'), tags = runs.value(run, 'tags'), title = runs.value(run, 'name');
  const cause = runs.value(run, 'cause');
  const isSet = value => value != null && value !== 'null' && value !== '[]' && value !== '';
  return [
    el('div', {class: 'bar'}, el('h2', {id: 'details-title'}, `${isBest ? 'Best run' : 'Run'} ${name}`), statusChip(runs.value(run, 'status'))),
    isBest && el('p', {class: 'note'}, 'Mark one run to see it, two to compare them.'),
    isSet(title) && el('p', {class: 'title'}, String(title)),
    isSet(tags) && el('p', {class: 'tags'}, tagsOf(tags).map(tag => el('span', {class: 'tag'}, tag))),
    isSet(notes) && el('p', {class: 'notes'}, String(notes)),
    cause != null && el('pre', {class: 'cause'}, String(cause)),
    el('dl', {}, facts.map(key => [el('dt', {}, key), el('dd', {}, formatCell(key, runs.value(run, key)))])),
    ...worstErrors(runs.detail(run, 'worst_errors')),
    ...confusionTable(runs.detail(run, 'confusion')),
    el('h3', {}, 'Run again'), copyable(`python -m legoloop.run ${shellWord(`rerun=${hydraValue(path)}`)}`),
    el('h3', {}, 'Evaluate, on other data too'), copyable(`python -m legoloop.evaluate ${shellWord(path)}`),
    configurationOf(runs, run),
  ];
}

// A word of a shell, and a value of Hydra's overrides.
const shellWord = word => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
const hydraValue = path => /^[\w./-]+$/.test(path) ? path : `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

function worstErrors(errors) {
  if (!errors) return [];
  const {samples, columns, lines, picture, width, height} = errors;
  const caption = 14, tile = [width / columns, height / lines - caption];
  const figures = samples.map(([sample, target, predicted], at) => el('figure', {},
    picture && el('div', {class: 'tile', role: 'img', 'aria-label': `sample ${sample}`, style: {
      width: `${tile[0]}px`, height: `${tile[1]}px`, backgroundImage: `url(${picture})`,
      backgroundPosition: `${-(at % columns) * tile[0]}px ${-Math.floor(at / columns) * (tile[1] + caption)}px`,
    }}),
    el('figcaption', {}, el('span', {}, `${target} → ${predicted}`), el('small', {}, sample))));
  return [el('h3', {}, 'Worst errors'), el('p', {class: 'note'}, `target → predicted class, and the sample${picture ? '' : '; pictures are left out for their size'}`), el('div', {class: 'tiles'}, figures)];
}

function confusionTable(confusion) {
  if (!confusion) return [];
  const {names, counts} = confusion;
  const rows = counts.map((row, target) => {
    const total = row.reduce((a, b) => a + b, 0) || 1;
    return el('tr', {}, el('th', {scope: 'row'}, names[target] ?? ''), row.map((count, predicted) => el('td', {
      class: predicted === target ? 'right' : 'wrong', style: {'--share': count / total}, title: `${names[target]} as ${names[predicted]}: ${count}`,
    }, el('span', {}, count || '·'))));
  });
  return [el('h3', {}, 'Confusion'), el('div', {class: 'scroll'}, el('table', {class: 'confusion'}, el('caption', {}, 'a row for each target, a column for each predicted class'),
    el('thead', {}, el('tr', {}, el('td', {}), names.map(name => el('th', {scope: 'col'}, name)))), el('tbody', {}, rows)))];
}

function configurationOf(runs, run) {
  const own = runs.heads.filter(head => head.about === 'configuration').map(head => [head.key, runs.value(run, head.key)]);
  const all = [...own, ...Object.entries(runs.shared)].filter(([, value]) => value != null).sort((a, b) => natural(a[0], b[0]));
  const rows = all.map(([key, value]) => el('tr', {}, el('th', {scope: 'row'}, key), el('td', {class: 'text'}, String(value))));
  return el('details', {}, el('summary', {}, `Configuration, ${all.length} keys`), el('div', {class: 'scroll tall'}, el('table', {class: 'plain'}, el('tbody', {}, rows))));
}

async function comparisonOf(runs, one, other) {
  const isRepeat = (key, a, b) => runs.value(one, key) === a && runs.value(other, key) === b;
  const rows = runs.heads.filter(({key}) => key !== 'run' && key !== 'started')
    .map(({about, key}) => ({about, key, a: runs.value(one, key), b: runs.value(other, key)}))
    .filter(({key, a, b}) => a !== b && !['final/', 'best '].some(prefix => key.startsWith(prefix) && isRepeat(key.slice(prefix.length), a, b)));
  const abouts = [...new Set(rows.map(row => row.about))];
  const order = ['configuration', 'code', 'data', 'record', 'metric', 'versions', 'hardware'];
  const bodies = abouts.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)).map(about => el('tbody', {},
    el('tr', {class: 'about'}, el('th', {scope: 'rowgroup', colspan: 4}, {record: 'outcome', metric: 'metrics'}[about] ?? about)),
    rows.filter(row => row.about === about).map(({key, a, b}) => el('tr', {}, el('th', {scope: 'row'}, key),
      [a, b].map(value => el('td', {title: isText(value) ? value : null}, formatCell(key, value))), el('td', {class: 'change'}, changeOf(key, a, b))))));
  const head = el('thead', {}, el('tr', {}, el('td', {}), [one, other].map(run => el('th', {scope: 'col'}, runs.names[run])), el('th', {scope: 'col'}, 'change')));
  return [
    el('h2', {id: 'details-title'}, `What differs between ${runs.names[one]} and ${runs.names[other]}`),
    rows.length ? el('div', {class: 'scroll'}, el('table', {class: 'compare'}, head, bodies)) : el('p', {class: 'note'}, 'Nothing that is recorded.'),
    ...await changedSamples(runs, one, other),
    el('h3', {}, 'All of it'),
    copyable(`python -m legoloop.results --compare ${[one, other].map(run => shellWord(runs.directories[run])).join(' ')}`),
  ];
}

function changeOf(key, a, b) {
  if (!isNumber(a) || !isNumber(b)) return '';
  const change = b - a;
  return `${change > 0 ? '+' : ''}${format(change)}${key === 'duration' ? ' s' : ''}`;
}

async function changedSamples(runs, one, other) {
  if (!runs.samples) return runs.left_out ? [el('p', {class: 'note'}, runs.left_out)] : [];
  if (runs.unpackedFrom !== runs.samples) {
    runs.predictions = await unpackedJson(runs.samples);
    runs.unpackedFrom = runs.samples;
  }
  const {samples, classes, common, differing} = runs.predictions;
  const [a, b] = [one, other].map(run => differing[run] && predictedBy(common, differing[run]));
  if (!a || !b) return [];
  const both = samples.map((_, at) => at).filter(at => a[at] >= 0 && b[at] >= 0);
  const changed = both.filter(at => a[at] !== b[at]);
  const title = `${changed.length} of ${both.length} samples changed their predicted class`;
  if (!changed.length) return [el('h3', {}, title)];
  const rows = changed.slice(0, SAMPLES_SHOWN).map(at => el('tr', {}, el('th', {scope: 'row'}, samples[at]), el('td', {}, classes[a[at]]), el('td', {}, classes[b[at]])));
  const names = [one, other].map(run => el('th', {scope: 'col'}, runs.names[run]));
  return [el('h3', {}, title), el('div', {class: 'scroll tall'}, el('table', {class: 'plain'}, el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'sample'), names)), el('tbody', {}, rows))),
    changed.length > SAMPLES_SHOWN && el('p', {class: 'note'}, `and ${changed.length - SAMPLES_SHOWN} more`)];
}

function predictedBy(common, [at, classes]) {
  const all = [...common];
  at.forEach((sample, i) => { all[sample] = classes[i]; });
  return all;
}
