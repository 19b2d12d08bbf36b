// Numbers, as they are written and as they are put on an axis.
const isNumber = value => typeof value === 'number';

function format(value) {
  if (value == null) return '';
  if (!isNumber(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  return String(+value.toPrecision(4)).replace('-', '−');
}

// Short, for an axis: 20k, 1.5M.
function formatTick(value) {
  const [unit, name] = Math.abs(value) >= 1e6 ? [1e6, 'M'] : Math.abs(value) >= 1e4 ? [1e3, 'k'] : [1, ''];
  return Math.abs(value) >= 1e12 ? format(value) : `${format(value / unit)}${name}`;
}

function formatDuration(seconds) {
  if (!isNumber(seconds)) return '';
  if (seconds < 60) return `${+seconds.toPrecision(seconds < 10 ? 2 : 3)} s`;
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  const two = number => String(number).padStart(2, '0');
  if (!hours) return `${minutes}:${two(Math.floor(seconds % 60))} min`;
  return `${hours}:${two(minutes % 60)} h`;
}

const formatCell = (key, value) => key === 'duration' ? formatDuration(value)
  : key === 'started' && value ? String(value).slice(0, 19).replace('T', ' ')
  : key === 'tags' && value != null ? tagsOf(value).join(', ')
  : format(value);

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!isNumber(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

// Where a value lies on an axis, from 0 to 1. Numbers that span orders of magnitude are spaced by
// their logarithms; texts evenly, in their order.
function axisOf(values, isKey) {
  const known = values.filter(value => value != null);
  if (known.length && known.every(isNumber)) {
    const [low, high] = extent(known);
    const isLog = isKey && low > 0 && high / low >= 10;
    const by = isLog ? Math.log : value => value;
    const place = value => !isNumber(value) ? NaN
      : high === low ? 0.5 : (by(value) - by(low)) / (by(high) - by(low));
    const all = [...new Set(known)].sort((a, b) => a - b);
    return {place, ticks: isKey && all.length <= 8 ? all : [low, high], numeric: true};
  }
  const all = [...new Set(known.map(String))].sort(natural);
  const place = value => {
    const index = all.indexOf(String(value));
    return value == null || index < 0 ? NaN : all.length < 2 ? 0.5 : index / (all.length - 1);
  };
  return {place, ticks: all.length <= 8 ? all : [all[0], all.at(-1)], numeric: false};
}

const natural = new Intl.Collator('en', {numeric: true}).compare;

// Missing values come last either way.
function compareValues(a, b, descending) {
  if (a == null || b == null) return (a == null) - (b == null);
  const [x, y] = [isNumber(a), isNumber(b)];
  if (x !== y) return y - x;
  return (x ? a - b : natural(String(a), String(b))) * (descending ? -1 : 1);
}
