// The list of jobs, as long as any isn't over, is looked at again.
import { poll, root } from './base.js';

const open = document.querySelector('.badge.running, .badge.queued');
const before = [...document.querySelectorAll('tbody .badge')].map((badge) => badge.textContent);
const chosen = () => document.querySelector('#compare :checked');

if (open) {
  const query = new URLSearchParams(location.search);
  query.set('limit', '50');
  poll(`v1/jobs?${query}`, ({ items }) => {
    const now = items.map(({ state }) => state);
    // Not under somebody's hands.
    if (now.join() === before.join() || chosen()) return false;
    location.reload();
    return true;
  }, 3000).catch(() => {});
}
document.getElementById('compare')?.addEventListener('submit', (event) => {
  if (!chosen()) {
    event.preventDefault();
    location.assign(`${root}compare`);
  }
});
