// Several jobs' validation curves on one chart.
import { data } from './base.js';
import { chart } from './charts.js';

const jobs = data('jobs-data');
const longest = Math.max(1, ...jobs.map(({ epochs }) => epochs.length));
const xs = Array.from({ length: longest }, (_, number) => number + 1);
const x = { label: 'Epoch', whole: true };
const lines = jobs.map(({ name }) => ({ label: name }));
const of = (figure) => jobs.map(({ epochs }) => xs.map((_, number) => epochs[number]?.[figure] ?? null));

chart(document.getElementById('accuracy'), { x, lines, format: (value) => `${(value * 100).toFixed(1)} %`, height: 320 })([xs, ...of('val_accuracy')]);
chart(document.getElementById('loss'), { x, lines, format: (value) => value.toFixed(2), height: 320 })([xs, ...of('val_loss')]);
for (const [id, figure] of [['accuracy', 'val_accuracy'], ['loss', 'val_loss']]) {
  const place = document.getElementById(id);
  place.setAttribute('role', 'img');
  place.setAttribute('aria-label', jobs.map(({ name, epochs }) => `${name}: ${epochs.at(-1)?.[figure]?.toFixed(3) ?? 'no epoch yet'}`).join('; '));
}
