// A report's threshold explorer; the class to look at.
import { data, percent } from './base.js';
import { chart } from './charts.js';

const { points } = data('thresholds-data');
const at = (id) => document.getElementById(id);
const slider = at('threshold');
const draw = chart(at('threshold-chart'), {
  x: { label: 'Threshold', format: (value) => value?.toFixed(2) },
  lines: [{ label: 'Precision' }, { label: 'Recall', colour: '--blue' }, { label: 'Answered', colour: '--train', dash: [5, 4] }],
  format: (value) => `${(value * 100).toFixed(0)} %`,
  range: () => [0, 1],
  mark: () => Number(slider.value),
  height: 220,
});
at('threshold-chart').setAttribute('aria-hidden', 'true');
const all = [points.map(({ threshold }) => threshold), ...['precision', 'recall', 'answered'].map((name) => points.map((point) => point[name]))];

function show() {
  const point = points[Math.round(Number(slider.value) * (points.length - 1))];
  at('threshold-value').textContent = point.threshold.toFixed(2);
  for (const name of ['answered', 'precision', 'recall']) at(name).textContent = percent(point[name]);
  draw(all);
}

slider.addEventListener('input', show);
at('class').addEventListener('change', ({ target }) => target.form.submit());
if (location.hash === '#cell') at('cell')?.focus();
show();
