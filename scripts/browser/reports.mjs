// Reports and the live page: they load nothing from elsewhere, fit a phone, and follow a training.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [, , binary, out] = process.argv;
const betavae = (...args) => execFileSync(binary, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
const windows = {
  wide: { viewport: { width: 1200, height: 900 }, colorScheme: 'light' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
};

// What a page must not do, whichever it is.
const visit = async (url, size) => {
  const page = await browser.newPage(windows[size]);
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') faults.push(message.text()); });
  page.on('request', (request) => {
    if (!/^data:/.test(request.url()) && !request.url().startsWith(url)) faults.push(`asks for ${request.url()}`);
  });
  await page.goto(url);
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  assert(await fits(), `${url} is wider than a window of ${windows[size].viewport.width}`);
  return { page, done: async (name) => {
    await page.screenshot({ path: join(out, `${name}-${size}.png`), fullPage: true });
    assert.deepEqual(faults, [], name);
    await page.close();
  } };
};

const runs = [1, 4, 16].map((beta) => {
  betavae('train', '--steps', '60', '--out', `beta-${beta}`, '--set', `objective.beta=${beta}`);
  return `beta-${beta}`;
});
betavae('report', ...runs, '--output', 'three.html');
for (const [name, file] of [['report', 'beta-4/report.html'], ['reports', 'three.html']]) {
  for (const size of Object.keys(windows)) {
    const { page, done } = await visit(`file://${process.cwd()}/${file}`, size);
    // Every picture has been decoded, every figure has a size.
    assert(await page.evaluate(() => [...document.images].every((image) => image.naturalWidth > 100)));
    assert(await page.evaluate(() => [...document.querySelectorAll('svg')].every((svg) => svg.clientHeight > 100)));
    if (name === 'reports') {
      assert.deepEqual(await page.locator('thead').first().locator('th').allTextContents(), ['', ...runs]);
      assert.equal(await page.locator('section').count(), 3);
    }
    await done(name);
  }
}

// The live page, before and while a run goes on.
const server = spawn(binary, ['watch', 'beta-4', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
const url = await new Promise((resolve) => server.stdout.once('data', (text) => resolve(String(text).trim())));
for (const size of Object.keys(windows)) {
  const { page, done } = await visit(url, size);
  const steps = () => page.locator('dd').last().textContent();
  const before = await steps();
  if (size === 'wide') {
    betavae('resume', 'beta-4', '--steps', '300');
    await page.waitForFunction((before) => [...document.querySelectorAll('dd')].at(-1).textContent !== before, before, { timeout: 20_000 });
    assert.match(await page.locator('figcaption').first().textContent(), /step-000000300-traversal/);
    await page.waitForFunction(() => [...document.images].every((image) => image.naturalWidth > 100));
  }
  await done('watch');
}
server.kill();
await browser.close();
console.log('reports of one and of three runs, and the live page: no fault in two window sizes');
