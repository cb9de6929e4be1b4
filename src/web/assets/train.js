// The form of a job: presets show through as placeholders, the API says what must change before anything is submitted.
import { api, data, element, root } from './base.js';

const form = document.getElementById('train');
const presets = form && data('presets');
const at = (id) => document.getElementById(id);
const fields = [...(form?.querySelectorAll('[data-field]') ?? [])];

const preset = () => form.elements.preset.value;

/** A value at a dotted path; undefined where there is none. */
const get = (value, path) => path.split('.').reduce((inner, part) => inner?.[part], value);

function put(value, path, leaf) {
  const parts = path.split('.');
  const last = parts.pop();
  for (const part of parts) value = value[part] ??= {};
  value[last] = leaf;
}

/** What was filled in, as the API takes it: what is left out comes from the preset. */
function recipe() {
  const wanted = { preset: preset() };
  for (const field of fields) {
    if (field.value === '') continue;
    put(wanted, field.dataset.field, field.type === 'number' ? Number(field.value) : field.value);
  }
  return wanted;
}

function placeholders() {
  for (const field of fields) {
    const value = get(presets[preset()], field.dataset.field);
    if (field.type === 'number') field.placeholder = value ?? '';
    else if (field.options) field.options[0].textContent = `As the preset: ${value}`;
  }
}

/** Marks the fields that must change; what belongs to none is said below. */
function mark(errors) {
  for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
  for (const wrong of form.querySelectorAll('.wrong')) wrong.remove();
  const others = [];
  for (const { field: name, message } of errors) {
    const path = name.replace(/^recipe\./, '');
    const field = fields.find((one) => one.dataset.field === path) ?? (['model', 'dataset'].includes(path) ? at(path) : null);
    if (!field) {
      others.push(`${path} ${message}`);
      continue;
    }
    field.setAttribute('aria-invalid', 'true');
    field.closest('details')?.setAttribute('open', '');
    field.after(element('span', { class: 'wrong', role: 'alert' }, message));
  }
  at('errors').hidden = !others.length;
  at('errors').textContent = others.join('; ');
}

/** A number that is none leaves an empty value behind: only the browser knows. */
const unreadable = () => fields.filter((field) => field.validity.badInput).map((field) => ({ field: field.dataset.field, message: 'must be a number' }));

let asked = 0;
async function check() {
  const turn = ++asked;
  const bad = unreadable();
  try {
    const whole = bad.length ? null : await api('v1/recipes', { method: 'POST', json: recipe() });
    if (turn !== asked) return;
    mark(bad);
    const { warm_up: warm, fine_tune: fine } = whole ?? {};
    at('verdict').textContent = whole ? `${warm.epochs} + ${fine.epochs} epochs at ${whole.input_size} × ${whole.input_size} pixels, ${whole.augmentation.views} augmented views` : '';
  } catch (error) {
    if (turn !== asked) return;
    mark(error.fields?.length ? error.fields : [{ field: 'recipe', message: error.message }]);
    at('verdict').textContent = '';
  }
}

async function submit(event) {
  event.preventDefault();
  const bad = unreadable();
  if (!at('model').value.trim()) bad.push({ field: 'model', message: 'must have a name' });
  if (bad.length) return mark(bad);
  const button = form.querySelector('button:not([type=button])');
  button.disabled = true;
  try {
    const job = await api('v1/jobs', { method: 'POST', json: { dataset: at('dataset').value, model: at('model').value.trim(), recipe: recipe() } });
    location.assign(`${root}jobs/${job.id}`);
  } catch (error) {
    mark(error.fields?.length ? error.fields : [{ field: 'The job', message: `can’t be submitted: ${error.message}` }]);
    form.querySelector('[aria-invalid]')?.focus();
    button.disabled = false;
  }
}

if (form) {
  const name = () => at('dataset').selectedOptions[0].dataset.name;
  at('model').value = name();
  let named = at('model').value;
  at('dataset').addEventListener('change', () => {
    // A name that somebody typed stays.
    if (at('model').value === named) at('model').value = named = name();
  });
  let pause;
  form.addEventListener('input', (event) => {
    if (event.target.name === 'preset') placeholders();
    clearTimeout(pause);
    pause = setTimeout(check, 250);
  });
  form.addEventListener('submit', submit);
  placeholders();
  check();
}
