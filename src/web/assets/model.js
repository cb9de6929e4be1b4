// A model's aliases, and which versions to compare.
import { api, notice, onClick } from './base.js';

const { name } = document.getElementById('model').dataset;
const address = (alias) => `v1/models/${name}/aliases/${encodeURIComponent(alias)}`;

document.getElementById('alias').addEventListener('submit', async (event) => {
  event.preventDefault();
  const alias = document.getElementById('alias-name').value;
  const version = Number(document.getElementById('alias-version').value);
  try {
    await api(address(alias), { method: 'PUT', json: { version } });
    location.reload();
  } catch (error) {
    notice(error.message);
  }
});
for (const button of document.querySelectorAll('[data-remove]')) {
  onClick(button, async () => {
    await api(address(button.dataset.remove), { method: 'DELETE' });
    location.reload();
  });
}
for (const form of document.querySelectorAll('form[action$="/compare"]')) {
  form.addEventListener('submit', (event) => {
    if (form.querySelectorAll('[name=version]:checked').length === 2) return;
    event.preventDefault();
    notice('Choose two versions.', '');
  });
}
