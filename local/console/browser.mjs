// Uses the console as a person would, in a real browser: node browser.mjs URL CHROMIUM DIRECTORY. It prints what it did, a
// line each, writes screenshots to the directory, and exits with 1 at the first thing that is wrong.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [url, executablePath, directory] = process.argv.slice(2);
const patience = 60_000; // for what takes a moment, in milliseconds
const widths = [390, 768, 1280, 1440, 1920];
const mostIdle = 20_000; // bytes a second

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const troubles = [];
let page;
try {
  const context = await browser.newContext({ colorScheme: 'light', viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(patience);
  page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && troubles.push(message.text()));
  page.on('pageerror', (err) => troubles.push(String(err)));
  page.on('request', (request) => request.url().startsWith(`${url}/`) || request.url().startsWith('data:') || troubles.push(`asked ${request.url()}`));

  await firstView();
  await keyboard();
  const waited = await neighbourDown();
  const life = await wholeLife();
  await deliveredAgain(life);
  await crashes();
  await deadLetters();
  await idle();
  await looks(life, waited);
  assert.deepEqual(troubles, [], 'errors of the page, and requests to other hosts');
  done('there was no error in the console, and no request to another host');
} catch (err) {
  console.error(err, troubles);
  await page?.screenshot({ path: join(directory, 'console-failed.png') });
  process.exitCode = 1;
} finally {
  await browser.close();
}

async function firstView() {
  for (const time of ['cold', 'warm']) {
    const begin = performance.now();
    await page.goto(`${url}/`);
    await page.getByRole('button', { name: 'Place order' }).waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    done(`first view, ${time}: ${Math.round(performance.now() - begin)} ms`);
  }
}

// keyboard places an order, and reaches every tab, without the mouse.
async function keyboard() {
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to the content');
  await page.keyboard.press('Tab');
  for (const tab of ['Mail', 'Queues', 'API', 'Orders']) {
    await page.keyboard.press('ArrowRight');
    await page.getByRole('tabpanel', { name: tab, exact: true }).waitFor();
    assert.equal(await focused(), tab, 'the arrow keys open the next tab');
  }
  for (let presses = 0; (await focused()) !== 'Place order'; presses++) {
    assert.ok(presses < 20, 'the button cannot be reached with the keyboard');
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  await status('pending');
  done('an order is placed with the keyboard alone');
}

function focused() {
  return page.evaluate(() => document.activeElement.textContent.trim());
}

// place places an order with a cart, and returns its id.
async function place(cart, crash = 'none') {
  await page.goto(`${url}/#/orders`);
  await page.getByLabel('Cart').selectOption(cart);
  await page.getByLabel('Crash').selectOption(crash);
  await page.getByRole('button', { name: 'Place order' }).click();
  await page.waitForURL(/#\/orders\/./);
  await page.getByRole('heading', { name: /^ORD-/ }).waitFor();
  return page.url().split('/').at(-1);
}

function status(text) {
  return page.locator('.order .pill').getByText(text, { exact: true }).waitFor();
}

function region(name) {
  return page.getByRole('region', { name, exact: true }).getByRole('listitem');
}

function attempts(role, what, outcome = '') {
  return page.locator('.attempt').filter({ hasText: role }).filter({ hasText: what }).filter({ has: page.locator('.pill').getByText(outcome) });
}

// count waits until there are so many of something.
async function count(locator, n, what) {
  for (const end = Date.now() + patience; ; await page.waitForTimeout(50)) {
    const found = await locator.count();
    if (found === n) return;
    assert.ok(Date.now() < end, `${what}: ${found} in place of ${n}`);
  }
}

// outcome checks that an order has so many mails and documents, that it is one order, and that nothing runs any more.
async function outcome(id, mails, documents) {
  await count(region('Mails'), mails, 'mails');
  await count(region('Documents'), documents, 'documents');
  await count(page.locator('.attempt .pill').getByText('running'), 0, 'running attempts');
  await count(region('Mails'), mails, 'mails after all');
  const found = await page.evaluate(async (q) => (await (await fetch(`/console/orders?q=${q}`)).json()).orders.length, id);
  assert.equal(found, 1, 'one order');
}

async function neighbourDown() {
  await page.goto(`${url}/#/queues`);
  await page.getByRole('switch', { name: 'SES' }).click();
  await page.getByRole('switch', { name: 'SES', checked: false }).waitFor();
  const id = await place('shipping');
  await attempts('customer_order_confirmation', 'order.created', 'put off').first().waitFor();
  await page.goto(`${url}/#/queues`);
  await page.getByRole('switch', { name: 'SES' }).click();
  await page.goto(`${url}/#/orders/${id}`);
  await outcome(id, 2, 1);
  done('mails wait while SES is down, and go out afterwards');
  return id;
}

async function wholeLife() {
  const id = await place('flaky');
  await outcome(id, 2, 1);
  const recorded = attempts('order_creator_record', 'queue: create', 'done');
  await recorded.click();
  await count(page.locator('.calls li').filter({ hasText: 'cart Get' }), 3, 'tries of the cart');
  await count(page.locator('.calls li').filter({ hasText: 'cart Get' }).filter({ hasText: '500' }), 2, 'that failed');
  await recorded.click();
  for (const [button, becomes] of [['Pay', 'paid'], ['Process', 'processing'], ['Complete', 'completed'], ['Refund', 'refunded']]) {
    await page.getByRole('button', { name: button, exact: true }).click();
    await status(becomes);
  }
  await count(region('History'), 5, 'entries of the history');
  await outcome(id, 7, 3);
  done('an order whose cart failed twice is recorded, paid, completed and refunded, with three documents and seven mails');
  return id;
}

async function deliveredAgain(id) {
  await page.goto(`${url}/#/orders/${id}`);
  for (const [role, what] of [['order_creator_record', 'queue: create'], ['order_pdf_creator', 'order.created'], ['customer_order_confirmation', 'order.created'], ['order_internal_notifier', 'order.refunded'], ['order_creator_record', 'stream: modify']]) {
    const before = await attempts(role, what, 'done').count();
    const first = attempts(role, what, 'done').first();
    await first.click();
    await page.getByRole('button', { name: 'Five times' }).click();
    await count(attempts(role, what, 'done'), before + 5, `deliveries to ${role}`);
    await first.click();
  }
  await outcome(id, 7, 3);
  done('five messages and changes, each delivered five times more, change nothing: one order, the same mails and documents');
}

async function crashes() {
  const id = await place('good', 'order_creator_record between read and write');
  await outcome(id, 2, 1);
  await count(attempts('order_creator_record', 'queue: create', 'crashed'), 1, 'crashed attempts');
  await count(attempts('order_creator_record', 'queue: create', 'done'), 1, 'attempts that followed');
  done('the recorder crashes between read and write: one order, a mail of each role, one document');

  for (const role of ['customer_order_confirmation', 'order_pdf_creator']) {
    await attempts(role, 'order.created', 'done').first().click();
    await page.getByRole('button', { name: `Crash here: ${role} before dynamodb GetItem` }).first().click();
    await count(attempts(role, 'order.created', 'crashed'), 1, `crashes of ${role}`);
    await count(attempts(role, 'order.created', 'done'), 2, `attempts of ${role} that followed`);
  }
  await outcome(id, 2, 1);
  done('consumers that crash at a call change nothing either');
}

async function deadLetters() {
  const id = await place('missing');
  await status('failed');
  await count(attempts('order_creator_record', 'queue: create', 'failed'), 3, 'failed attempts');
  await page.goto(`${url}/#/queues`);
  const queue = page.locator('.queues > ul > li').filter({ hasText: 'bbws-order-creation' });
  await queue.getByRole('button', { name: 'Show' }).click();
  await queue.getByText(id).first().waitFor();
  await queue.getByText(/cart/).first().waitFor();
  await queue.getByRole('button', { name: 'Redrive' }).click();
  await page.goto(`${url}/#/orders/${id}`);
  await count(attempts('order_creator_record', 'queue: create', 'failed'), 6, 'failed attempts after a redrive');
  done('a dead letter shows its body and its reason, and comes again when it is driven back');
}

// idle measures what the console loads while nothing happens.
async function idle() {
  const session = await page.context().newCDPSession(page);
  let bytes = 0;
  session.on('Network.dataReceived', ({ dataLength }) => (bytes += dataLength));
  await session.send('Network.enable');
  await page.goto(`${url}/#/orders`);
  await page.reload();
  await page.locator('.list li').first().waitFor();
  await page.waitForTimeout(1000);
  assert.ok(bytes > 0, 'what it loads is counted');
  bytes = 0;
  const seconds = 5;
  await page.waitForTimeout(seconds * 1000);
  await session.detach();
  done(`idle, it loads ${Math.round(bytes / seconds)} bytes a second`);
  assert.ok(bytes / seconds <= mostIdle);
}

// looks checks every view at every width, in light and in dark.
async function looks(life, waited) {
  await page.goto(`${url}/#/mail`);
  const mail = await page.locator('.choices a').first().getAttribute('href');
  const views = {
    orders: '#/orders', order: `#/orders/${life}`, 'order-waited': `#/orders/${waited}`, mail, templates: '#/mail/templates/customer/order_paid.html',
    queues: '#/queues', api: '#/api',
  };
  await page.evaluate(await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  for (const [name, hash] of Object.entries(views)) {
    await page.goto(`${url}/${hash}`);
    await page.locator({ api: '.panel-api iframe', orders: '.list li', queues: '.queues li', order: '.attempt', 'order-waited': '.attempt' }[name] ?? '.letter').first().waitFor();
    if (name === 'api') await page.frameLocator('.panel-api iframe').locator('#operations-orders-createOrder .opblock-summary-control').click();
    if (name === 'api') await page.frameLocator('.panel-api iframe').getByRole('button', { name: '422' }).waitFor();
    if (name === 'order') await attempts('order_creator_record', 'queue: create', 'done').first().click();
    if (name === 'queues') await page.locator('.queues').getByRole('button', { name: 'Show' }).first().click();
    for (const width of widths) {
      await page.setViewportSize({ width, height: 900 });
      for (const frame of page.frames().filter((f) => f.url().startsWith(url))) assert.deepEqual(await frame.evaluate(misfits), [], `${name} at ${width}`);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: join(directory, `console-${name}-${width}-${colorScheme}.png`), fullPage: name !== 'api' });
        if (width === widths[0] || width === 1440) assert.deepEqual(await page.evaluate(violations), [], `${name} at ${width}, ${colorScheme}`);
      }
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  }
  done(`${Object.keys(views).length} views at ${widths.length} widths, in light and in dark: nothing is wider than its room or a letter wide, and axe has no complaint`);
}

// misfits returns the elements that are wider than their room, and the columns of letters.
function misfits() {
  const found = [];
  const name = (e) => `${e.tagName.toLowerCase()}.${e.className} ${e.textContent.trim().slice(0, 40)}`;
  if (document.scrollingElement.scrollWidth > innerWidth) found.push(`the page is ${document.scrollingElement.scrollWidth} wide`);
  for (const e of document.querySelectorAll('body *')) {
    const style = getComputedStyle(e);
    const box = e.getBoundingClientRect();
    if (e.closest('.hidden, .track, option, svg, pre') || !box.width || style.display === 'inline') continue;
    if (box.right > innerWidth + 1 || box.left < -1) found.push(`outside: ${name(e)}`);
    if (style.overflowX === 'visible' && e.scrollWidth > e.clientWidth + 1) found.push(`too wide: ${name(e)}`);
    const text = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim().length > 4);
    if (text && box.width < 30 && box.height > 60) found.push(`a column of letters: ${name(e)}`);
  }
  return found;
}

// violations returns what axe-core finds. The mail and the API have pages of their own; the renderer's is not ours to mend.
async function violations() {
  const { violations } = await axe.run(document, { iframes: false });
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => ({ id, html, failureSummary })));
}

function done(what) {
  console.log(`${(performance.now() / 1000).toFixed(1)} s: ${what}`);
}
