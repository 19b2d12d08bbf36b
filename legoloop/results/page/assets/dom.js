// Elements. Texts of runs only ever become text nodes and attributes, never markup.
const $ = id => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'style') setStyle(element.style, value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter(child => child != null && child !== false));
  return element;
}

function setStyle(style, values) {
  for (const [name, value] of Object.entries(values)) {
    if (name.startsWith('--')) style.setProperty(name, value); else style[name] = value;
  }
}

const fill = (id, ...children) => $(id).replaceChildren(...children.flat(Infinity).filter(Boolean));

const swatch = colour => el('i', {class: 'dot', style: {background: colour}});

function copyable(text) {
  const button = el('button', {type: 'button', class: 'small', 'aria-label': `Copy: ${text}`}, 'Copy');
  button.onclick = async () => {
    await navigator.clipboard.writeText(text).catch(() => getSelection().selectAllChildren(code));
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  };
  const code = el('code', {}, text);
  return el('div', {class: 'command'}, code, button);
}

const theme = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
