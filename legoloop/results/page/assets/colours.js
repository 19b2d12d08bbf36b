// Colours that differ for the colour-blind too: Okabe and Ito's for names, a part of viridis for
// numbers, so that a larger value looks it.
const NAMED = {
  light: ['#0072b2', '#d55e00', '#009e73', '#b05a8c', '#b8860b', '#3a9bd9', '#5b6770', '#7a4fbf'],
  dark: ['#56b4e9', '#f08a4b', '#2fc79a', '#e29ac2', '#f0c54a', '#8ccbf2', '#aab4bd', '#b79bf0'],
};
const ORDERED = {
  light: ['#3d2a78', '#355f8d', '#1f8a8c', '#35a567', '#9aae1f'],
  dark: ['#7a6fd0', '#4f9fd0', '#37bfae', '#86d549', '#f0e442'],
};

const isDark = () => theme('--is-dark') === '1';

function mixed(colours, share) {
  const at = Math.min(Math.max(share, 0), 1) * (colours.length - 1), low = Math.min(Math.floor(at), colours.length - 2);
  const channel = (colour, i) => parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16);
  const parts = [0, 1, 2].map(i => Math.round(channel(colours[low], i) * (1 - at + low) + channel(colours[low + 1], i) * (at - low)));
  return `rgb(${parts})`;
}

// The colour of each run, and what stands in the legend: {of(run), legend: [{label, colour, value}]}.
function coloursBy(key, runs, shown) {
  const mode = isDark() ? 'dark' : 'light', values = runs.values(key), present = shown.map(run => values[run]);
  const distinct = [...new Set(values.filter(value => value != null))].sort((a, b) => compareValues(a, b));
  const missing = theme('--muted');
  const isNumeric = distinct.length > 2 && distinct.every(isNumber);
  let of;
  if (isNumeric) {
    const axis = distinct.length <= 8 ? null : axisOf(distinct, true);
    const share = value => axis ? axis.place(value) : distinct.indexOf(value) / (distinct.length - 1);
    of = value => value == null ? missing : mixed(ORDERED[mode], share(value));
  } else {
    const names = NAMED[mode], place = new Map(distinct.map((value, at) => [value, at]));
    of = value => value == null ? missing : names[place.get(value) % names.length];
  }
  const isFew = distinct.length <= 12;
  const listed = isFew ? distinct.filter(value => present.includes(value)) : isNumeric ? [distinct[0], distinct[distinct.length >> 1], distinct.at(-1)] : [];
  const legend = listed.map(value => ({value, label: format(value), colour: of(value)}));
  return {of: run => of(values[run]), legend, key};
}
