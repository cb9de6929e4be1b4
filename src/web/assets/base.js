// What several pages need: the API, notices, numbers. Everything goes through the public API, with the session's cookie.

/** Where the site begins, relative to this page: it may lie behind a prefix. */
export const root = document.documentElement.dataset.root;

/** A refusal, in the API's words. */
export class Problem extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.code = problem?.code;
    this.fields = problem?.errors ?? [];
  }
}

/** Asks the API; the JSON that it answers, null if there is none. Throws a Problem for a refusal. */
export async function api(path, { method = 'GET', json, body, headers = {}, signal } = {}) {
  if (json !== undefined) {
    body = JSON.stringify(json);
    headers = { ...headers, 'content-type': 'application/json' };
  }
  let answer;
  try {
    answer = await fetch(root + path, { method, body, headers: { accept: 'application/json', ...headers }, signal });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, { detail: 'The server can’t be reached. Is it running?' });
  }
  if (answer.status === 401) {
    signIn();
  }
  const text = answer.status === 204 ? '' : await answer.text();
  const value = text ? read(text) : null;
  if (!answer.ok) throw new Problem(answer.status, value);
  return value;
}

/** To the page that asks for a key, and back. */
export function signIn() {
  const home = new URL(root, location.href).pathname;
  const here = location.pathname.slice(home.length) + location.search;
  location.assign(`${root}sign-in?next=${encodeURIComponent(here)}`);
}

/** What JSON there is; null if it is none, as of a proxy in between. */
export function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Says something in the corner until it is closed. */
export function notice(text, kind = 'bad') {
  const box = element('div', { class: `notice ${kind}` }, element('span', {}, text));
  const close = element('button', { class: 'link', type: 'button', 'aria-label': 'Close' }, '×');
  close.addEventListener('click', () => box.remove());
  box.append(close);
  document.getElementById('notices').append(box);
}

/** Runs what a click asks for; what goes wrong is said. The button rests meanwhile. */
export function onClick(button, act) {
  button?.addEventListener('click', async () => {
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      notice(error.message);
    } finally {
      button.disabled = false;
    }
  });
}

/** An element with attributes and content; text is text, never markup. */
export function element(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...content);
  return made;
}

/** A bar as wide as `share`, 0 to 1. */
export function bar(share, kind = '') {
  const svg = (name, attributes) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const whole = svg('svg', { class: `share ${kind}`, width: '100%', height: 10, 'aria-hidden': 'true' });
  whole.append(svg('rect', { class: 'ground', width: '100%', height: 10, rx: 5 }));
  whole.append(svg('rect', { class: 'part', width: `${(share * 100).toFixed(2)}%`, height: 10, rx: 5 }));
  return whole;
}

export const percent = (share) => (share === null || share === undefined ? '–' : `${(share * 100).toFixed(1)}\u00a0%`);
export const count = (number) => number.toLocaleString('en');

/** Seconds in words, such as `2 min 5 s`. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Bytes in words. */
export function size(bytes) {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  return `${power ? (bytes / 1000 ** power).toFixed(1) : bytes} ${units[power]}`;
}

/** JSON that the page came with. */
export const data = (id) => JSON.parse(document.getElementById(id).textContent);

/** Asks again and again until `done` says that it is over; the pause is short, the page is looked at. */
export async function poll(path, done, every = 1000) {
  for (;;) {
    if (!document.hidden && done(await api(path))) return;
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

// Times as this place has them.
for (const time of document.querySelectorAll('time[datetime]')) {
  const at = new Date(time.dateTime);
  time.title = at.toISOString();
  time.textContent = at.toLocaleString('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' });
}

// Addresses that programs ask.
for (const place of document.querySelectorAll('[data-absolute]')) {
  place.textContent = new URL(root + place.dataset.absolute, location.href).href;
}
for (const button of document.querySelectorAll('[data-copy]')) {
  onClick(button, async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = 'Copied';
  });
}
