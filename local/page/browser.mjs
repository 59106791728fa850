// Uses the page as a person would, in a real browser and mostly with the keyboard: node browser.mjs URL CHROMIUM DIRECTORY.
// It prints what it did, a line each, writes screenshots to the directory, and exits with 1 at the first thing that is wrong.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [url, executablePath, directory] = process.argv.slice(2);
const patience = 60_000; // for what takes a moment, in milliseconds

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  await use(await browser.newContext({ colorScheme: 'light', viewport: { width: 1500, height: 1100 } }));
} catch (err) {
  console.error(err);
  process.exitCode = 1;
} finally {
  await browser.close();
}

async function use(context) {
  context.setDefaultTimeout(patience);
  const troubles = [];
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && troubles.push(message.text()));
  page.on('pageerror', (err) => troubles.push(String(err)));
  page.on('request', (request) => new URL(request.url()).origin === url || request.url().startsWith('data:') || troubles.push(`asked ${request.url()}`));

  await page.goto(url);
  await page.getByText('Requests are sent for tenant-1.').waitFor();
  await page.locator('#operations-orders-createOrder').waitFor();
  await shoot(page, 'before');
  await accessible(page);
  done('loads, with a token filled in, and asks no other host');

  // Place an order with the keyboard alone.
  await tabTo(page, '#operations-orders-createOrder .opblock-summary-control');
  await page.keyboard.press('Enter');
  await page.locator('#operations-orders-createOrder .execute').waitFor();
  await tabTo(page, '#operations-orders-createOrder .execute');
  await page.keyboard.press('Enter');
  const answer = page.locator('#operations-orders-createOrder .live-responses-table .response').first();
  await answer.getByText('202', { exact: true }).first().waitFor();
  const number = (await answer.innerText()).match(/ORD-\d{4}-\d{5,}/)[0];
  done(`places ${number} with the keyboard`);

  const row = page.locator('#orders tbody tr').filter({ hasText: number });
  await row.getByText('recorded, pending').waitFor();
  done('shows it recorded');

  const link = row.getByRole('link', { name: 'PDF' });
  await link.waitFor();
  const invoice = await page.request.get(new URL(await link.getAttribute('href'), url).href);
  assert.equal(invoice.status(), 200);
  assert.equal(invoice.headers()['content-type'], 'application/pdf');
  const pdf = await invoice.body();
  assert.equal(pdf.subarray(0, 5).toString(), '%PDF-');
  await writeFile(join(directory, 'page-invoice.pdf'), pdf);
  const opened = context.waitForEvent('page');
  await link.press('Enter');
  await (await opened).close();
  done('opens its invoice');

  const mail = page.locator('#mails').getByRole('button', { name: `Order Confirmation: ${number}` });
  await mail.waitFor();
  await page.locator('#mails').getByRole('button', { name: `New Order Received: ${number}` }).waitFor();
  await mail.press('Enter');
  const dialog = page.getByRole('dialog', { name: `Order Confirmation: ${number}` });
  await dialog.waitFor();
  await page.frameLocator('#mail iframe').getByText(number).filter({ visible: true }).first().waitFor();
  await page.screenshot({ path: join(directory, 'page-mail.png') });
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.ok(await mail.evaluate((button) => button === document.activeElement), 'the focus is back where the mail was opened');
  done('shows both mails, and opens and closes one with the keyboard');

  // Another tenant, with a cart that does not exist.
  await page.getByRole('textbox', { name: 'Tenant' }).fill('tenant-2');
  await page.getByRole('textbox', { name: 'Tenant' }).press('Enter');
  await page.getByText('Requests are sent for tenant-2.').waitFor();
  const body = page.locator('#operations-orders-createOrder .body-param__text');
  await body.fill((await body.inputValue()).replace(/"cartId": *"[^"]*"/, '"cartId": "cart-missing"'));
  await page.locator('#operations-orders-createOrder .execute').click();
  const failed = page.locator('#orders tbody tr').filter({ hasText: 'tenant-2' });
  await failed.getByText(/^failed: /).waitFor();
  done(`shows why an order of another tenant failed: ${await failed.locator('td').nth(2).innerText()}`);

  await page.evaluate(() => scrollTo(0, 0));
  await shoot(page, 'after');
  await page.locator('#operations-orders-createOrder .opblock-summary-control').click();
  await accessible(page);
  assert.deepEqual(troubles, []);
  done('without an error in the console');
}

function done(what) {
  console.log(`${(performance.now() / 1000).toFixed(1)} s: the page ${what}`);
}

// tabTo presses the tabulator until an element has the focus.
async function tabTo(page, selector) {
  for (let presses = 0; presses < 100; presses++) {
    if (await page.evaluate((s) => document.activeElement?.matches(s), selector)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`${selector} cannot be reached with the keyboard`);
}

// colour makes the system's colours dark or light, and waits for the page to follow.
async function colour(page, colorScheme) {
  await page.emulateMedia({ colorScheme });
  await page.waitForFunction((dark) => document.documentElement.classList.contains('dark-mode') === dark, colorScheme === 'dark');
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
}

// shoot takes a screenshot in light and in dark.
async function shoot(page, name) {
  for (const colorScheme of ['dark', 'light']) {
    await colour(page, colorScheme);
    await page.screenshot({ path: join(directory, `page-${name}-${colorScheme}.png`) });
  }
}

// accessible checks the page by the rules of axe-core, in light and in dark. What the renderer brings along is not ours to
// mend: those of its rules are left out for it alone.
async function accessible(page) {
  const renderer = ['heading-order', 'nested-interactive', 'region'];
  await page.evaluate(await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  for (const colorScheme of ['dark', 'light']) {
    await colour(page, colorScheme);
    const found = await page.evaluate(async () => (await axe.run()).violations.flatMap(
      ({ id, nodes }) => nodes.map(({ target, html }) => ({ id, target: target.join(' '), html, ours: !document.querySelector(target[0])?.closest('#api') })),
    ));
    assert.deepEqual(found.filter((v) => v.ours || !renderer.includes(v.id)), [], colorScheme);
  }
}
