// The filter, in the words of `legoloop-results --where`: KEY=VALUE, !=, <, <=, >, >=; all must hold.
const CONDITION = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/s;
const COMPARISONS = {
  '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b,
};

// Words are separated by spaces that are in no quotes and no brackets.
const words = text => text.match(/(?:"[^"]*"|'[^']*'|\[[^\]]*\]|[^\s"'[])+|\S+/g) ?? [];

// What the command reads 1e-3, true and null as.
function parseValue(text) {
  const quoted = /^(["'])(.*)\1$/s.exec(text);
  if (quoted) return quoted[2];
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  if (/^(true|false)$/i.test(text)) return text.toLowerCase() === 'true';
  return text;
}

// Returns {holds(run)}, or {problem} with a sentence.
function parseFilter(text, runs) {
  const conditions = [];
  for (const word of words(text)) {
    const match = CONDITION.exec(word);
    if (!match) return {problem: `${word}: write KEY=VALUE, for instance status=FAILED`};
    const [, key, operator, rest] = match, wanted = parseValue(rest);
    if (!runs.has(key)) return {problem: `${key}: no run has such a key${nearest(key, runs)}`};
    if (operator in COMPARISONS) {
      if (!isNumber(wanted)) return {problem: `${word}: '${rest}' is not a number`};
      conditions.push(run => {
        const value = snapped(runs.value(run, key), wanted);
        return isNumber(value) && COMPARISONS[operator](value, wanted);
      });
    } else {
      const plain = spaceless(isNumber(wanted) ? rest : wanted);
      conditions.push(run => {
        const value = snapped(runs.value(run, key), wanted);
        const isEqual = each => each === wanted || spaceless(each ?? 'null') === plain;
        return [value, ...entriesOf(value)].some(isEqual) === (operator === '=');
      });
    }
  }
  return {holds: run => conditions.every(condition => condition(run))};
}

// range(0.1, 0.5, 0.2) gives 0.30000000000000004.
function snapped(value, wanted) {
  const isClose = isNumber(value) && isNumber(wanted)
    && Math.abs(value - wanted) <= 1e-12 * Math.max(Math.abs(value), Math.abs(wanted));
  return isClose ? wanted : value;
}

// Of a list, which comes as JSON; tags=baseline holds for a run with that tag.
function entriesOf(value) {
  if (!/^\[.*\]$/s.test(value)) return [];
  try {
    return JSON.parse(value).map(entry => isNumber(entry) ? entry : String(entry));
  } catch { return []; }
}

// Those of a list that was cut for its length are one.
const tagsOf = value => entriesOf(value).length ? entriesOf(value).map(String) : [String(value)];

const spaceless = value => String(value).replace(/\s/g, '');

function nearest(key, runs) {
  const keys = [...runs.columns.keys(), ...Object.keys(runs.shared)];
  const found = keys.find(each => each.endsWith(`.${key}`) || each.endsWith(`/${key}`))
    ?? keys.find(each => each.includes(key));
  return found ? `; did you mean ${found}?` : '';
}
