// A folder or an archive becomes a data set.
import { count, read, root, signIn, size } from './base.js';
import { tar } from './tar.js';

const PICTURE = /\.(jpe?g|png|webp|gif|bmp|tiff?)$/i;
const at = (id) => document.getElementById(id);
let chosen = null;
let sending = null;

/** `{path, file}` of each file below a dropped entry. */
async function below(entry, prefix = '') {
  const path = prefix + entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path, file }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await below(one, `${path}/`)));
  }
}

/** Files in folders: the folder around the classes' folders, if there is one, only gives the name. */
function folder(files) {
  const pictures = files.filter(({ path }) => PICTURE.test(path) && !path.split('/').some((part) => part.startsWith('.')));
  const classes = pictures.filter(({ path }) => path.includes('/'));
  if (!classes.length) {
    return refuse('There is no picture in a folder of a class there: put each class’s pictures into a folder of its name.');
  }
  const around = classes[0].path.split('/')[0];
  const nested = classes.every(({ path }) => path.startsWith(`${around}/`) && path.split('/').length > 2);
  const entries = nested ? classes.map(({ path, file }) => ({ path: path.slice(around.length + 1), file })) : classes;
  const names = new Set(entries.map(({ path }) => path.split('/')[0]));
  const bytes = entries.reduce((sum, { file }) => sum + file.size, 0);
  show(`${count(entries.length)} pictures in ${names.size} classes, ${size(bytes)}`, nested ? around : 'pictures', () => tar(entries));
}

function archive(file) {
  show(`${file.name}, ${size(file.size)}`, file.name.replace(/\.(zip|tar|tgz|tar\.gz|tar\.zst|zst)$/i, ''), () => file);
}

function show(what, name, make) {
  chosen = make;
  at('drop').hidden = true;
  at('chosen').hidden = false;
  at('upload-error').hidden = true;
  at('what').textContent = what;
  at('name').value = name.replace(/[^a-zA-Z0-9._-]+/g, '-').replace(/^[^a-zA-Z0-9]+/, '').slice(0, 64);
  at('name').focus();
}

function refuse(text) {
  at('upload-error').textContent = text;
  at('upload-error').hidden = false;
}

function reset() {
  sending?.abort();
  chosen = sending = null;
  at('drop').hidden = at('send').disabled = false;
  at('chosen').hidden = at('going').hidden = at('upload-error').hidden = true;
  at('upload-form').reset();
}

/** Sends it. XMLHttpRequest: fetch doesn't say how far an upload is. */
function send(event) {
  event.preventDefault();
  if (!chosen || sending) return;
  const request = (sending = new XMLHttpRequest());
  at('going').hidden = false;
  at('upload-error').hidden = true;
  at('send').disabled = true;
  const began = performance.now();
  request.upload.onprogress = ({ loaded, total }) => {
    at('sent').value = loaded / total;
    const rate = loaded / Math.max(performance.now() - began, 1) * 1000;
    at('sent-text').textContent = `Uploading: ${size(loaded)} of ${size(total)}, ${size(rate)}/s`;
  };
  request.onload = () => {
    const answer = read(request.responseText);
    if (request.status === 401) return signIn();
    if (request.status !== 202) return fail(answer?.detail ?? `The server answered ${request.status}.`);
    location.assign(`${root}datasets/${answer.id}`);
  };
  request.onerror = () => fail('The connection broke off. Nothing of it is kept: try again.');
  request.open('POST', `${root}v1/datasets?name=${encodeURIComponent(at('name').value)}`);
  request.setRequestHeader('content-type', 'application/octet-stream');
  request.send(chosen());
}

function fail(text) {
  sending = null;
  at('going').hidden = true;
  at('send').disabled = false;
  refuse(text);
}

const drop = at('drop');
for (const kind of ['dragenter', 'dragover']) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add('over'); });
}
drop.addEventListener('dragleave', () => drop.classList.remove('over'));
drop.addEventListener('drop', async (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  if (entries.length === 1 && entries[0].isFile) return archive(event.dataTransfer.files[0]);
  const files = [];
  for (const entry of entries) files.push(...(await below(entry)));
  folder(files);
});
// Beside the target a dropped file would be opened in place of the page.
for (const kind of ['dragover', 'drop']) window.addEventListener(kind, (event) => event.preventDefault());
at('folder').addEventListener('change', ({ target }) => folder([...target.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }))));
at('archive').addEventListener('change', ({ target }) => target.files[0] && archive(target.files[0]));
at('cancel').addEventListener('click', reset);
at('upload-form').addEventListener('submit', send);
