// The explorer's page: pixels and codes against the binary's, sliders, keys, a dropped image, a phone.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { readNpz } from './npz.mjs';

const [, , binary, out] = process.argv;
const betavae = (...args) => execFileSync(binary, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
const worst = (a, b) => {
  assert.equal(a.length, b.length);
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i])), 0);
};

const models = [
  { name: 'burgess', megabytes: 3, frame: 16, args: [] },
  { name: 'pytorch-vae', megabytes: 30, frame: 50, args: ['--set', 'data.name=dsprites-color', '--set', 'model.architecture=pytorch-vae'] },
];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
for (const { name, megabytes, frame, args } of models) {
  betavae('train', '--steps', '30', '--out', name, ...args);
  betavae('explore', name, '--output', `${name}.html`);
  const size = statSync(`${name}.html`).size;
  assert(size < megabytes * 1e6, `${name}: the page has ${size} bytes`);
  betavae('encode', name, '--input', name === 'burgess' ? 'dsprites' : 'dsprites-color', '--limit', '5', '--output', 'codes.npz');
  betavae('decode', name, '--input', 'codes.npz', '--output', 'images.npz');
  betavae('encode', name, '--input', 'images.npz', '--output', 'again.npz');
  const [codes, images, again] = ['codes', 'images', 'again'].map((file) => readNpz(`${file}.npz`));

  const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  const errors = [];
  const requests = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('request', (request) => { if (!/^(file|data|blob):/.test(request.url())) requests.push(request.url()); });
  await page.goto(`file://${process.cwd()}/${name}.html`);
  await page.waitForFunction(() => window.betavae, null, { timeout: 60_000 });

  const decoded = await page.evaluate((z) => Array.from(window.betavae.decode(Float32Array.from(z))), codes.mean.values);
  const pixels = worst(decoded, images.images.values);
  assert(pixels < 1e-5, `${name}: pixels differ by ${pixels}`);
  const encoded = await page.evaluate((x) => Array.from(window.betavae.encode(Float32Array.from(x))), images.images.values);
  const latents = codes.mean.shape[1];
  const rows = (part) => encoded.filter((_, i) => Math.floor((i % (2 * latents)) / latents) === part);
  const means = Math.max(worst(rows(0), again.mean.values), worst(rows(1), again.log_var.values));
  assert(means < 1e-4, `${name}: codes differ by ${means}`);

  // A key on a slider changes code and picture; the picture is the decoder's.
  const shown = () => page.evaluate(() => {
    const canvas = document.getElementById('image');
    return Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data);
  });
  const settle = () => page.waitForTimeout(400);
  await settle();
  const before = await shown();
  const d = await page.evaluate(() => window.betavae.info.order[0]);
  await page.evaluate((d) => document.getElementById(`z${d}`).closest('details')?.setAttribute('open', ''), d);
  await page.focus(`#z${d}`);
  await page.keyboard.press('End');
  await settle();
  assert.equal(await page.evaluate((d) => window.betavae.code()[d], d), 3);
  const after = await shown();
  const expected = await page.evaluate(() => Array.from(window.betavae.decode(Float32Array.from(window.betavae.code()))));
  const channels = images.images.shape[3];
  assert(expected.every((x, i) => Math.abs(255 * x - after[4 * Math.floor(i / channels) + (i % channels)]) <= 0.51));
  if (name === 'burgess') assert.equal(before.length, after.length);
  await page.keyboard.press('r');
  await settle();
  assert.notDeepEqual(await shown(), after);
  await page.click('#keep-a');
  await page.click('#zero');
  await page.click('#keep-b');
  await page.focus('#between');
  await page.keyboard.press('Home');
  assert(await page.isEnabled('#between'));

  // A dropped image file is encoded.
  const png = betavae('sample', name, '--count', '1', '--output', 'one.png') && readFileSync('one.png').toString('base64');
  await page.evaluate(async (png) => {
    const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], 'one.png', { type: 'image/png' }));
    window.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true }));
  }, png);
  await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('one.png: the sliders'));
  await page.click('#examples button:nth-child(3)');
  await settle();
  assert(await page.isVisible('#original'));

  const ms = await page.evaluate(() => {
    const z = Float32Array.from(window.betavae.code());
    const times = Array.from({ length: 20 }, () => {
      const start = performance.now();
      window.betavae.decode(z);
      return performance.now() - start;
    });
    return times.sort((a, b) => a - b)[10];
  });
  assert(await page.$$eval('button, input', (all) => all.every((x) => x.textContent || x.ariaLabel || x.labels?.length)));
  await page.screenshot({ path: join(out, `explore-${name}.png`), fullPage: name === 'burgess' });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 390, height: 844 });
  await settle();
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(overflow <= 0, `${name}: ${overflow} pixels wider than a phone`);
  await page.screenshot({ path: join(out, `explore-${name}-phone.png`) });
  assert.deepEqual(errors, []);
  assert.deepEqual(requests, []);
  console.log(`${name}: ${(size / 1e6).toFixed(2)} MB, ${ms.toFixed(2)} ms per image (${frame} wanted), pixels within ${pixels.toExponential(1)}, codes within ${means.toExponential(1)}`);
  await page.close();
}
await browser.close();
