// A job as it goes: its events move the bar, grow the curves and fill the table.
import { api, data, duration, element, notice, onClick, percent, root } from './base.js';
import { chart } from './charts.js';

const { id, state } = document.getElementById('job').dataset;
const at = (name) => document.getElementById(name);
const PHASES = { features: 'Computing features', warm_up: 'Warm-up', fine_tune: 'Fine-tune' };
const OVER = ['succeeded', 'failed', 'cancelled'];
const epochs = [];

const share = (value) => `${(value * 100).toFixed(0)} %`;
const begins = () => {
  const warm = epochs.filter(({ phase }) => phase === 'warm_up').length;
  return warm && warm < epochs.length ? warm + 0.5 : null;
};
const x = { label: 'Epoch', whole: true };
const pair = [{ label: 'Validation' }, { label: 'Training' }];
const draw = {
  accuracy: chart(at('accuracy'), { x, lines: pair, format: share, range: (_, low) => [Math.max(0, Math.floor((low ?? 0.9) * 10 - 0.2) / 10), 1], mark: begins }),
  loss: chart(at('loss'), { x, lines: pair, format: (value) => value.toFixed(2), range: (_, low, high) => [0, (high ?? 1) * 1.05 || 1], mark: begins }),
  rate: chart(at('rate'), { x, lines: [{ label: 'Learning rate' }], format: (value) => (value ? value.toExponential(1) : '0'), range: (_, low, high) => [0, (high ?? 1) * 1.05 || 1], mark: begins }),
};

/** An epoch is told once, however often it is heard of. */
function add(epoch) {
  if (epochs.some(({ phase, epoch: number }) => phase === epoch.phase && number === epoch.epoch)) return;
  epochs.push(epoch);
  const cells = [epoch.epoch, epoch.train_loss.toFixed(4), percent(epoch.train_accuracy), epoch.val_loss.toFixed(4), percent(epoch.val_accuracy), epoch.learning_rate.toExponential(2), epoch.seconds.toFixed(1)];
  at('epochs').tBodies[0].append(element('tr', {}, element('th', { scope: 'row' }, PHASES[epoch.phase]), ...cells.map((cell) => element('td', { class: 'number' }, String(cell)))));
}

function show() {
  const xs = epochs.map((_, number) => number + 1);
  const of = (name) => epochs.map((epoch) => epoch[name]);
  draw.accuracy([xs, of('val_accuracy'), of('train_accuracy')]);
  draw.loss([xs, of('val_loss'), of('train_loss')]);
  draw.rate([xs, of('learning_rate')]);
  if (!epochs.length) return;
  const last = epochs.at(-1);
  at('best').textContent = percent(Math.max(...of('val_accuracy')));
  at('epochs-done').textContent = epochs.length;
  at('pace').textContent = last.seconds.toFixed(1);
  for (const [name, what] of [['accuracy', percent], ['loss', (value) => value.toFixed(3)]]) {
    at(name).setAttribute('role', 'img');
    at(name).setAttribute('aria-label', `${name} after ${epochs.length} epochs: validation ${what(last[`val_${name}`])}, training ${what(last[`train_${name}`])}`);
  }
}

data('epochs-data').forEach(add);
show();

/** Heard: what the job is doing. */
function progress({ phase, epoch, epochs: all, fraction, eta_seconds: left }) {
  if (!at('fraction')) return;
  at('fraction').value = fraction;
  at('doing').textContent = all ? `${PHASES[phase]}, epoch ${Math.min(epoch + 1, all)} of ${all}` : PHASES[phase];
  at('left').textContent = left === null ? '' : `${duration(left)} left in this phase`;
}

if (!OVER.includes(state)) {
  const events = new EventSource(`${root}v1/jobs/${id}/events`);
  const on = (kind, hear) => events.addEventListener(kind, (event) => hear(JSON.parse(event.data)));
  let heard = state;
  on('progress', progress);
  on('epoch', (epoch) => { add(epoch); show(); });
  on('restarted', () => { location.reload(); });
  on('state', (event) => {
    if (OVER.includes(event.state)) {
      events.close();
      location.reload();
    } else if (event.state !== heard) {
      heard = event.state;
      at('state').replaceChildren(element('span', { class: `badge ${heard}` }, heard));
    }
  });
  window.addEventListener('pagehide', () => events.close());
}

onClick(at('cancel'), async () => {
  await api(`v1/jobs/${id}/cancel`, { method: 'POST' });
  notice('It stops within seconds.', '');
});
