// A data set: how its reading goes, more of its pictures, deleting it.
import { api, count, element, notice, onClick, poll, root } from './base.js';

const { id, state } = document.getElementById('dataset').dataset;
const at = (name) => document.getElementById(name);

if (state === 'ingesting') {
  poll(`v1/datasets/${id}`, (dataset) => {
    const { progress, waiting } = dataset;
    if (dataset.state !== 'ingesting') {
      location.reload();
      return true;
    }
    if (progress) at('fraction').value = progress.fraction;
    at('counts').textContent = waiting ?? (progress ? `${count(progress.accepted)} pictures, ${count(progress.rejected)} rejected` : '');
    return false;
  }, 500).catch((error) => notice(error.message));
}

onClick(at('delete'), async () => {
  if (!confirm('Delete this data set? Its pictures are gone then; models that were trained on it stay.')) return;
  await api(`v1/datasets/${id}`, { method: 'DELETE' });
  location.assign(`${root}datasets`);
});

/** A picture as the list has it. */
function item(image) {
  const address = `${root}v1/datasets/${id}/images/${image.image}`;
  const thumb = element('img', { class: 'thumb', src: `${address}?side=160`, width: 160, height: 160, loading: 'lazy', decoding: 'async', alt: image.path });
  const caption = element('figcaption', {}, image.label);
  if (image.duplicate_group !== undefined) caption.append(' ', element('span', { class: 'badge', title: `Picture ${image.duplicate_group} shows the same` }, 'copy'));
  return element('li', {}, element('figure', {}, element('a', { class: 'frame', href: address }, thumb), caption));
}

// The next pictures come when the end of the list does; without this script the link leads to them.
const grid = at('grid');
const more = at('more');
if (grid && more) {
  let loading = false;
  const load = async () => {
    if (loading) return;
    loading = true;
    const query = new URLSearchParams({ limit: 60, cursor: grid.dataset.cursor });
    if (grid.dataset.label) query.set('label', grid.dataset.label);
    try {
      const page = await api(`v1/datasets/${id}/images?${query}`);
      grid.append(...page.items.map(item));
      grid.dataset.cursor = page.next_cursor ?? '';
      if (!page.next_cursor) {
        watcher.disconnect();
        more.remove();
      }
    } catch (error) {
      watcher.disconnect();
      notice(error.message);
    } finally {
      loading = false;
    }
  };
  more.addEventListener('click', (event) => { event.preventDefault(); load(); });
  const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && load(), { rootMargin: '200px' });
  watcher.observe(more);
}
