// An audit: starting it, watching it, and what people decide about its findings. Decisions wait in the session until they become a data set.
import { api, notice, onClick, poll, root } from './base.js';

const { dataset, state } = document.getElementById('audit').dataset;
const at = (id) => document.getElementById(id);
const key = `changes ${dataset}`;

onClick(at('start'), async () => {
  await api(`v1/datasets/${dataset}/audit`, { method: 'POST' });
  location.reload();
});

if (state === 'queued' || state === 'running') {
  poll(`v1/datasets/${dataset}/audit`, (audit) => {
    if (audit.state !== state) {
      location.reload();
      return true;
    }
    at('fraction').value = audit.progress;
    at('counts').textContent = `${(audit.progress * 100).toFixed(0)} %`;
    return false;
  }).catch((error) => notice(error.message));
}

/** Decisions by picture: `{exclude: true}` or `{label}`. */
const changes = JSON.parse(sessionStorage.getItem(key) ?? '{}');

function keep(image, change) {
  if (change) changes[image] = change;
  else delete changes[image];
  sessionStorage.setItem(key, JSON.stringify(changes));
  show();
}

function show() {
  if (!at('revise')) return;
  const all = Object.values(changes);
  const excluded = all.filter((change) => change.exclude).length;
  at('revise').hidden = !all.length;
  at('changes').textContent = `${excluded} left out, ${all.length - excluded} moved`;
  for (const figure of document.querySelectorAll('.found')) {
    const change = changes[figure.dataset.image];
    figure.classList.toggle('changed', Boolean(change));
    figure.querySelector('.exclude').checked = Boolean(change?.exclude);
    const relabel = figure.querySelector('.relabel');
    if (document.activeElement !== relabel) relabel.value = change?.label ?? '';
  }
}

for (const figure of document.querySelectorAll('.found')) {
  const { image, label } = figure.dataset;
  const move = (to) => keep(image, to && to !== label ? { label: to } : null);
  figure.querySelector('.exclude').addEventListener('change', ({ target }) => keep(image, target.checked ? { exclude: true } : null));
  figure.querySelector('.relabel').addEventListener('change', ({ target }) => move(target.value.trim()));
  const suggest = figure.querySelector('.suggest');
  suggest?.addEventListener('click', () => move(suggest.dataset.class));
}

at('forget')?.addEventListener('click', () => {
  for (const image of Object.keys(changes)) delete changes[image];
  sessionStorage.removeItem(key);
  show();
});

at('revise')?.addEventListener('submit', async (event) => {
  event.preventDefault();
  const body = { name: at('name').value, exclude: [], relabel: [] };
  for (const [image, change] of Object.entries(changes)) {
    if (change.exclude) body.exclude.push(Number(image));
    else body.relabel.push({ image: Number(image), label: change.label });
  }
  try {
    const made = await api(`v1/datasets/${dataset}/revisions`, { method: 'POST', json: body });
    sessionStorage.removeItem(key);
    location.assign(`${root}datasets/${made.id}`);
  } catch (error) {
    notice(error.fields?.length ? error.fields.map(({ field, message }) => `${field} ${message}`).join('; ') : error.message);
  }
});

show();
