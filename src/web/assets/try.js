// Pictures are asked about: dropped, pasted, chosen or taken with the camera.
import { api, bar, element, notice, percent, root } from './base.js';

const at = (id) => document.getElementById(id);
const drop = at('drop');
const asked = [...document.querySelectorAll('#answers template')].map(({ dataset }) => ({ ...dataset }));
/** The most answers that stay on the page. */
const KEPT = 20;

async function ask(blob, name) {
  const address = URL.createObjectURL(blob);
  const card = element('article', { class: 'card' }, element('h3', {}, name));
  at('answers').prepend(card);
  for (const old of [...at('answers').querySelectorAll('article')].slice(KEPT)) old.remove();
  at('answering').textContent = `Asking about ${name} …`;
  for (const model of asked) {
    if (asked.length > 1) card.append(element('h4', {}, model.name));
    try {
      const began = performance.now();
      const { predictions: [answer] } = await api(`${model.address}/predict?explain=png&top_k=6&neighbours=6`, { method: 'POST', body: blob, headers: { 'content-type': blob.type || 'image/jpeg' } });
      card.append(shown(answer, model, address, performance.now() - began));
    } catch (error) {
      card.append(element('p', { class: 'notice bad', role: 'alert' }, error.message));
    }
  }
  at('answering').textContent = '';
}

/** An answer: what the network saw, where the class shows, how probable the classes are. */
function shown(answer, model, address, milliseconds) {
  const seen = element('div', { class: `seen ${model.resize}` }, element('img', { class: 'whole', src: address, alt: 'The picture as the network saw it' }));
  const left = element('div', {}, seen);
  if (answer.heat_map_png) {
    const heat = element('img', { class: 'heat', src: answer.heat_map_png, alt: `What speaks for ${Object.keys(answer.probabilities)[0]}` });
    seen.append(heat);
    const box = element('input', { type: 'checkbox', checked: true });
    box.addEventListener('change', () => { heat.hidden = !box.checked; });
    left.append(element('label', { class: 'check' }, box, 'Show what speaks for it'));
  }
  const bars = element('ul', { class: 'bars' });
  for (const [label, probability] of Object.entries(answer.probabilities)) {
    bars.append(element('li', {}, element('span', { class: 'name' }, label), bar(probability), element('span', { class: 'value' }, percent(probability))));
  }
  const right = element('div', {}, bars);
  if (answer.outlier_score > 0.99) {
    right.append(element('p', { class: 'notice warn' }, 'It is unlike all that the model was trained on: the answer may mean nothing.'));
  }
  right.append(element('p', { class: 'soft' }, `Answered in ${milliseconds.toFixed(0)} ms${answer.outlier_score === undefined ? '' : `, outlier score ${answer.outlier_score.toFixed(2)}`}`));
  if (answer.neighbours?.length && model.dataset) {
    const row = element('div', { class: 'row' });
    for (const { image, label, similarity } of answer.neighbours) {
      const whole = `${root}v1/datasets/${model.dataset}/images/${image}`;
      const picture = element('img', { class: 'thumb', src: `${whole}?side=160`, width: 160, height: 160, alt: `Training picture ${image}, ${label}` });
      row.append(element('figure', { class: 'found' }, element('a', { class: 'frame', href: whole }, picture), element('figcaption', { class: 'about' }, `${label}, ${similarity.toFixed(2)}`)));
    }
    right.append(element('h4', {}, 'Training pictures that look most like it'), row);
  }
  return element('div', { class: 'answer' }, left, right);
}

async function all(files) {
  for (const file of files) {
    if (file.type && !file.type.startsWith('image/')) notice(`${file.name} is no picture.`);
    else await ask(file, file.name || 'The pasted picture');
  }
}

if (drop) {
  for (const kind of ['dragenter', 'dragover']) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add('over'); });
  }
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    all(event.dataTransfer.files);
  });
  // Beside the target a dropped file would be opened in place of the page.
  for (const kind of ['dragover', 'drop']) window.addEventListener(kind, (event) => event.preventDefault());
  at('file').addEventListener('change', ({ target }) => all([...target.files]));
  document.addEventListener('paste', (event) => all([...event.clipboardData.files]));
}

// The camera: a picture is taken here and asked about as any other.
let stream = null;
function close() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  at('viewfinder').hidden = true;
}
at('camera')?.addEventListener('click', async () => {
  if (!navigator.mediaDevices) {
    return notice('Browsers give pages the camera over HTTPS and on this machine only.');
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch (error) {
    return notice(error.name === 'NotAllowedError' ? 'The camera was not allowed.' : 'There is no camera that can be used.');
  }
  at('video').srcObject = stream;
  await at('video').play();
  at('viewfinder').hidden = false;
});
at('shoot')?.addEventListener('click', () => {
  const video = at('video');
  const canvas = element('canvas', { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext('2d').drawImage(video, 0, 0);
  canvas.toBlob((blob) => ask(blob, 'From the camera'), 'image/jpeg', 0.92);
});
at('close')?.addEventListener('click', close);
window.addEventListener('pagehide', close);

// Another model: another page.
at('which')?.addEventListener('change', ({ target }) => {
  const query = new URLSearchParams({ model: at('model').value });
  if (target.id === 'version' && target.value) query.set('version', target.value);
  location.assign(`${root}try?${query}`);
});
